"""DINO-X's REST API on loopback, played by script: honest where nothing is scripted, and as odd as a test wants.

Run as a script it prints its address and serves until it is ended::

    python tests/scripted_dinox.py --key KEY --objects '[{"category": "shirt", "bbox": [1, 2, 30, 40], "score": 0.9}]'
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import socket
import ssl
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

CREATE = "/v2/task/dinox/detection"
STATUS = "/v2/task_status/"
KEY = "scripted-dinox-key"

Objects = list[dict[str, Any]]
Finder = Callable[[list[str], tuple[int, int]], Objects]
"""The prompt's phrases, and width and height of what was sent, to what is found there."""


@dataclass(frozen=True)
class Reply:
    """One answer, right or wrong.

    Attributes:
        status: of HTTP; 0 hangs up without a word.
        body: bytes as they are; anything else as JSON.
        headers: further ones.
        delay_s: before the first byte, in seconds.
        length: `Content-Length`, where it shall differ from the body's.
        drip_s: pause after each byte of the body, in seconds.
        endless: send the body again and again, without a length.
    """

    status: int = 200
    body: Any = b""
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    length: int | None = None
    drip_s: float = 0.0
    endless: bool = False


def ok(data: Any) -> Reply:  # noqa: ANN401 - any JSON
    return Reply(body={"code": 0, "msg": "ok", "data": data})


def declined(words: str, code: int = 1000, status: int = 200) -> Reply:
    return Reply(status=status, body={"code": code, "msg": words, "data": None})


def state(status: str, **more: Any) -> Reply:  # noqa: ANN401 - any JSON
    return ok({"status": status, "uuid": "t", "error": None, **more})


HANG_UP = Reply(status=0)


@dataclass
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any

    @property
    def prompt(self) -> str:
        return str(self.body["prompt"]["text"])

    @property
    def image(self) -> Image.Image:
        data = base64.b64decode(self.body["image"].partition(",")[2])
        return Image.open(io.BytesIO(data))


def nothing(_phrases: list[str], _size_wh: tuple[int, int]) -> Objects:
    return []


@dataclass
class ScriptedDinoX:
    """The service, and what was asked of it.

    Attributes:
        creations: the next answers to creating a task; honest where there is none.
        states: the next answers to asking for a task; honest where there is none.
        find: what an honest task finds.
        polls: how often an honest task is asked for before it is done.
    """

    key: str = KEY
    find: Finder = nothing
    polls: int = 1
    creations: deque[Reply] = field(default_factory=deque)
    states: deque[Reply] = field(default_factory=deque)
    received: list[Received] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    tasks: dict[str, list[Any]] = field(default_factory=dict)
    at_once: int = 0
    most_at_once: int = 0
    url: str = ""
    _by_key: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def created(self) -> list[Received]:
        return [one for one in self.received if one.method == "POST"]

    def asked(self) -> list[Received]:
        return [one for one in self.received if one.method == "GET"]

    def answer(self, request: Received) -> Reply:
        with self._lock:
            self.received.append(request)
            self.times_s.append(time.monotonic())
            script = self.creations if request.method == "POST" else self.states
            if script:
                return script.popleft()
            if request.headers.get("token") != self.key:
                return declined("Invalid token", status=401)
            return self._create(request) if request.method == "POST" else self._state(request)

    def _create(self, request: Received) -> Reply:
        if request.path != CREATE:
            return declined("no such API", status=404)
        repeated = self._by_key.get(request.headers.get("idempotency-key", ""))
        task = repeated or str(uuid.uuid4())
        if repeated is None:
            self._by_key[request.headers.get("idempotency-key", "")] = task
            phrases = request.prompt.split(".")
            self.tasks[task] = [self.polls, self.find(phrases, request.image.size)]
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        return ok({"task_uuid": task})

    def _state(self, request: Received) -> Reply:
        task = self.tasks.get(request.path.removeprefix(STATUS))
        if task is None:
            return declined("no such task", status=404)
        task[0] -= 1
        if task[0] >= 0:
            return state("waiting" if task[0] else "running")
        self.at_once -= 1
        return state("success", result={"objects": task[1]})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._play()

    def do_POST(self) -> None:
        self._play()

    def _play(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Received(self.command, self.path, headers, json.loads(raw) if raw else None)
        reply = self.server.script.answer(request)
        with contextlib.suppress(OSError):  # who was refused something hangs up in the middle
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        self.server.ended.wait(reply.delay_s)
        if reply.status == 0:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if not reply.endless:
            self.send_header("Content-Length", str(len(body) if reply.length is None else reply.length))
        self.end_headers()
        while True:
            for piece in (body[at : at + 1] for at in range(len(body))) if reply.drip_s else (body,):
                self.wfile.write(piece)
                if self.server.ended.wait(reply.drip_s):
                    return
            if not reply.endless:
                break
        self.close_connection = reply.length is not None

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - the base class's signature
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, script: ScriptedDinoX) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.ended = threading.Event()

    def handle_error(self, *_: Any) -> None:  # noqa: ANN401 - the base class's signature
        pass  # a handshake that fails, or a client that hangs up, is what some tests want


@contextlib.contextmanager
def scripted_dinox(
    script: ScriptedDinoX | None = None, *, tls: ssl.SSLContext | None = None
) -> Iterator[ScriptedDinoX]:
    """Serve on a free port of loopback, in a thread; `url` of what is yielded says where."""
    script = script or ScriptedDinoX()
    server = _Server(script)
    if tls is not None:
        # The handshake is the handler's, so that one client that breaks it off does not hold the others.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    script.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", default=KEY)
    parser.add_argument("--objects", type=json.loads, default=[], help="what every task finds, as JSON")
    parser.add_argument("--polls", type=int, default=1, help="how often a task is asked for before it is done")
    given = parser.parse_args()
    script = ScriptedDinoX(key=given.key, polls=given.polls, find=lambda _phrases, _size_wh: given.objects)
    with scripted_dinox(script), contextlib.suppress(KeyboardInterrupt):
        print(script.url, flush=True)  # noqa: T201 - whoever started it reads it
        threading.Event().wait()


if __name__ == "__main__":
    main()
