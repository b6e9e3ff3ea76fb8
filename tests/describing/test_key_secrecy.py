"""A planted key is in the header of every request and nowhere else: no error, log, repr or result."""

from __future__ import annotations

import inspect
import json
import logging
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from fashioncrop.describing import CropToDescribe, Describer, _openai
from fashioncrop.describing.replies import Lost
from fashioncrop.errors import FashionCropError
from scripted_answers import (
    Answer,
    Recorded,
    Step,
    cut,
    echoes_key,
    fault,
    good,
    html,
    insufficient_quota,
    raw,
    says,
    slow,
)
from scripted_openai import ScriptedOpenAI

KEY = "sk-planted-4Wq9ZkT2vXb7Lr1N"
LOGGERS = ("fashioncrop", "openai", "httpx", "httpx2", "httpcore", "httpcore2", "asyncio")


def leaks(text: str) -> bool:
    """Whether the key, or a part of it that would help a thief, is in a text."""
    return any(KEY[start : start + 10] in text for start in range(len(KEY) - 9))


def echo_elsewhere(request: Recorded) -> Answer:
    """The key in a header, in the type of the content and in pieces."""
    key = request.headers["authorization"].removeprefix("Bearer ")
    body = json.dumps({"error": {"message": f"{key[:14]} ... {key[9:]} {key!r}", "code": key, "param": key}})
    return Answer(400, body.encode(), {"Content-Type": f"text/{key}", "X-Echo": key})


def type_with_key(request: Recorded) -> Answer:
    return Answer(200, b"x", {"Content-Type": request.headers["authorization"]})


STEPS: list[Step] = [
    *(echoes_key(status) for status in (400, 401, 403, 404, 422, 429, 500, 503)),
    echo_elsewhere,
    type_with_key,
    lambda request: raw(json.dumps({"error": request.headers["authorization"]}).encode())(request),
    lambda request: raw(request.headers["authorization"].encode(), 500)(request),
    lambda request: says(request.headers["authorization"])(request),
    lambda request: says(None, refusal=request.headers["authorization"])(request),
    fault(401),
    insufficient_quota(),
    html(),
    cut(good(), 30),
    slow(5),
    good(),
]


@pytest.mark.parametrize("step", STEPS)
async def test_the_key_shows_nowhere(
    serve: Callable[..., ScriptedOpenAI],
    describer: Callable[..., Describer],
    crops: Callable[..., list[CropToDescribe]],
    jpeg: Callable[..., bytes],
    caplog: pytest.LogCaptureFixture,
    step: Step,
) -> None:
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, name)
    server = serve(default=step)
    made = describer(server, max_retries=1, timeout_s=0.5)
    shown = [repr(made), str(vars(made)), repr(made.settings)]
    for ask in (lambda: made.describe(crops("shirt")), lambda: made.name_garments(jpeg())):
        try:
            shown.append(repr(await ask()))
        except FashionCropError as error:
            shown += traceback.format_exception(error)
            shown += [repr(error), repr(pickle.loads(pickle.dumps(error))), str(vars(error))]  # noqa: S301 - our own
            shown.append(repr(error.__context__ or error.__cause__))
            for frame, _ in traceback.walk_tb(error.__traceback__):
                shown += [repr(value) for name, value in frame.f_locals.items() if name != "shown"]
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in server.requests)
    logged = [record for record in caplog.records if record.name.startswith(("openai", "httpx", "httpcore"))]
    assert logged, "the libraries do log"
    # What a strange endpoint puts into the header of its answer, the libraries write at DEBUG.
    strange = step in {echo_elsewhere, type_with_key}
    own = [record for record in caplog.records if not strange or record.name.startswith("fashioncrop")]
    shown += [record.getMessage() for record in own] + [str(vars(record)) for record in own]
    assert [text for text in shown if leaks(text)] == []


@pytest.mark.parametrize("key", ["EMPTY", "x", "none"])
async def test_a_short_key_does_not_spoil_an_answer(
    serve: Callable[..., ScriptedOpenAI],
    describer: Callable[..., Describer],
    jpeg: Callable[..., bytes],
    key: str,
) -> None:
    described = await describer(serve(), api_key=key).describe([CropToDescribe(0, f"extra {key} shirt", jpeg())])
    assert described.descriptions[0].type == f"extra {key} shirt"


def test_every_error_of_the_package_becomes_one_of_ours() -> None:
    """All that a request can raise are below `OpenAIError`, which is caught; another would have to be thought of."""
    errors = {
        value
        for module in (openai, openai._exceptions)
        for value in list(vars(module).values())
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__.startswith("openai")
    }
    assert {error.__name__ for error in errors if not issubclass(error, openai.OpenAIError)} <= {
        "InvalidWebhookSignatureError"
    }
    assert issubclass(openai.APIStatusError, openai.OpenAIError)
    assert _openai._lost(openai.OpenAIError("words")) == Lost("fault", words="OpenAIError")


def test_the_package_is_known_to_one_module_only() -> None:
    folder = Path(_openai.__file__).parent
    knows = {path.name for path in folder.glob("*.py") if "import openai" in path.read_text()}
    assert knows == {"_openai.py"}


def test_nothing_is_needed_until_a_describer_is_made() -> None:
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "import fashioncrop, fashioncrop.describing as d\n"
        "d.estimate(4, d.DescriberSettings(), d.PriceTable.load())\n"
        "try: d.Describer(d.DescriberSettings(base_url='http://localhost:1/v1'))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    assert done.stdout == (
        "OptionError Descriptions need the openai package. Run pip install 'fashioncrop[describe]'.\n"
    )
