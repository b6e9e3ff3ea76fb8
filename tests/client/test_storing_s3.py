"""Storing in a bucket: a real S3 server that checks signatures and rights, and odd ones."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import obstore
import pytest
from obstore.store import S3Store
from pydantic import SecretStr

from fashioncrop import Analysis, Crop
from fashioncrop._sources import Photo
from fashioncrop.errors import StorageError
from fashioncrop.storing import StoreOptions, StoreUnusableError, check_store, open_store, store_analysis
from fashioncrop.storing.objects import ObjectStore
from made_analyses import analysis, garment
from s3_server import check_signatures

PHOTO = Photo(b"photo", "name")
SECRET = "planted/Secret+4711"  # noqa: S105 - planted, to be looked for
QUICK: dict[str, Any] = {"max_retries": 1, "retry_timeout_s": 2.0, "timeout_s": 2.0}


@dataclass
class S3:
    """The server, and who may do what there."""

    port: int
    users: dict[str, tuple[str, str]]

    def options(self, user: str = "writer", **more: Any) -> StoreOptions:  # noqa: ANN401
        key, secret = self.users[user]
        given: dict[str, Any] = {
            "endpoint_url": f"http://127.0.0.1:{self.port}",
            "access_key_id": key,
            "secret_access_key": SecretStr(secret),
            **QUICK,
        }
        return StoreOptions(**{**given, **more})

    def backend(self) -> S3Store:
        store = open_store("s3://bucket", self.options())
        assert isinstance(store, ObjectStore)
        assert isinstance(store._backend, S3Store)
        return store._backend

    async def read(self, key: str) -> tuple[bytes, str]:
        result = await obstore.get_async(self.backend(), key)
        return bytes(await result.bytes_async()), result.attributes["Content-Type"]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    script = Path(__file__).parents[1] / "s3_server.py"
    problems = tmp_path_factory.mktemp("s3") / "problems.txt"
    command = [sys.executable, "-W", "ignore", str(script)]
    with problems.open("w") as file:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.communicate()
        hint = "These tests ask a server that speaks S3: pip install 'moto[s3]' flask flask-cors."
        pytest.fail(f"{hint} {problems.read_text()[-500:]}")
    told = json.loads(line)
    yield S3(told["port"], {name: (key, secret) for name, (key, secret) in told["users"].items()})
    process.communicate(timeout=20)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)


def two(*jpegs: bytes) -> Analysis:
    crops = (Crop(box_xyxy=(0, 0, 9, 9), jpeg=jpeg) for jpeg in jpegs)
    return analysis(tuple(garment(id=index, crop=crop) for index, crop in enumerate(crops)))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- a server that checks ---------------------------------------------------------------------------------------------


async def test_an_analysis_is_stored_with_its_types(s3: S3) -> None:
    store = open_store("s3://bucket/a b/옷", s3.options())
    stored = await store_analysis(store, two(b"one", b"two"), PHOTO, with_photo=True)
    assert stored.failures == ()
    assert stored.document is not None
    assert stored.photo is not None
    for data in (b"one", b"two"):
        key = f"crops/{digest(data)[:2]}/{digest(data)}.jpg"
        assert await s3.read(f"a b/옷/{key}") == (data, "image/jpeg")
    document, content_type = await s3.read(f"a b/옷/{stored.document.key}")
    assert content_type == "application/json"
    assert stored.document.key == f"analyses/{digest(document)}.json"
    assert Analysis.model_validate_json(document).garments[0].crop.url == stored.analysis.garments[0].crop.url
    assert stored.analysis.garments[0].crop.url == f"s3://bucket/a b/옷/crops/{digest(b'one')[:2]}/{digest(b'one')}.jpg"
    assert (await s3.read(f"a b/옷/{stored.photo.key}"))[1] == "image/png"
    await store.close()


async def test_what_is_there_is_not_written_again(s3: S3) -> None:
    store = open_store("s3://bucket/again", s3.options())
    data = os.urandom(1000)
    key = f"crops/{digest(data)}.jpg"
    assert (await store.put(key, data, "image/jpeg")).is_new
    assert not (await store.put(key, data, "image/jpeg")).is_new
    assert (await store.put("named.txt", b"one", "text/plain")).is_new
    assert (await store.put("named.txt", b"two", "text/plain")).is_new, "its name may stay the same"
    assert await s3.read("again/named.txt") == (b"two", "text/plain")


async def test_what_is_not_whole_is_written_again(s3: S3) -> None:
    data = os.urandom(1000)
    key = f"crops/{digest(data)}.jpg"
    await obstore.put_async(s3.backend(), key, data[:500])
    assert (await open_store("s3://bucket", s3.options()).put(key, data, "image/jpeg")).is_new
    assert (await s3.read(key))[0] == data


async def test_who_may_only_put_can_store(s3: S3) -> None:
    """S3 says "forbidden" to who asks whether something is there and may not."""
    store = open_store("s3://bucket/dropped", s3.options("dropper"))
    stored = await store_analysis(store, two(b"one", b"two"), PHOTO)
    assert stored.failures == ()
    assert (await s3.read(f"dropped/crops/{digest(b'one')[:2]}/{digest(b'one')}.jpg"))[0] == b"one"


async def test_credentials_of_the_environment(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    key, secret = s3.users["writer"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3.port}")
    await check_store(open_store("s3://bucket/environment", StoreOptions(**QUICK)))
    assert (await s3.read("environment/fashioncrop.txt"))[1] == "text/plain"


KEYS = ["a b.jpg", "ü/옷.jpg", "a+b=c&d.jpg", "100%.jpg", "%2e%2e/x.jpg", "'\"<>|*?#~.jpg", "x" * 200]


@pytest.mark.parametrize("key", KEYS)
async def test_any_key_that_is_taken_is_found_again(s3: S3, key: str) -> None:
    stored = await open_store("s3://bucket/keys", s3.options()).put(key, key.encode(), "image/jpeg")
    assert await s3.read(f"keys/{key}") == (key.encode(), "image/jpeg")
    assert stored.url == f"s3://bucket/keys/{key}"


def signature_v4(url: str, secret: str) -> str:
    """What AWS signs of a URL, worked out by its own recipe (Signature Version 4, query parameters)."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    query.pop("X-Amz-Signature")
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items())
    lines = [
        "GET",
        parts.path,
        "&".join(f"{name}={value}" for name, value in pairs),
        f"host:{parts.netloc}",
        "",
        "host",
    ]
    canonical = "\n".join([*lines, "UNSIGNED-PAYLOAD"])
    _, date, region, service, end = query["X-Amz-Credential"].split("/")
    scope = f"{date}/{region}/{service}/{end}"
    words = [query["X-Amz-Algorithm"], query["X-Amz-Date"], scope, digest(canonical.encode())]
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, end):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, "\n".join(words).encode(), "sha256").hexdigest()


