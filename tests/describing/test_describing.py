"""Descriptions over real sockets: what is asked, what comes back, and what it took."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from PIL import Image

from fashioncrop.describing import CropToDescribe, Describer, PriceTable
from fashioncrop.describing.schema import GARMENTS_SCHEMA
from fashioncrop.results import Usage
from scripted_answers import (
    good,
    raw,
)
from scripted_openai import ScriptedOpenAI

Serve = Callable[..., ScriptedOpenAI]
Describe = Callable[..., Describer]
Crops = Callable[..., list[CropToDescribe]]


async def test_one_call_describes_all_garments_of_a_photo(serve: Serve, describer: Describe, crops: Crops) -> None:
    server = serve()
    described = await describer(server).describe(crops("shirt", "skirt", "hat", "leather bag"))
    assert {id_: one.type for id_, one in described.descriptions.items()} == {
        10: "shirt",
        11: "skirt",
        12: "hat",
        13: "leather bag",
    }
    assert described.problems == {}
    [request] = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer sk-planted-4Wq9ZkT2vXb7Lr1N"
    assert request.phrases == {1: "shirt", 2: "skirt", 3: "hat", 4: "leather bag"}
    assert request.details == ["low"]
    [image] = request.images
    assert max(Image.open(io.BytesIO(image)).size) <= 512
    assert request.body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "garments", "strict": True, "schema": GARMENTS_SCHEMA},
    }
    assert request.body["model"] == "gpt-4o-mini"
    assert request.body["temperature"] == 0
    assert request.body["max_tokens"] == 1300
    assert "reasoning_effort" not in request.body


async def test_usage_is_what_the_endpoint_counted(serve: Serve, describer: Describe, crops: Crops) -> None:
    server = serve(good(cached_tokens=1000))
    usage = (await describer(server).describe(crops("shirt"))).usage
    assert usage.model == "gpt-4o-mini"
    assert usage.calls == 1
    assert usage.input_tokens > 2833
    assert usage.cached_input_tokens == 1000
    expected = (usage.input_tokens - 1000) * 0.15 + 1000 * 0.075 + usage.output_tokens * 0.6
    assert usage.dollars == pytest.approx(expected / 1e6)


async def test_an_endpoint_that_does_not_count_has_unknown_costs(
    serve: Serve, describer: Describe, crops: Crops
) -> None:
    for step in (
        good(usage=False),
        raw(json.dumps({"choices": [{"message": {"content": "{}"}}], "usage": {}}).encode()),
    ):
        usage = (await describer(serve(step, good(usage=False))).describe(crops("shirt"))).usage
        assert usage.calls >= 1
        assert (usage.input_tokens, usage.output_tokens, usage.dollars) == (0, 0, None)


async def test_a_model_without_a_price_has_tokens_but_no_dollars(
    serve: Serve, describer: Describe, crops: Crops
) -> None:
    usage = (await describer(serve(), model="qwen3-vl").describe(crops("shirt"))).usage
    assert usage.input_tokens > 0
    assert usage.dollars is None


async def test_no_garments_are_no_call(serve: Serve, describer: Describe) -> None:
    server = serve()
    described = await describer(server).describe([])
    assert (described.descriptions, described.problems) == ({}, {})
    assert described.usage == Usage(
        model="gpt-4o-mini", calls=0, input_tokens=0, cached_input_tokens=0, output_tokens=0, dollars=0
    )
    assert server.requests == []


async def test_beyond_sixteen_garments_there_are_several_sheets(
    serve: Serve, describer: Describe, crops: Crops
) -> None:
    server = serve()
    described = await describer(server).describe(crops(*(f"garment {n}" for n in range(20))))
    assert [one.type for one in described.descriptions.values()] == [f"garment {n}" for n in range(20)]
    assert sorted(len(request.indices) for request in server.requests) == [10, 10]
    assert described.usage.calls == 2


async def test_settings_reach_the_endpoint(serve: Serve, describer: Describe, crops: Crops) -> None:
    server = serve()
    await describer(
        server,
        detail="high",
        language="French",
        max_output_tokens=77,
        temperature=None,
        reasoning_effort="low",
        model="other",
    ).describe(crops("shirt"))
    [request] = server.requests
    assert request.details == ["high"]
    assert '"French"' in request.text
    assert request.body["max_tokens"] == 77
    assert request.body["reasoning_effort"] == "low"
    assert request.body["model"] == "other"
    assert "temperature" not in request.body


async def test_a_model_that_thinks_by_default_is_asked_not_to(serve: Serve, describer: Describe, crops: Crops) -> None:
    server = serve()
    await describer(server, model="gpt-6-luna").describe(crops("shirt"))
    assert server.requests[0].body["reasoning_effort"] == "none"


async def test_the_users_prices_are_used(serve: Serve, describer: Describe, crops: Crops) -> None:
    prices = PriceTable.model_validate({"as_of": "2026-11-20", "models": {"own": {"input": 1, "output": 0}}})
    usage = (await describer(serve(), model="own", prices=prices).describe(crops("shirt"))).usage
    assert usage.dollars == pytest.approx(usage.input_tokens / 1e6)
