"""The gateway as a process: listening, patience with connections, and an orderly end."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import json
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from fashioncrop.analyzing.opening import Parts, open_parts
from fashioncrop.errors import OptionError
from fashioncrop.gateway.app import create_app
from fashioncrop.gateway.keys import keys_of
from fashioncrop.gateway.problems import BAD_REQUEST, MEDIA_TYPE, ProblemError, document
from fashioncrop.gateway.searching import open_finder
from fashioncrop.gateway.telling import start_logging
from fashioncrop.gateway.tracing import open_tracing
from fashioncrop.gateway.work import Workshop
from fashioncrop.settings import Settings

if TYPE_CHECKING:
    from fashioncrop.gateway.jobs.book import Book

_log = logging.getLogger("fashioncrop.gateway")

_HEAD_WITHIN_S = 10.0
_REST_WITHIN_S = 5.0
_IDLE_S = 30
_MAX_HEAD_BYTES = 32_768
_BACKLOG = 512


class PatientProtocol(H11Protocol):
    """uvicorn's, which waits for nobody for ever.

    A connection is closed where a request's head does not arrive, and where the rest of a body that nobody wants any
    more does not end: the answer has been sent by then, and reading on lets it arrive.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.access_log = False  # the edge writes a better line, without the query
        self._is_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request's head."""
        super().connection_made(transport)
        # asyncio does so only for sockets that name their protocol. Without it an answer's second piece waits 40 ms for
        # the other side's word about the first.
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Begin to wait for the next head where it has begun, and has not come whole."""
        if self._is_over:
            return
        was_idle = self.conn.their_state is h11.IDLE
        super().data_received(data)
        if was_idle and self.conn.their_state is h11.IDLE:
            self._await_head()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, and read on for a while: closing at once would take the answer back."""
        self._is_over = True
        error = ProblemError(BAD_REQUEST, f"{msg.rstrip('.')}: it is not HTTP/1.1, or its head is too long.")
        body = json.dumps(document(error.problem())).encode()
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_REST_WITHIN_S, self.transport.close)

    def on_response_complete(self) -> None:
        """Read the rest of the body for a while."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self.loop.call_later(_REST_WITHIN_S, self._close_if, self.cycle, h11.SEND_BODY)

    def _await_head(self) -> None:
        self.loop.call_later(_HEAD_WITHIN_S, self._close_if, self.cycle, h11.IDLE)

    def _close_if(self, cycle: object, state: object) -> None:
        """Close where neither another request nor anything else has come since."""
        is_waiting = self.cycle is cycle and self.conn.their_state is state
        if is_waiting and self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self.transport.close()


class DrainingServer(uvicorn.Server):
    """uvicorn's, which first says that it is not ready and still answers for a while."""

    def __init__(self, config: uvicorn.Config, workshop: Workshop, drain_s: float) -> None:
        super().__init__(config)
        self._workshop, self._drain_s = workshop, drain_s

    async def answer(self, listening: socket.socket) -> None:
        """Answer what comes to a socket, until told to stop; then close what is open."""
        try:
            await self.serve(sockets=[listening])
        finally:
            await self._workshop.gatekeeper.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: drain, then stop. SIGINT, or a second signal: stop at once, a third does not wait for answers.

        Nothing is raised again afterwards, as uvicorn does: what is open is closed, and that is a good end.
        """
        del frame
        if sig == signal.SIGTERM and not self._workshop.is_draining:
            self._workshop.is_draining = True
            asyncio.get_running_loop().call_soon_threadsafe(self._drain)
        elif self.should_exit:
            self.force_exit = True
        else:
            self.should_exit = True

    def _drain(self) -> None:
        _log.info("draining", extra={"seconds": self._drain_s})
        asyncio.get_running_loop().call_later(self._drain_s, setattr, self, "should_exit", True)


def serve(settings: Settings, *, needs_keys: bool, on_ready: Callable[[str], None]) -> None:
    """Answer until told to stop.

    Args:
        settings: see `Settings`.
        needs_keys: False lets everybody in who is on this machine.
        on_ready: is told the address.

    Raises:
        OptionError: the address is taken or is not this machine's, there are no keys where they are needed, nobody
            needs a key and others can reach the address, or an extra is not installed.
        FashionCropError: as `open_parts` and `open_finder`.
    """
    start_logging()
    asyncio.run(_serve(settings, needs_keys=needs_keys, on_ready=on_ready))


async def _serve(settings: Settings, *, needs_keys: bool, on_ready: Callable[[str], None]) -> None:
    host, port = _address(settings.listen)
    if not needs_keys and not _is_loopback(host):
        raise OptionError(
            f"Without keys the gateway answers on this machine only, and {settings.listen} can be reached from others. "
            "Listen on 127.0.0.1, or leave --no-auth out."
        )
    keys = keys_of(settings) if needs_keys else None
    if keys is not None and not any(record.revoked is None for record in keys.records()):
        raise OptionError(
            f"There is no key in {keys.path}, so nobody could ask anything. Make one: fashioncrop keys create NAME"
        )
    with open_tracing(settings.traces_url) as tracing:
        async with (
            opened(settings, tracing.headers) as parts,
            _book(settings) as book,
            open_finder(settings, _log.warning) as catalogue,
        ):
            app = create_app(parts, settings, keys, book=book, catalogue=catalogue, tracer_provider=tracing.provider)
            server = make_server(app, settings)
            listening = _bound(host, port)
            # What is there by now stays: collections that walk through it again and again hold the event loop up.
            gc.collect()
            gc.freeze()
            shown = f"[{host}]" if ":" in host else host
            on_ready(f"http://{shown}:{listening.getsockname()[1]}")
            await server.answer(listening)


def opened(settings: Settings, headers: Callable[[], Mapping[str, str]] = dict) -> AbstractAsyncContextManager[Parts]:
    """Everything that the settings name, DINO-X included where there is a key."""
    dinox = settings.detector == "dinox" or settings.dinox_api_key is not None
    return open_parts(settings, dinox=dinox, on_warning=_log.warning, headers=headers)


@asynccontextmanager
async def _book(settings: Settings) -> AsyncIterator[Book | None]:
    if not settings.jobs:
        yield None
        return
    try:
        from fashioncrop.gateway.jobs.book import open_book  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise OptionError("Jobs need more packages. Run pip install 'fashioncrop[jobs]'.") from error
    async with open_book(settings) as book:
        yield book


def make_server(app: FastAPI, settings: Settings) -> DrainingServer:
    """The server for an application of `create_app`."""
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=round(settings.request_timeout_s + settings.body_timeout_s),
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
    )
    return DrainingServer(config, app.state.workshop, settings.drain_s)


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bound(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OptionError(
            f"The gateway cannot listen on {host}:{port}: {error.strerror or error}. Choose another with --listen."
        ) from error