def fetched(url: str) -> tuple[bytes, str | None]:
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - loopback
        return answer.read(), answer.headers["content-type"]


async def test_signed_urls_open_what_they_are_for_and_end(s3: S3) -> None:
    store = open_store("s3://bucket/a b", s3.options(urls="signed", signed_url_s=120))
    stored = await store_analysis(store, two(b"one"), PHOTO)
    url = stored.analysis.garments[0].crop.url
    assert url is not None
    query = dict(parse_qsl(urlsplit(url).query))
    assert query["X-Amz-Expires"] == "120"
    assert query["X-Amz-Signature"] == signature_v4(url, s3.users["writer"][1])
    assert s3.users["writer"][1] not in url
    check_signatures(s3.port, after=1)  # the server checks no signature in a query, and fails where it has to
    assert await asyncio.to_thread(fetched, url) == (b"one", "image/jpeg")
    check_signatures(s3.port)
    assert stored.document is not None
    document, _ = await s3.read(f"a b/{stored.document.key}")
    assert b"X-Amz" not in document, "what is stored leads to places that last"
    assert b"s3://bucket/a b/crops/" in document


# --- who is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "user", "more", "words"),
    [
        ("s3://missing/x", "writer", {}, "s3://missing/x does not exist. Make the bucket"),
        ("s3://bucket", "reader", {}, "may not be written with these credentials"),
        ("s3://bucket", "writer", {"secret_access_key": SecretStr(SECRET)}, "does not accept the secret key"),
        ("s3://bucket", "writer", {"access_key_id": "AKIAUNKNOWN"}, "does not know the access key"),
        ("s3://bucket", "writer", {"endpoint_url": "http://127.0.0.1:1"}, "cannot be reached"),
        ("s3://bucket", "writer", {"endpoint_url": "https://s3.invalid"}, "cannot be reached"),
    ],
)
async def test_who_may_not_store_is_told_why(s3: S3, place: str, user: str, more: dict[str, Any], words: str) -> None:
    store = open_store(place, s3.options(user, **more))
    start_s = time.monotonic()
    stored = await store_analysis(store, two(b"1", b"2", b"3"), PHOTO)
    assert time.monotonic() - start_s < 10
    assert len(stored.failures) == 4
    assert all(words in failure.reason for failure in stored.failures)
    with pytest.raises(StoreUnusableError, match=words):
        await check_store(store)


