"""The shared cache, asked of a real Redis server: whatever happens there, work goes on."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from fashioncrop import Crop
from fashioncrop.caching import (
    cache_key,
    decode_analysis,
    encode_analysis,
    open_cache,
)
from fashioncrop.caching.shared import RedisCache
from made_analyses import Told, analysis, garment

PASSWORD = "planted:Pass/word+4711"  # noqa: S105 - planted, to be looked for


@pytest.fixture
def told() -> Told:
    return Told([])


@dataclass
class RedisServer:
    """A real server, and how it is reached."""

    port: int
    tls_port: int
    folder: Path
    authority: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://:planted%3APass%2Fword%2B4711@127.0.0.1:{self.port}/0"

    def cli(self, *words: str) -> str:
        command = ["redis-cli", "-p", str(self.port), "--no-auth-warning", "-a", PASSWORD, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_redis(folder: Path, port: int, *options: str) -> subprocess.Popen[bytes]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.fail("These tests ask a real Redis server: apt-get install -y redis-server")
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([*command, "--requirepass", PASSWORD, *options], stdout=subprocess.DEVNULL)
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.02)
    process.kill()
    pytest.fail("redis-server does not start")


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("redis")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    port, tls_port = free_port(), free_port()
    tls = ("--tls-cert-file", "server.pem", "--tls-key-file", "server.pem", "--tls-ca-cert-file", "ca.pem")
    process = start_redis(
        folder, port, "--tls-port", str(tls_port), *tls, "--tls-auth-clients", "no", "--unixsocket", "redis.sock"
    )
    yield RedisServer(port, tls_port, folder, folder / "ca.pem", process)
    process.terminate()
    process.wait(20)


async def test_redis_keeps_answers(redis_server: RedisServer, told: Told) -> None:
    cache = open_cache(redis_server.url, on_warning=told)
    assert await cache.get("key") is None
    await cache.set("key", b"\x00\xff value")
    assert await cache.get("key") == b"\x00\xff value"
    await cache.set("key", b"other")
    assert await cache.get("key") == b"other"
    await cache.close()
    assert redis_server.cli("keys", "*") == "fashioncrop:key"
    left_s = int(redis_server.cli("ttl", "fashioncrop:key"))
    assert 2_500_000 < left_s <= 30 * 24 * 3600, "kept for a month, not for ever"
    assert told.sentences == []


async def test_redis_lets_an_answer_end_with_its_time(redis_server: RedisServer) -> None:
    cache = RedisCache(redis_server.url, prefix="other:")
    await cache.set("brief", b"value", ttl_s=0.05)
    await asyncio.sleep(0.15)
    assert await cache.get("brief") is None
    await cache.close()


async def test_redis_keeps_an_analysis(redis_server: RedisServer) -> None:
    cache = RedisCache(redis_server.url)
    before = analysis((garment(embedding=(0.5,) * 512, crop=Crop(box_xyxy=(0, 0, 9, 9), jpeg=bytes(300_000))),))
    key = cache_key("analysis", {"photo": b"photo"})
    await cache.set(key, encode_analysis(before))
    after = decode_analysis(await cache.get(key) or b"")
    assert after is not None
    assert after.garments == before.garments
    await cache.close()


async def test_redis_over_tls(redis_server: RedisServer, told: Told) -> None:
    url = redis_server.url.replace("redis://", "rediss://").replace(str(redis_server.port), str(redis_server.tls_port))
    trusting = RedisCache(f"{url}?ssl_ca_certs={redis_server.authority}", on_warning=pytest.fail)
    await trusting.set("tls", b"value")
    assert await trusting.get("tls") == b"value"
    await trusting.close()
    distrusting = RedisCache(url, on_warning=told)
    assert await distrusting.get("tls") is None
    await distrusting.close()
    assert len(told.sentences) == 1, "a certificate that nobody trusts is refused"


async def test_redis_over_a_socket_of_this_machine(redis_server: RedisServer) -> None:
    cache = open_cache(f"unix://:planted%3APass%2Fword%2B4711@{redis_server.folder}/redis.sock", on_warning=pytest.fail)
    await cache.set("socket", b"value")
    assert await cache.get("socket") == b"value"
    await cache.close()


async def test_a_wrong_password_is_told_once_and_shown_never(
    redis_server: RedisServer, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    cache = RedisCache(SecretStr(f"redis://:planted-wrong@127.0.0.1:{redis_server.port}/0"), on_warning=told)
    assert await cache.get("key") is None
    await cache.set("key", b"value")
    assert await cache.get("key") is None
    await cache.close()
    shown = f"redis://127.0.0.1:{redis_server.port}/0"
    assert told.sentences == [f"The cache {shown} refuses user name or password. The work goes on without it."]
    for text in (repr(cache), str(cache), caplog.text, *map(repr, vars(cache).values())):
        assert "planted" not in text


async def test_a_server_that_is_down_is_told_once_and_found_again(tmp_path: Path, told: Told) -> None:
    port = free_port()
    url = f"redis://:planted%3APass%2Fword%2B4711@127.0.0.1:{port}"
    cache = RedisCache(url, on_warning=told, retry_after_s=0.3)
    start_s = time.monotonic()
    for index in range(50):
        await cache.set(f"{index}", b"value")
        assert await cache.get(f"{index}") is None
    assert time.monotonic() - start_s < 5
    assert told.sentences == [
        f"The cache redis://127.0.0.1:{port} cannot be reached, or does not speak Redis. The work goes on without it."
    ]
    for outage in (1, 2):
        process = start_redis(tmp_path, port)
        await asyncio.sleep(0.35)
        await cache.set("key", b"value")
        assert await cache.get("key") == b"value"
        process.kill()
        process.wait(20)
        assert await cache.get("key") is None
        assert await cache.get("key") is None
        assert len(told.sentences) == 1 + outage, "once each time"
    await cache.close()


async def test_a_slow_server_is_not_waited_for_and_mixes_nothing_up(redis_server: RedisServer, told: Told) -> None:
    cache = RedisCache(redis_server.url, timeout_s=0.2, retry_after_s=0.0, on_warning=told)
    for name in ("one", "two"):
        await cache.set(name, name.encode())
    redis_server.cli("client", "pause", "700", "all")
    start_s = time.monotonic()
    assert await cache.get("one") is None
    assert time.monotonic() - start_s < 0.6
    assert "does not answer within 0.2 s" in told.sentences[0]
    cancelled = asyncio.create_task(cache.get("one"))
    await asyncio.sleep(0.05)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    await asyncio.sleep(1)
    for _ in range(5):
        assert await cache.get("two") == b"two", "not the answer to an earlier question"
    await cache.close()


async def test_a_server_without_room_is_told(redis_server: RedisServer, told: Told) -> None:
    cache = RedisCache(redis_server.url, on_warning=told, retry_after_s=0.0)
    await cache.set("key", b"value")
    redis_server.cli("config", "set", "maxmemory", "1")
    try:
        await cache.set("key", b"other")
    finally:
        redis_server.cli("config", "set", "maxmemory", "0")
    assert "has no memory left" in told.sentences[0]
    assert await cache.get("key") == b"value"
    await cache.close()


async def test_another_kind_of_value_is_not_an_answer(redis_server: RedisServer, told: Told) -> None:
    redis_server.cli("rpush", "fashioncrop:list", "x")
    cache = RedisCache(redis_server.url, on_warning=told)
    assert await cache.get("list") is None
    await cache.close()
    assert "declines (WRONGTYPE)" in told.sentences[0]


async def test_a_server_that_is_none_is_told(told: Told) -> None:
    async def chatter(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(chatter, "127.0.0.1", 0)
    async with server:
        cache = RedisCache(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", on_warning=told)
        assert await cache.get("key") is None
        await cache.close()
    assert len(told.sentences) == 1


async def test_a_value_too_large_for_redis_is_not_sent(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fashioncrop.caching.shared.MAX_VALUE_BYTES", 10)
    cache = RedisCache(redis_server.url)
    await cache.set("large", bytes(11))
    assert await cache.get("large") is None
    await cache.close()


def test_tls_is_checked_unless_the_url_says_otherwise() -> None:
    cache = RedisCache("rediss://host")
    settings = cache._client.connection_pool.connection_kwargs
    assert settings.get("ssl_cert_reqs", "required") in {"required", ssl.CERT_REQUIRED}
    assert json.dumps(repr(cache)) == '"RedisCache(rediss://host)"'
