"""What an analysis holds does not change under the reader's hands, and is the JSON that the schema says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from fashioncrop import Analysis, results
from fashioncrop.results import json_schema

JSON_TYPES: dict[str, Any] = {"string": str, "integer": int, "number": int | float, "boolean": bool, "object": dict}


def document(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    garment = {
        "id": 0,
        "phrase": "치마",
        "phrase_id": 1,
        "category": {"id": 8, "name": "skirt", "supercategory": "lowerbody"},
        "score": 0.5,
        "box_xyxy": [1.5, 2, 3, 4],
        "crop": {"box_xyxy": [1, 2, 3, 4], "jpeg": b"\xff\xd8\xff"},
        "embedding": [0.6, 0.8],
        "depth": {"median": 1.0, "spread": 0.1, "order": 1},
        "colours": [{"hex": "#d0202a", "name": "red", "share": 1.0}],
        "flags": ["blurred"],
        "overlapped_by": [2],
    }
    identity = {
        "role": "garment_detector",
        "name": "grounding-dino",
        "version": "abc",
        "digest": "sha256:1",
        "source": "full",
        "trained": True,
    }
    return {
        "photo": {"name": "photo", "width": 10, "height": 20, "format": "PNG"},
        "vocabulary": ["hat", "치마"],
        "garments": [garment | changes],
        "models": [identity],
        "warnings": ["a sentence"],
        "timings_ms": {"total": 1.5},
    }


def models_of(module: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - a module
    return [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, BaseModel)]


def test_nothing_can_be_changed_afterwards() -> None:
    analysis = Analysis.model_validate(document())
    parts: list[tuple[BaseModel, str]] = [
        (analysis, "garments"),
        (analysis.photo, "name"),
        (analysis.garments[0], "score"),
        (analysis.garments[0].crop, "file"),
        (analysis.garments[0].depth, "order"),
        (analysis.garments[0].colours[0], "hex"),
        (analysis.models[0], "trained"),
    ]
    for part, name in parts:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, name, getattr(part, name))
    for model in models_of(results):
        if model is not BaseModel:
            assert model.model_config.get("frozen"), model.__name__


def test_json_and_back_is_the_same_but_for_the_jpegs() -> None:
    analysis = Analysis.model_validate(document())
    text = analysis.model_dump_json()
    assert "jpeg" not in text
    assert "치마" in text
    again = Analysis.model_validate_json(text)
    assert again.garments[0].crop.jpeg is None
    garment = analysis.garments[0]
    without = garment.model_copy(update={"crop": garment.crop.model_copy(update={"jpeg": None})})
    assert again == analysis.model_copy(update={"garments": (without,)})


def test_what_a_newer_server_adds_is_left_out() -> None:
    analysis = Analysis.model_validate(document(mood="cheerful") | {"weather": "fine"})
    assert analysis == Analysis.model_validate(document())


def test_a_garment_may_have_no_category_and_no_embedding() -> None:
    (garment,) = Analysis.model_validate(document(category=None, embedding=None)).garments
    assert garment.category is None
    assert garment.embedding is None


@pytest.mark.parametrize(
    "changes", [{"score": 1.5}, {"score": -0.1}, {"box_xyxy": [1, 2, 3]}, {"phrase": None}, {"depth": None}]
)
def test_what_no_garment_can_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Analysis.model_validate(document(**changes))


def assert_described(part: Any, described: dict[str, Any], defs: dict[str, Any]) -> None:  # noqa: ANN401 - JSON
    if "$ref" in described:
        assert_described(part, defs[described["$ref"].rsplit("/", 1)[1]], defs)
    elif "anyOf" in described:
        assert_described(part, next(one for one in described["anyOf"] if one.get("type") != "null"), defs)
    elif isinstance(part, dict) and "properties" in described:
        assert set(described["required"]) <= part.keys() == described["properties"].keys()
        for name, value in part.items():
            if value is not None:
                assert_described(value, described["properties"][name], defs)
    elif "prefixItems" in described:
        for value, one in zip(part, described["prefixItems"], strict=True):
            assert_described(value, one, defs)
    elif isinstance(part, list) and "items" in described:
        for value in part:
            assert_described(value, described["items"], defs)
    else:
        assert isinstance(part, JSON_TYPES[described["type"]]), described


def test_the_schema_describes_what_is_printed() -> None:
    schema = json_schema()
    printed = json.loads(Analysis.model_validate(document()).model_dump_json())
    assert_described(printed, schema, schema["$defs"])
    garment = schema["$defs"]["Garment"]
    assert {"id", "phrase", "score", "box_xyxy", "crop", "depth", "colours", "category"} <= set(garment["required"])
    assert "jpeg" not in json.dumps(schema["$defs"]["Crop"]["properties"])
    assert set(schema["required"]) == {"photo", "vocabulary", "garments", "models", "warnings", "timings_ms"}


def test_the_published_schema_is_that_of_the_code() -> None:
    published = Path(results.__file__).with_name("analysis.schema.json")
    assert json.loads(published.read_text()) == json_schema(), (
        "write it again: fashioncrop schema > client/fashioncrop/analysis.schema.json"
    )