async def test_tls_is_not_spoken_to_who_speaks_it_not(s3: S3) -> None:
    store = open_store("s3://bucket", s3.options(endpoint_url=f"https://127.0.0.1:{s3.port}"))
    with pytest.raises(StoreUnusableError, match="cannot be reached"):
        await check_store(store)


async def test_without_credentials_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(StoreUnusableError, match="There are no credentials for the store s3://bucket"):
        await check_store(open_store("s3://bucket", StoreOptions(**QUICK)))


# --- odd servers ------------------------------------------------------------------------------------------------------


@dataclass
class Odd:
    """A server that answers as it was told, and then that nothing is there and everything was stored."""

    script: list[tuple[int, bytes] | str]
    port: int = 0
    heads: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    pause_s: float = 0.0

    def options(self, **more: Any) -> StoreOptions:  # noqa: ANN401
        given: dict[str, Any] = {
            "endpoint_url": f"http://127.0.0.1:{self.port}",
            "access_key_id": "AKIDEXAMPLE",
            "secret_access_key": SecretStr(SECRET),
            "session_token": SecretStr(SECRET),
            **QUICK,
        }
        return StoreOptions(**{**given, **more})

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                self.heads.append(head)
                lines = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
                await reader.readexactly(int(lines.get("content-length", 0)))
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                await asyncio.sleep(self.pause_s)
                self.at_once -= 1
                is_head = head.startswith("HEAD")
                told = self.script.pop(0) if self.script else (404 if is_head else 200, b"")
                if told == "hang up":
                    break
                if told == "hang":
                    await asyncio.sleep(60)
                assert not isinstance(told, str)
                status, body = told
                size = (
                    f'Content-Length: {len(body)}\r\nETag: "x"\r\nLast-Modified: Mon, 16 Nov 2026 10:00:00 GMT\r\n\r\n'
                )
                writer.write(f"HTTP/1.1 {status} Odd\r\n{size}".encode() + (b"" if is_head else body))
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def odd(*script: tuple[int, bytes] | str) -> AsyncIterator[Odd]:
    running = Odd(list(script))
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await running.handle(reader, writer)
        writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def xml(code: str) -> bytes:
    echo = f"<AWSAccessKeyId>{SECRET}</AWSAccessKeyId><StringToSign>{SECRET}</StringToSign><Message>{SECRET}</Message>"
    return f"<?xml version='1.0'?><Error><Code>{code}</Code>{echo}</Error>".encode()


NOT_THERE = (404, b"")
ODDITIES: list[tuple[list[tuple[int, bytes] | str], type[StorageError], str]] = [
    ([NOT_THERE, (503, xml("SlowDown")), (503, xml("SlowDown"))], StorageError, r"503 \(SlowDown\). Try again later"),
    ([NOT_THERE, (400, xml("OddRequest"))], StorageError, r"400 \(OddRequest\). Check bucket"),
    ([NOT_THERE, (403, b"forbidden")], StoreUnusableError, "refuses the credentials: HTTP status 403"),
    ([NOT_THERE, (401, xml("Odd"))], StoreUnusableError, r"refuses the credentials: HTTP status 401 \(Odd\)"),
    ([NOT_THERE, (404, b"<html>")], StoreUnusableError, "does not exist: HTTP status 404"),
    ([NOT_THERE, (400, xml("ExpiredToken"))], StoreUnusableError, "credentials have run out"),
    ([NOT_THERE, (403, xml("RequestTimeTooSkewed"))], StoreUnusableError, "clock is wrong"),
    ([NOT_THERE, (400, xml("AuthorizationHeaderMalformed"))], StoreUnusableError, "in another region"),
    ([NOT_THERE, (507, xml("QuotaExceeded")), (507, xml("QuotaExceeded"))], StoreUnusableError, "no room left"),
    ([NOT_THERE, (301, xml("PermanentRedirect"))], StoreUnusableError, "in another region"),
    ([NOT_THERE, "hang up", "hang up"], StoreUnusableError, "cannot be reached"),
    ([NOT_THERE, "hang", "hang"], StoreUnusableError, "cannot be reached"),
    ([(500, b""), (500, b"")], StorageError, "HTTP status 500"),
]


