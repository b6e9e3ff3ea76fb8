"""`fashioncrop serve` as an operator starts and ends it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from fashioncrop._postgres.embedded import _is_held
from fashioncrop.cataloguing.entries import garment_id, photo_id
from fashioncrop.cli import app
from fashioncrop.errors import FashionCropError
from fashioncrop.gateway.keys import KeyFile, Scope
from gateway_world import MODEL, PHOTO, eventually, fill, refused
from planted import at_angle, entry, planted, reachable_folder

COMMAND = [sys.executable, "-c", "from fashioncrop.cli import main; main()", "serve"]
NOBODY = "127.0.0.1:1"
PLANTED = "PLANTED-0123456789"


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHIONCROP_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("FASHIONCROP_KEYS_FILE", str(tmp_path / "keys.json"))


@pytest.fixture
def key(tmp_path: Path) -> str:
    return KeyFile(tmp_path / "keys.json").create("operator", list(Scope))[1]


class Process:
    """A gateway in a process of its own, and what it writes."""

    def __init__(self, *flags: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "--listen", "127.0.0.1:0", "--url", NOBODY, *flags],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.is_ready = threading.Event()
        self.url = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self.is_ready.wait(60), self.lines

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("Ready: "):
                self.url = line.removeprefix("Ready: ").strip()
                self.is_ready.set()
        self.is_ready.set()

    def end(self) -> int:
        code = self.process.wait(60)
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    running: list[Process] = []

    def begin(*flags: str, **variables: str) -> Process:
        running.append(Process(*flags, **variables))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.end()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "no key in .*fashioncrop keys create"),
        (["--no-auth", "--listen", "0.0.0.0:0"], "on this machine only"),
        (["--no-auth", "--listen", "[::]:0"], "on this machine only"),
        (["--no-auth", "--listen", "192.168.7.7:0"], "on this machine only"),
        (["--no-auth", "--listen", "shop.example:0"], "on this machine only"),
        (["--listen", "8080"], "must be HOST:PORT"),
        (["--no-auth", "--rate-limit", "many"], "must be a number of requests"),
        (["--no-auth", "--cors-origins", "*"], "must be origins"),
        (["--no-auth", "--url", "nonsense"], "HOST:PORT"),
        (["--no-auth"], "No server is known"),
        (["--no-auth", "--detector", "dinox", "--url", NOBODY], "DINOX_API_KEY"),
        (["--no-auth", "--mode", "hybrid", "--url", NOBODY], "needs a key"),
    ],
)
def test_what_would_not_serve_is_told_at_once(flags: list[str], words: str) -> None:
    done = CliRunner().invoke(app, ["serve", *flags])
    assert isinstance(done.exception, FashionCropError), done.output
    assert re.search(words, str(done.exception)), done.exception


def test_a_named_catalogue_that_cannot_be_used_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHIONCROP_CATALOGUE", f"postgresql://jo:{PLANTED}@127.0.0.1:1/shop")
    done = CliRunner().invoke(app, ["serve", "--no-auth", "--url", NOBODY])
    assert isinstance(done.exception, FashionCropError), done.output
    assert "127.0.0.1:1/shop is not reached" in str(done.exception)
    assert PLANTED not in str(done.exception)


def test_revoked_keys_are_none_and_an_address_may_be_taken(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    keys.revoke(keys.create("gone", [Scope.ANALYZE])[0].id)
    done = CliRunner().invoke(app, ["serve", "--url", NOBODY])
    assert "no key in" in str(done.exception)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = CliRunner().invoke(app, ["serve", "--no-auth", "--url", NOBODY, "--listen", address])
    assert f"cannot listen on {address}" in str(done.exception)


def test_it_drains_when_it_is_told_to_stop_and_what_was_begun_is_answered(
    start: Callable[..., Process], key: str
) -> None:
    gateway = start("--drain", "2")
    host, port = gateway.url.removeprefix("http://").split(":")
    assert httpx.get(f"{gateway.url}/health/live", trust_env=False).status_code == 200
    with socket.create_connection((host, int(port)), timeout=60) as slow:
        head = f"POST /v1/detect HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n"
        slow.sendall(f"{head}Content-Length: 40\r\n\r\n".encode())
        time.sleep(0.3)
        gateway.process.send_signal(signal.SIGTERM)
        while not any("draining" in line for line in gateway.lines):
            time.sleep(0.02)
        ready = httpx.get(f"{gateway.url}/health/ready", trust_env=False)
        assert "about to stop" in refused(ready, 503, "unavailable")
        assert httpx.get(f"{gateway.url}/health/live", trust_env=False).status_code == 200
        late = httpx.post(f"{gateway.url}/v1/detect", headers={"X-API-Key": key}, trust_env=False)
        assert late.status_code == 415, "it still takes requests"
        time.sleep(2.5)
        slow.sendall(b'{"image": {"base64": "AAAA"}}'.ljust(40))
        answer = slow.recv(65536)
    assert b" 422 " in answer
    assert gateway.end() == 0
    told = [json.loads(line) for line in gateway.lines if line.startswith("{")]
    assert [line["status"] for line in told if line["event"] == "request"] == [503, 415, 422]


def test_it_ends_at_once_by_ctrl_c_and_keeps_secrets_to_itself(start: Callable[..., Process], key: str) -> None:
    gateway = start(
        "--drain",
        "60",
        OPENAI_API_KEY=PLANTED,
        DINOX_API_KEY=PLANTED,
        FASHIONCROP_RATE_LIMIT_REDIS_URL=f"redis://jo:{PLANTED}@127.0.0.1:9/0",
        FASHIONCROP_TIMEOUT_S="0.2",
    )
    headers = {"X-API-Key": key}
    response = httpx.post(
        f"{gateway.url}/v1/detect", files={"image": ("a.png", PHOTO)}, headers=headers, trust_env=False
    )
    assert NOBODY not in response.text
    assert "Retry-After" in response.headers
    refused(response, 503, "unavailable")
    gateway.process.send_signal(signal.SIGINT)
    assert gateway.end() == 0
    written = "".join(gateway.lines)
    assert NOBODY in written, "the operator is told where the server was looked for"
    assert "counted here alone" in written
    assert PLANTED not in written
    assert key not in written
    assert "Traceback" not in written


def test_the_catalogue_is_searched_and_its_database_stops_with_the_gateway(
    start: Callable[..., Process], key: str
) -> None:
    with reachable_folder() as place:
        fill(place, [entry(f"/{number}.jpg", planted(0, at_angle(number, 512)), model=MODEL) for number in range(3)])
        gateway = start("--drain", "0", FASHIONCROP_CATALOGUE=str(place))
        response = httpx.post(
            f"{gateway.url}/v1/search",
            json={"garment": garment_id(photo_id("/0.jpg"), 0)},
            headers={"X-API-Key": key},
            trust_env=False,
        )
        assert [photo["source"] for photo in response.json()["found"][0]["photos"]] == ["/1.jpg", "/2.jpg"]
        page = httpx.get(f"{gateway.url}/ui", trust_env=False).text
        assert re.search(r'<form id="searching" [^>]*novalidate >', page)
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.end() == 0
        eventually(lambda: not _is_held(place / "server.lock"))
    assert not any("Traceback" in line for line in gateway.lines)


def test_a_named_catalogue_that_is_not_there_yet_is_a_warning(start: Callable[..., Process], tmp_path: Path) -> None:
    gateway = start("--no-auth", FASHIONCROP_CATALOGUE=str(tmp_path / "none"))
    assert any("There is no catalogue at" in line for line in gateway.lines)
    response = httpx.post(f"{gateway.url}/v1/search", json={"words": "hat"}, trust_env=False)
    assert "fashioncrop index FOLDER" in refused(response, 503, "no-catalogue")


def test_without_keys_a_warning_is_given(start: Callable[..., Process]) -> None:
    gateway = start("--no-auth")
    assert any("No key is asked for" in line for line in gateway.lines)
    assert httpx.get(f"{gateway.url}/metrics", trust_env=False).status_code == 200
    gateway.process.kill()
    assert gateway.end() == -signal.SIGKILL
