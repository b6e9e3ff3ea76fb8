"""The OpenAPI document is what the gateway does: nothing undocumented, no 5xx, whatever is sent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from gateway_conformance import conform
from gateway_world import Gateway


def test_the_gateway_does_what_its_document_says(tmp_path: Path) -> None:
    done, asked = conform(tmp_path, "--phases", "examples,fuzzing", "--max-examples", "10", "--seed", "1", "--no-color")
    assert done.returncode == 0, done.stdout
    cases = re.search(r"(\d+) generated", done.stdout)
    assert cases is not None, done.stdout
    assert int(cases[1]) > 100
    assert {"analyze", "detect", "depth", "embed_texts", "models", "load", "unload"} <= set(asked)


def parts(part: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON
    """Every object of a JSON document."""
    inside = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return [*([part] if isinstance(part, dict) else []), *(found for one in inside for found in parts(one))]


def test_every_operation_is_told_with_all_its_answers(gateway: Gateway) -> None:
    document = gateway.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    names = set()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            names.add(operation["operationId"])
            assert operation["summary"], path
            assert operation["description"], path
            assert {"400", "500", "503", "504"} <= set(operation["responses"]), path
            if "security" in operation:
                assert {"401", "403", "429"} <= set(operation["responses"]), path
            if "requestBody" in operation:
                assert {"408", "413", "415", "422"} <= set(operation["responses"]), path
            for status, response in operation["responses"].items():
                problem = "application/problem+json" in response.get("content", {})
                assert problem == (int(status) >= 400), (path, status)
    assert len(names) == sum(len(methods) for methods in document["paths"].values())


def test_every_field_is_told_and_every_reference_leads_somewhere(gateway: Gateway) -> None:
    document = gateway.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        assert schema["description"], name
        assert "Attributes:" not in schema["description"], name
        for field, about in schema.get("properties", {}).items():
            generated = {"results", "index", "problem", "image", "images", "analysis", "detections", "depth", "answer"}
            assert "description" in about or field in generated, (name, field)
    references = {part["$ref"] for part in parts(document) if "$ref" in part}
    assert references
    assert references <= {f"#/components/schemas/{name}" for name in schemas}


def test_a_batchs_limit_is_told(tmp_path: Path) -> None:
    with Gateway(tmp_path, max_batch=7) as own:
        document = own.get("/openapi.json").json()
        limits = [
            part["images"]["maxItems"] for part in parts(document) if part.get("images", {}).get("type") == "array"
        ]
        assert len(limits) > 8
        assert set(limits) == {7}
    assert "maxItems" not in document["components"]["schemas"]["GarmentsDescribed"]["properties"]["results"]