@pytest.mark.parametrize(("script", "kind", "words"), ODDITIES)
async def test_every_odd_answer_has_a_name_and_no_secret_in_it(
    script: list[tuple[int, bytes] | str],
    kind: type[StorageError],
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    async with odd(*script) as server:
        store = open_store("s3://bucket", server.options(timeout_s=0.3))
        with pytest.raises(StorageError, match=words) as caught:
            await store.put(f"crops/{digest(b'x')}.jpg", b"x", "image/jpeg")
    assert type(caught.value) is kind
    assert caught.value.__cause__ is caught.value.__context__ is None
    texts = [str(caught.value), repr(caught.value), "".join(traceback.format_exception(caught.value)), caplog.text]
    texts += [repr(store), *map(repr, vars(store).values())]
    assert not any(SECRET in text or "AKIDEXAMPLE" in str(caught.value) for text in texts)


async def test_a_store_that_stumbles_is_asked_again() -> None:
    async with odd((500, b""), NOT_THERE, (503, xml("SlowDown"))) as server:
        store = open_store("s3://bucket", server.options(max_retries=3, retry_timeout_s=20))
        assert (await store.put(f"crops/{digest(b'x')}.jpg", b"x", "image/jpeg")).is_new
        assert [head.split()[0] for head in server.heads] == ["HEAD", "HEAD", "PUT", "PUT"]


async def test_objects_under_way_are_limited() -> None:
    async with odd() as server:
        server.pause_s = 0.01
        store = open_store("s3://bucket", server.options(max_concurrency=3))
        jpegs = [str(index).encode() for index in range(20)]
        stored = await store_analysis(store, two(*jpegs), PHOTO)
        assert stored.failures == ()
        assert server.most_at_once == 3


async def test_supabase_is_asked_as_it_wants_to_be() -> None:
    async with odd() as server:
        endpoint = f"http://127.0.0.1:{server.port}/storage/v1/s3"
        options = server.options(endpoint_url=endpoint, region="eu-central-1", session_token=None)
        await open_store("supabase://ref/crops/a b", options).put("x.jpg", b"x", "image/jpeg")
        (head,) = server.heads
        assert head.startswith("PUT /storage/v1/s3/crops/a%20b/x.jpg HTTP/1.1")
        assert "/eu-central-1/s3/aws4_request" in head
        assert "content-type: image/jpeg" in head.lower()
        assert SECRET not in head
    assert repr(open_store("supabase://ref/crops", StoreOptions(region="x"))) == "ObjectStore(supabase://ref/crops)"


async def test_a_cancelled_object_leaves_its_place() -> None:
    async with odd(NOT_THERE, "hang") as server:
        store = open_store("s3://bucket", server.options(max_concurrency=1, timeout_s=30))
        work = asyncio.create_task(store.put(f"crops/{digest(b'x')}.jpg", b"x", "image/jpeg"))
        async with asyncio.timeout(10):
            while len(server.heads) < 2:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert (await store.put("other.txt", b"x", "text/plain")).is_new


async def test_a_server_that_never_answers_is_not_waited_for() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        options = StoreOptions(
            endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}",
            access_key_id="a",
            secret_access_key=SecretStr(SECRET),
            timeout_s=0.3,
            max_retries=2,
            retry_timeout_s=2,
        )
        start_s = time.monotonic()
        stored = await store_analysis(open_store("s3://bucket", options), two(b"1", b"2", b"3"), PHOTO)
        assert time.monotonic() - start_s < 8
    assert len(stored.failures) == 4
    assert "cannot be reached" in stored.failures[0].reason
