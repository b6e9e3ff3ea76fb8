"""How an endpoint is asked: in the dialect it takes, so many at a time, and with nobody else's key."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable

import pytest

from fashioncrop.describing import CropToDescribe, Describer, DescriberSettings
from fashioncrop.errors import CredentialError, OptionError
from scripted_answers import (
    fault,
    html,
    rejects,
    slow,
)
from scripted_openai import ScriptedOpenAI

Until = Callable[[Callable[[], bool]], Awaitable[None]]
Serve = Callable[..., ScriptedOpenAI]
Describe = Callable[..., Describer]
Crops = Callable[..., list[CropToDescribe]]


async def test_an_endpoint_without_schemas_is_asked_for_json_and_remembered(
    serve: Serve, describer: Describe, crops: Crops, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(default=rejects("response_format"))
    made = describer(server)
    with caplog.at_level(logging.WARNING, "fashioncrop"):
        for _ in range(2):
            described = await made.describe(crops("shirt"))
            assert described.descriptions.keys() == {10}
    formats = [request.body["response_format"]["type"] for request in server.requests]
    assert formats == ["json_schema", "json_object", "json_object"]
    assert '"additionalProperties":false' in server.requests[1].body["messages"][0]["content"]
    assert len(caplog.records) == 1
    assert "asked without: response_format" in caplog.text
    assert described.usage.calls == 1, "a refused request is not an answer"


async def test_an_endpoint_that_takes_no_format_at_all_is_asked_without_one(
    serve: Serve, describer: Describe, crops: Crops
) -> None:
    words = "'response_format.type' must be 'text'"
    server = serve(fault(400, words), fault(400, words))
    assert (await describer(server).describe(crops("shirt"))).problems == {}
    assert "response_format" not in server.requests[2].body


@pytest.mark.parametrize(
    ("part", "replaced"),
    [("temperature", None), ("reasoning_effort", None), ("max_tokens", "max_completion_tokens")],
)
async def test_what_an_endpoint_does_not_take_is_left_out_from_then_on(
    serve: Serve, describer: Describe, crops: Crops, part: str, replaced: str | None
) -> None:
    server = serve(default=rejects(part))
    made = describer(server, reasoning_effort="low")
    for _ in range(2):
        assert (await made.describe(crops("shirt"))).problems == {}
    assert [part in request.body for request in server.requests] == [True, False, False]
    if replaced is not None:
        assert server.requests[1].body[replaced] == 400


@pytest.mark.parametrize("words", ["Your image is too blue.", "max_tokens is too large", "(400)"])
async def test_any_other_refusal_is_an_error_with_its_words(
    serve: Serve, describer: Describe, crops: Crops, words: str
) -> None:
    server = serve(default=fault(400, words))
    with pytest.raises(OptionError, match=re.escape(words)):
        await describer(server).describe(crops("shirt"))
    assert all(request.body["response_format"]["type"] == "json_schema" for request in server.requests)
    assert len(server.requests) <= 2


async def test_calls_at_a_time_are_limited_over_all_photos(serve: Serve, describer: Describe, crops: Crops) -> None:
    server = serve(default=slow(0.05))
    made = describer(server, max_concurrency=3)
    await asyncio.gather(*(made.describe(crops("shirt")) for _ in range(12)))
    assert server.most_at_once == 3
    assert len(server.requests) == 12


async def test_calls_run_at_a_time(serve: Serve, describer: Describe, crops: Crops) -> None:
    server = serve(default=slow(0.2))
    made = describer(server, max_concurrency=8)
    await asyncio.gather(*(made.describe(crops("shirt")) for _ in range(8)))
    assert server.most_at_once > 3


async def test_a_cancelled_description_hangs_up(serve: Serve, describer: Describe, crops: Crops, until: Until) -> None:
    server = serve(default=slow(20))
    made = describer(server)
    task = asyncio.create_task(made.describe(crops("shirt")))
    await until(lambda: bool(server.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.requests[0].hung_up)
    assert made.budget.uncertain_dollars > 0, "it may be charged for"


async def test_openais_endpoint_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    with pytest.raises(CredentialError, match="needs a key"):
        Describer(DescriberSettings())


async def test_another_endpoint_gets_no_key_that_was_not_given(
    serve: Serve, describer: Describe, crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "of-the-environment")
    server = serve()
    await describer(server, api_key=None).describe(crops("shirt"))
    assert not any("of-the-environment" in value for value in server.requests[0].headers.values())


async def test_a_proxy_of_the_environment_is_not_on_the_way_to_this_machine(
    serve: Serve, describer: Describe, crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert (await describer(serve()).describe(crops("shirt"))).problems == {}


async def test_a_page_instead_of_an_answer_may_have_been_a_hiccup(
    serve: Serve, describer: Describe, crops: Crops
) -> None:
    assert (await describer(serve(html())).describe(crops("shirt"))).problems == {}
