"""DINO-X, asked over real sockets: everything that can go wrong, and that the key never shows."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest
import trustme
from pydantic import SecretStr

from asked_dinox import PHOTO, detect, one, settings, until
from fashioncrop.dinox import DinoX, DinoXSettings
from fashioncrop.dinox.transport import MAX_ANSWER_BYTES
from fashioncrop.errors import (
    CredentialError,
    DeadlineError,
    FashionCropError,
    OptionError,
    OverloadedError,
    PhotoError,
    ServerFaultError,
    ServerUnavailableError,
)
from scripted_dinox import (
    HANG_UP,
    KEY,
    Reply,
    ScriptedDinoX,
    declined,
    ok,
    scripted_dinox,
    state,
)

LOOPBACK = "127.0.0.1"
SECRET = "sk-planted/Secret+4711"  # noqa: S105 - planted, to be looked for


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fashioncrop.dinox.service._FIRST_PAUSE_S", 0.05)


@pytest.fixture
def service() -> Iterator[ScriptedDinoX]:
    with scripted_dinox() as running:
        yield running


WRONG: list[tuple[list[Reply], list[Reply], type[FashionCropError], str]] = [
    ([declined("bad token", status=401)], [], CredentialError, "401: bad token. Check the token"),
    ([declined("not yours", status=403)], [], CredentialError, "403: not yours"),
    ([Reply(status=402)], [], CredentialError, "402"),
    ([declined("Token out of Quota")], [], CredentialError, "declines: Token out of Quota"),
    ([declined("model is odd")], [], ServerFaultError, "declines: model is odd"),
    ([declined("", code=77)], [], ServerFaultError, "declines: code 77"),
    ([Reply(status=404, body=b"<html>")], [], OptionError, "404. Check base_url"),
    ([declined("prompt too long", status=400)], [], OptionError, "400: prompt too long"),
    ([Reply(status=413)], [], PhotoError, "413.*lower max_side_px"),
    (
        [Reply(status=302, headers=(("Location", "http://127.0.0.1:9/elsewhere"),))],
        [],
        OptionError,
        "302.*redirects|302",
    ),
    ([Reply(body=b"<html>")], [], ServerFaultError, "not JSON"),
    ([Reply(body=b"[" * 100_000)], [], ServerFaultError, "not JSON"),
    ([Reply(body=b"\xff\xfe\x00")], [], ServerFaultError, "not JSON"),
    ([Reply(body=[1])], [], ServerFaultError, "not JSON"),
    ([Reply(body=b"")], [], ServerFaultError, "not JSON"),
    ([Reply(body={"code": 0})], [], ServerFaultError, "without data"),
    ([ok({})], [], ServerFaultError, "no usable id"),
    ([ok({"task_uuid": "../../v2/other"})], [], ServerFaultError, "no usable id"),
    ([Reply(body=b"{}", headers=(("Content-Encoding", "gzip"),))], [], ServerFaultError, "compressed"),
    ([Reply(length=MAX_ANSWER_BYTES * 2, body=b"x" * (MAX_ANSWER_BYTES + 1))], [], ServerFaultError, "more than"),
    ([Reply(endless=True, body=b"x" * 65536)], [], ServerFaultError, "more than 8388608 bytes"),
    ([HANG_UP] * 2, [], ServerUnavailableError, "broke off"),
    ([Reply(length=900, body=b'{"code": 0, ')] * 2, [], ServerUnavailableError, "broke off"),
    ([Reply(status=500)] * 2, [], ServerFaultError, "500"),
    ([Reply(status=503)] * 2, [], ServerUnavailableError, "503"),
    ([Reply(status=429)] * 2, [], OverloadedError, "429.*takes no more"),
    ([declined("Token exceeds Rate Limit")] * 2, [], OverloadedError, "Rate Limit"),
    ([], [state("failed", error="image is broken")], ServerFaultError, "failed: image is broken"),
    ([], [state("failed", error="")], ServerFaultError, "failed: it gives no reason"),
    ([], [state("evaporated")], ServerFaultError, "status evaporated"),
    ([], [ok({})], ServerFaultError, "status none"),
    ([], [state("success", result=None)], ServerFaultError, "no list of objects"),
    ([], [state("success", result={"objects": {"0": {}}})], ServerFaultError, "no list of objects"),
    ([], [declined("who are you", status=401)], CredentialError, "401"),
    ([], [HANG_UP] * 2, ServerUnavailableError, "broke off"),
]


@pytest.mark.parametrize(("creations", "states", "kind", "words"), WRONG)
async def test_every_wrong_answer_has_a_name(
    service: ScriptedDinoX, creations: list[Reply], states: list[Reply], kind: type[FashionCropError], words: str
) -> None:
    service.creations.extend(creations)
    service.states.extend(states)
    with pytest.raises(kind, match=words) as caught:
        await detect(service)
    assert type(caught.value) is kind
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert not service.creations
    assert not service.states


async def test_what_may_succeed_later_is_asked_again_without_a_second_task(service: ScriptedDinoX) -> None:
    service.creations.extend([HANG_UP, Reply(status=502)])
    service.states.extend([Reply(status=503), Reply(body={"code": 0}, status=500)])
    service.find = lambda _phrases, _size: [one()]
    found = await detect(service, max_retries=3)
    assert found.phrases == ["shirt"]
    assert len({request.headers["idempotency-key"] for request in service.created()}) == 1
    assert len(service.created()) == 3


async def test_other_photos_have_other_keys_against_repetition(service: ScriptedDinoX) -> None:
    async with DinoX(settings(service)) as dinox:
        await dinox.detect(PHOTO, ["shirt"])
        await dinox.detect(PHOTO, ["shirt"])
    assert len({request.headers["idempotency-key"] for request in service.created()}) == 2


@pytest.mark.parametrize(
    "header",
    [lambda: "1", lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)],
    ids=["seconds", "date"],
)
async def test_the_service_is_left_alone_as_long_as_it_asks(service: ScriptedDinoX, header: Callable[[], str]) -> None:
    service.creations.append(Reply(status=429, headers=(("Retry-After", header()),)))
    await detect(service)
    assert 0.9 <= service.times_s[1] - service.times_s[0] < 4


@pytest.mark.parametrize("asked", ["120", "9" * 30])
async def test_a_wait_that_is_too_long_is_told_at_once(service: ScriptedDinoX, asked: str) -> None:
    service.creations.append(Reply(status=429, headers=(("Retry-After", asked),)))
    start_s = time.monotonic()
    with pytest.raises(OverloadedError, match="asks to wait"):
        await detect(service)
    assert time.monotonic() - start_s < 2


@pytest.mark.parametrize("nonsense", ["soon", "-5", "1e9", "\xb2"])
async def test_a_wait_that_cannot_be_read_is_passed_over(service: ScriptedDinoX, nonsense: str) -> None:
    service.creations.append(Reply(status=429, headers=(("Retry-After", nonsense),)))
    assert (await detect(service)).phrases == []


@pytest.mark.parametrize(
    ("more", "reply", "words"),
    [
        ({"timeout_s": 0.5}, None, "was not done within 0.5 s"),
        ({"timeout_s": 0.5}, Reply(delay_s=30), "took no task within 0.5 s"),
        ({"request_timeout_s": 0.3, "max_retries": 0}, Reply(delay_s=30), "did not answer within 0.3 s"),
        ({"request_timeout_s": 0.3, "max_retries": 0}, Reply(body=b" " * 999, drip_s=0.02), "within 0.3 s"),
    ],
)
async def test_nothing_is_waited_for_for_ever(
    service: ScriptedDinoX, more: dict[str, Any], reply: Reply | None, words: str
) -> None:
    service.polls = 10_000
    if reply is not None:
        service.creations.append(reply)
    start_s = time.monotonic()
    with pytest.raises(DeadlineError, match=words):
        await detect(service, **more)
    assert time.monotonic() - start_s < 5


async def test_pauses_between_questions_grow_to_their_limit(service: ScriptedDinoX) -> None:
    service.polls = 7
    await detect(service, poll_interval_s=0.05, max_poll_interval_s=0.15)
    pauses = np.diff(service.times_s)
    assert len(service.asked()) == 8
    assert pauses[0] >= 0.045
    assert (pauses[-3:] >= 0.14).all()
    assert pauses.max() < 1.5


async def test_nobody_at_the_address() -> None:
    with scripted_dinox() as gone:
        chosen = settings(gone)
    async with DinoX(chosen) as dinox:
        with pytest.raises(ServerUnavailableError, match="cannot be reached"):
            await dinox.detect(PHOTO, ["shirt"])


async def test_a_host_that_does_not_exist() -> None:
    chosen = DinoXSettings(api_key=SecretStr(KEY), base_url="https://dinox.invalid", max_retries=0)
    async with DinoX(chosen) as dinox:
        with pytest.raises(ServerUnavailableError, match=r"https://dinox.invalid\) cannot be reached"):
            await dinox.detect(PHOTO, ["shirt"])


async def test_tasks_at_a_time_are_limited_over_all_photos(service: ScriptedDinoX) -> None:
    service.polls = 3
    async with DinoX(settings(service, max_concurrency=2)) as dinox:
        await asyncio.gather(*(dinox.detect(PHOTO, ["shirt"]) for _ in range(7)))
    assert len(service.created()) == 7
    assert service.most_at_once == 2


async def test_the_first_task_that_fails_ends_its_photo_only(service: ScriptedDinoX) -> None:
    service.polls = 20
    service.creations.append(declined("model is odd"))
    async with DinoX(settings(service, max_prompt_phrases=1, poll_interval_s=0.05)) as dinox:
        with pytest.raises(ServerFaultError, match="odd"):
            await dinox.detect(PHOTO, ["a", "b", "c"])
        asked = len(service.asked())
        await asyncio.sleep(0.2)
        assert len(service.asked()) == asked, "the other tasks are not asked for any more"
        service.polls = 0
        assert (await dinox.detect(PHOTO, ["a"])).phrases == []


async def test_a_cancelled_photo_leaves_its_place(service: ScriptedDinoX) -> None:
    service.polls = 10_000
    async with DinoX(settings(service, max_concurrency=1)) as dinox:
        work = asyncio.create_task(dinox.detect(PHOTO, ["shirt"]))
        await until(lambda: bool(service.asked()))
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        service.polls = 0
        assert (await dinox.detect(PHOTO, ["shirt"])).phrases == []


async def test_a_closed_dinox_says_so(service: ScriptedDinoX) -> None:
    dinox = DinoX(settings(service))
    await dinox.close()
    with pytest.raises(RuntimeError, match="closed"):
        await dinox.detect(PHOTO, ["shirt"])


# --- TLS, addresses and the key ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure_service(authority: trustme.CA) -> Iterator[ScriptedDinoX]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(LOOPBACK).configure_cert(tls)
    with scripted_dinox(tls=tls) as running:
        yield running


async def test_over_tls_with_a_certificate_that_is_trusted(
    secure_service: ScriptedDinoX, authority: trustme.CA
) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with DinoX(settings(secure_service), ssl_context=trusting) as dinox:
        assert (await dinox.detect(PHOTO, ["shirt"])).phrases == []


async def test_a_certificate_that_nobody_trusts_gets_no_token(secure_service: ScriptedDinoX) -> None:
    with pytest.raises(ServerUnavailableError, match="certificate that cannot be trusted"):
        await detect(secure_service)
    assert not secure_service.received


async def test_a_handshake_that_is_cancelled_leaves_no_connection() -> None:
    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hung_up.append(await _reader.read())
        writer.close()

    hung_up: list[bytes] = []
    server = await asyncio.start_server(silent, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    chosen = DinoXSettings(
        api_key=SecretStr(SECRET), base_url=f"https://{LOOPBACK}:{port}", request_timeout_s=0.3, max_retries=0
    )
    async with server, DinoX(chosen) as dinox:
        with pytest.raises(DeadlineError):
            await dinox.detect(PHOTO, ["shirt"])
        await until(lambda: bool(hung_up))


@pytest.mark.parametrize(
    "url",
    [
        "http://api.deepdataspace.com",
        "http://10.0.0.1",
        "ftp://localhost",
        "api.deepdataspace.com",
        "",
        "https://",
        f"https://{SECRET.replace('/', '')}@api.deepdataspace.com",
        "https://api.deepdataspace.com?key=x",
        "https://api.deepdataspace.com#x",
        "https://api deepdataspace.com",
        "https://api.deepdataspace.com:99999",
        "https://[::1",
        "https://\u00e4pi.com",
        "https://" + "a" * 2000,
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(OptionError, match="base_url") as caught:
        DinoXSettings(api_key=SecretStr(KEY), base_url=url)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "http://127.0.0.1", "http://[::1]:80", "https://eu.example/dds/"]
)
def test_addresses_that_are_taken(url: str) -> None:
    assert DinoXSettings(api_key=SecretStr(KEY), base_url=url).base_url == url


@pytest.mark.parametrize("key", ["", "  ", "two words", "line\nbreak", "schl\u00fcssel", "x" * 1001, "\x00"])
def test_keys_that_are_no_keys(key: str) -> None:
    with pytest.raises(CredentialError) as caught:
        DinoXSettings(api_key=SecretStr(key))
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize(
    "more",
    [
        {"model": ""},
        {"score_threshold": 1.5},
        {"iou_threshold": float("nan")},
        {"timeout_s": 0},
        {"request_timeout_s": float("inf")},
        {"poll_interval_s": -1},
        {"max_wait_s": -1},
        {"max_concurrency": 0},
        {"max_retries": True},
        {"max_side_px": 10},
        {"max_prompt_phrases": 0},
        {"max_prompt_characters": 1},
    ],
)
def test_settings_outside_their_range(more: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(more))):
        DinoXSettings(api_key=SecretStr(KEY), **more)


ECHOES = [
    [declined(f"token {SECRET} is unknown", status=401)],
    [declined(f"token {SECRET.upper()} is unknown")],
    [Reply(status=302, headers=(("Location", f"https://elsewhere.example/?token={SECRET}"),))],
    [Reply(body=f"<html>{SECRET}</html>".encode())],
    [Reply(status=429, headers=(("Retry-After", SECRET),))] * 2,
    [Reply(headers=(("X-Token " + SECRET, "\x01"),))] * 2,
    [Reply(headers=(("Content-Encoding", SECRET),))],
    [HANG_UP] * 2,
    [ok({"task_uuid": f"{SECRET}!"})],
    [Reply(delay_s=30)] * 2,
]


@pytest.mark.parametrize("creations", ECHOES)
async def test_the_key_is_in_no_text(creations: list[Reply], caplog: pytest.LogCaptureFixture) -> None:
    """The service sends it back in every place there is."""
    caplog.set_level(logging.DEBUG)
    with scripted_dinox(ScriptedDinoX(key=SECRET)) as service:
        service.creations.extend(creations)
        chosen = settings(service, request_timeout_s=0.5)
        async with DinoX(chosen) as dinox:
            with pytest.raises(FashionCropError) as caught:
                await dinox.detect(PHOTO, ["shirt"])
        texts = [repr(chosen), str(chosen), repr(dinox), *map(repr, vars(dinox).values())]
        assert service.created()[0].headers["token"] == SECRET
    texts.append("".join(traceback.format_exception(caught.value)))
    error: BaseException | None = caught.value
    while error is not None:
        texts += [str(error), repr(error), repr(error.args)]
        error = error.__cause__ or error.__context__
    # httpcore2 logs the headers that it receives; a service that writes the key there has given it away itself.
    logged = [record.getMessage() for record in caplog.records if "receive_response_headers" not in record.getMessage()]
    for text in [*texts, *logged]:
        assert SECRET.lower() not in text.lower()


async def test_the_key_is_in_no_result(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script = ScriptedDinoX(key=SECRET, find=lambda _phrases, _size: [one(), one("person")])
    with scripted_dinox(script) as service:
        found = await detect(service)
    assert SECRET not in repr(found)
    assert SECRET not in caplog.text
