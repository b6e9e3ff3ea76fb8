"""A chat completions endpoint on loopback that plays what a script says. It sees nothing: its descriptions are made up.

::

    with ScriptedOpenAI([rate_limited("1"), good()]) as server:
        ...  # base_url=server.url: the first request is turned away, all others are answered well
    assert server.requests[0].indices == [1, 2]

`python tests/scripted_openai.py --port 8009` runs it by itself, for a demonstration without a key or a cent.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from scripted_answers import Answer, Recorded, Step, good


class ScriptedOpenAI:
    """The server; each request takes the next step of the script, and the last default is good."""

    def __init__(self, script: Iterable[Step] = (), *, default: Step | None = None, port: int = 0) -> None:
        """Not started yet.

        Args:
            script: what the first requests are answered with, in order.
            default: what all others are answered with.
            port: 0 for any.
        """
        self.requests: list[Recorded] = []
        self.most_at_once = 0
        self._script = list(script)
        self._default = default or good()
        self._at_once = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """What goes into `base_url`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve_forever(self) -> None:
        """Serve in this thread until it is interrupted."""
        self._server.serve_forever()

    def _answer(self, request: Recorded) -> Answer:
        with self._lock:
            self.requests.append(request)
            step = self._script.pop(0) if self._script else self._default
        return step(request)

    def _count(self, change: int) -> None:
        with self._lock:
            self._at_once += change
            self.most_at_once = max(self.most_at_once, self._at_once)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Recorded(self.path, headers, json.loads(body))
                server._count(1)
                try:
                    self._send(server._answer(request), request)
                finally:
                    server._count(-1)

            def _send(self, answer: Answer, request: Recorded) -> None:
                if answer.after_s and _hangs_up(self.connection, answer.after_s):
                    request.hung_up = True
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                try:
                    self.wfile.write(answer.body if answer.sent is None else answer.body[: answer.sent])
                except OSError:  # nobody listens any more
                    self.close_connection = True
                if answer.sent is not None:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        return Handler


def _hangs_up(connection: socket.socket, within_s: float) -> bool:
    """Wait; whether the other side closes meanwhile."""
    readable, _, _ = select.select([connection], [], [], within_s)
    return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""


def main() -> None:
    """Serve good answers until interrupted."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--port", type=int, default=8009, help="on 127.0.0.1; 0 for any")
    server = ScriptedOpenAI(port=parser.parse_args().port)
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")


if __name__ == "__main__":
    main()
