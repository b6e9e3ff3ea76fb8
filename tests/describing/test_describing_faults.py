"""What an endpoint can do instead of answering, over real sockets: its name, and whether it is asked again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fashioncrop.describing import CropToDescribe, Describer, DescriberSettings
from fashioncrop.errors import (
    CredentialError,
    DeadlineError,
    FashionCropError,
    OptionError,
    OverloadedError,
    ServerFaultError,
    ServerUnavailableError,
)
from scripted_answers import (
    JSON,
    Answer,
    Recorded,
    Step,
    cut,
    date_in,
    fault,
    good,
    html,
    insufficient_quota,
    rate_limited,
    raw,
    slow,
)
from scripted_openai import ScriptedOpenAI

Until = Callable[[Callable[[], bool]], Awaitable[None]]
Serve = Callable[..., ScriptedOpenAI]
Describe = Callable[..., Describer]
Crops = Callable[..., list[CropToDescribe]]

ERROR_INSIDE = json.dumps({"error": {"message": "upstream is busy", "code": 429}}).encode()
HUGE = b'{"choices": [{"message": {"content": "' + b"x" * 30_000_000 + b'"}}]}'


def rate_limited_until_a_date(request: Recorded) -> Answer:
    return rate_limited(date_in(40))(request)


@pytest.mark.parametrize(
    ("step", "kind", "words", "asked"),
    [
        (fault(401), CredentialError, r"does not know the key \(401\)", 1),
        (fault(403), CredentialError, r"does not allow this key to use gpt-4o-mini \(403\)", 1),
        (fault(402), CredentialError, "no credit left", 1),
        (insufficient_quota(), CredentialError, "no credit left.*waiting does not help", 1),
        (fault(404, "no such model"), OptionError, "no model gpt-4o-mini.*404.*It says: no such model", 1),
        (html(404), OptionError, "no chat completions at that address", 1),
        (fault(413), OptionError, r"refuses the request for gpt-4o-mini \(413\)", 1),
        (fault(422, "bad"), OptionError, r"\(422\).*It says: bad", 1),
        (fault(405), ServerFaultError, "status 405", 1),
        (rate_limited(), OverloadedError, r"takes no more at the moment \(429\).*asked 3 times", 3),
        (fault(500, "oops"), ServerUnavailableError, r"just now \(500\).*oops.*asked 3 times", 3),
        (fault(503), ServerUnavailableError, r"just now \(503\)", 3),
        (fault(408), ServerUnavailableError, r"just now \(408\)", 3),
        (html(), ServerFaultError, "but with text/html. Is base_url right", 3),
        (raw(b"{not json"), ServerFaultError, "but with application/json", 3),
        (raw(b'{"choices": []}'), ServerFaultError, "does not answer with a chat completion", 3),
        (raw(b'{"choices": [{"message": 3}]}'), ServerFaultError, "does not answer with a chat completion", 3),
        (raw(b"[]"), ServerFaultError, "does not answer with a chat completion", 3),
        (raw(b"\xff\xfe"), ServerFaultError, "does not answer with a chat completion", 3),
        (raw(ERROR_INSIDE), OverloadedError, "upstream is busy", 3),
        (raw(b'{"error": "engine died"}'), ServerUnavailableError, r"\(502\).*engine died", 3),
        (raw(b'{"detail": "words of another kind"}', 422), OptionError, "words of another kind", 1),
        (raw(b"plain words", 500), ServerUnavailableError, "It says: plain words", 3),
        (cut(good(), 40), ServerUnavailableError, r"before its answer was whole \(RemoteProtocolError\)", 3),
        (cut(fault(500), 5), ServerUnavailableError, "before its answer was whole", 3),
        (raw(HUGE), ServerFaultError, "more than 4 MiB", 1),
        (raw(b"y" * 30_000_000, 400), OptionError, "It says: yyy", 1),
    ],
)
async def test_every_fault_has_a_name_and_is_repeated_where_that_may_help(
    serve: Serve, describer: Describe, crops: Crops, step: Step, kind: type[FashionCropError], words: str, asked: int
) -> None:
    server = serve(default=step)
    with pytest.raises(FashionCropError, match=words) as caught:
        await describer(server, max_retries=2).describe(crops("shirt"))
    assert type(caught.value) is kind
    assert len(server.requests) == asked
    assert server.url in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "step",
    [rate_limited("1"), fault(500), fault(503), html(), cut(good(), 40), raw(ERROR_INSIDE), raw(b"{}")],
)
async def test_what_passes_is_got_over(serve: Serve, describer: Describe, crops: Crops, step: Step) -> None:
    described = await describer(serve(step, step)).describe(crops("shirt"))
    assert described.descriptions.keys() == {10}
    assert described.usage.calls == 1


@pytest.mark.parametrize(
    ("step", "least_s", "most_s"),
    [
        (rate_limited("7"), 7, 7.8),
        (rate_limited(None, **{"retry-after-ms": "250"}), 0.25, 0.28),
        (rate_limited_until_a_date, 38, 44),
        (fault(503, headers={"Retry-After": "3"}), 3, 3.4),
        (rate_limited(), 0.25, 0.5),
        (fault(500), 0.25, 0.5),
    ],
)
async def test_as_long_is_waited_as_the_endpoint_asks(
    serve: Serve,
    describer: Describe,
    crops: Crops,
    pauses: Any,  # noqa: ANN401 - a class of conftest
    step: Step,
    least_s: float,
    most_s: float,
) -> None:
    await describer(serve(step)).describe(crops("shirt"))
    assert least_s <= pauses.seconds[0] <= most_s


async def test_the_pause_is_real(serve: Serve, describer: Describe, crops: Crops) -> None:
    start_s = time.monotonic()
    await describer(serve(rate_limited("1")), waits=True).describe(crops("shirt"))
    assert time.monotonic() - start_s >= 1


async def test_other_calls_wait_too_when_the_endpoint_asks_for_a_pause(
    serve: Serve, describer: Describe, crops: Crops, until: Until
) -> None:
    server = serve(rate_limited("1"))
    made = describer(server, waits=True)
    first = asyncio.create_task(made.describe(crops("shirt")))
    await until(lambda: made._endpoint._quiet_until_s > 0)
    start_s = time.monotonic()
    await made.describe(crops("skirt"))
    assert time.monotonic() - start_s > 0.6
    await first
    assert len(server.requests) == 3


async def test_a_call_gives_up_its_place_while_it_waits(
    serve: Serve, describer: Describe, crops: Crops, until: Until
) -> None:
    server = serve(fault(503))
    made = describer(server, waits=True, max_concurrency=1)
    first = asyncio.create_task(made.describe(crops("shirt")))
    await until(lambda: bool(server.requests))
    second = asyncio.create_task(made.describe(crops("skirt")))
    done, _ = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
    assert done == {second}
    await first


async def test_an_endpoint_that_asks_for_too_long_a_pause_is_not_waited_for(
    serve: Serve, describer: Describe, crops: Crops
) -> None:
    server = serve(default=rate_limited("3600"))
    with pytest.raises(OverloadedError, match="asks to wait 3600 s"):
        await describer(server).describe(crops("shirt"))
    assert len(server.requests) == 1


async def test_a_slow_endpoint_is_given_up(serve: Serve, describer: Describe, crops: Crops) -> None:
    server = serve(default=slow(20))
    start_s = time.monotonic()
    with pytest.raises(DeadlineError, match=r"no answer within 0.2 s.*asked 2 times"):
        await describer(server, timeout_s=0.2, max_retries=1).describe(crops("shirt"))
    assert time.monotonic() - start_s < 5


async def test_an_answer_that_drips_is_given_up(crops: Crops) -> None:
    """Each byte comes in time, but not all of them."""
    hung_up = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(500):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()
        hung_up.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with Describer(DescriberSettings(base_url=url, timeout_s=0.4, max_retries=0)) as made:
            with pytest.raises(DeadlineError):
                await made.describe(crops("shirt"))
        await asyncio.wait_for(hung_up.wait(), 5)


async def test_nobody_at_the_address_costs_nothing(crops: Crops) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/v1"
        async with Describer(DescriberSettings(base_url=url, max_retries=0)) as made:
            with pytest.raises(ServerUnavailableError, match="cannot be reached"):
                await made.describe(crops("shirt"))
            assert made.budget.spent_dollars == 0


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_nothing_is_sent_to_where_an_endpoint_points(
    serve: Serve, describer: Describe, crops: Crops, status: int
) -> None:
    other = serve()
    server = serve(default=lambda _: Answer(status, b"", {**JSON, "Location": f"{other.url}/chat/completions"}))
    with pytest.raises(OptionError, match=rf"another address \({status}\)"):
        await describer(server).describe(crops("shirt"))
    assert other.requests == []
