"""What is the same for every request: its id, limits, headers and line in the log, and an answer in any case."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fashioncrop.errors import FashionCropError
from fashioncrop.gateway.problems import (
    BAD_REQUEST,
    DEADLINE,
    FAULT,
    FORBIDDEN,
    MEDIA_TYPE,
    OVERLOADED,
    SLOW_BODY,
    TOO_LARGE,
    ProblemError,
    document,
    problem_of,
)
from fashioncrop.gateway.telling import Figures, log, trace_id

REQUEST_ID = "X-Request-Id"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_UNKNOWN_ROUTE = "unknown"
_LIGHT = ("/health", "/metrics")
"""Answered however much there is to do: who watches must not be turned away."""
_BODIES_HELD = 8
"""So many bodies of the largest size are kept at a time, or more smaller ones: each may be in memory three times."""
_CLIENT_ERROR = 400
_SERVER_ERROR = 500


@dataclass(frozen=True)
class Limits:
    """What a request may take.

    Attributes:
        max_body_bytes: of its body.
        body_timeout_s: until the body is here, in seconds.
        request_timeout_s: from then on until the answer is sent, in seconds.
        max_in_flight: requests at a time; the next is turned away.
    """

    max_body_bytes: int
    body_timeout_s: float
    request_timeout_s: float
    max_in_flight: int


class Edge:
    """ASGI middleware around the whole application.

    Args:
        app: what answers.
        limits: of each request.
        figures: what is counted.
        open_to: the only origins whose pages may ask, where nobody needs a key; None where everybody needs one.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Limits, figures: Figures, open_to: frozenset[str] | None = None
    ) -> None:
        self._app, self._limits, self._figures, self._open_to = app, limits, figures, open_to
        self._in_flight = self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(self, self._limits, scope, receive, send).run()

    async def pass_on(self, exchange: _Exchange) -> None:
        """Have the request answered, if it may be.

        Raises:
            ProblemError: it may not.
        """
        headers = Headers(scope=exchange.scope)
        exchange.check(headers)
        if self._open_to is not None:
            _check_at_home(headers, self._open_to)
        is_light = exchange.scope["path"].startswith(_LIGHT)
        if not is_light and self._in_flight >= self._limits.max_in_flight:
            raise ProblemError(
                OVERLOADED,
                f"The gateway works on {self._in_flight} requests, and takes no more at a time. Try again in a second.",
                headers={"Retry-After": "1"},
            )
        self._in_flight += not is_light
        self._figures.in_flight(self._in_flight)
        try:
            async with asyncio.timeout(None) as exchange.deadline:
                exchange.start_clock()
                await self._app(exchange.scope, exchange.receive, exchange.send)
        finally:
            self._in_flight -= not is_light
            self._figures.in_flight(self._in_flight)

    def hold(self, amount: int) -> None:
        """Keep so many more bytes of bodies; fewer where it is negative.

        Raises:
            ProblemError: there are too many already.
        """
        if amount > 0 and self._held_bytes + amount > _BODIES_HELD * self._limits.max_body_bytes:
            raise ProblemError(
                OVERLOADED,
                "The gateway holds as many large requests as it can. Try again in a second.",
                headers={"Retry-After": "1"},
            )
        self._held_bytes += amount

    def tell(self, exchange: _Exchange) -> None:
        """Count the request and write its line."""
        route = getattr(exchange.scope.get("route"), "path", _UNKNOWN_ROUTE)
        seconds = time.perf_counter() - exchange.start_s
        method = exchange.scope["method"] if exchange.scope["method"] in _METHODS else "other"
        self._figures.request(route, method, exchange.status, seconds)
        if exchange.scope["path"].startswith(_LIGHT) and exchange.status < _CLIENT_ERROR:
            return  # a line every few seconds would drown the others
        told = {
            "request_id": exchange.id,
            "trace_id": trace_id(),
            "method": method,
            "route": route,
            "status": exchange.status,
            "ms": round(seconds * 1000, 3),
            "key": exchange.scope.get("state", {}).get("caller_id"),
            "bytes_in": exchange.bytes_in,
            "bytes_out": exchange.bytes_out,
            "problem": exchange.problem,
        }
        level = log.warning if exchange.status >= _SERVER_ERROR else log.info
        level("request", extra={name: value for name, value in told.items() if value is not None})


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Exchange:
    """One request and its answer."""

    def __init__(self, edge: Edge, limits: Limits, scope: Scope, receive: Receive, send: Send) -> None:
        self._edge, self._is_told = edge, False
        self.scope, self.start_s = scope, time.perf_counter()
        self.id = secrets.token_hex(8)
        self.status = _SERVER_ERROR
        self.bytes_in = self.bytes_out = 0
        self.problem: str | None = None
        self.deadline = asyncio.timeout(None)
        self._limits, self._receive, self._send = limits, receive, send
        self._is_started = self._is_body_here = False
        self._body_until_s = 0.0

    async def run(self) -> None:
        """Answer, whatever happens; only what happens once the answer has begun ends the connection."""
        try:
            await self._answered()
        finally:
            self._edge.hold(-self.bytes_in)
            self._tell()

    def _tell(self) -> None:
        """Once, and before the answer's end is sent: who has the answer finds its line."""
        if not self._is_told:
            self._is_told = True
            self._edge.tell(self)

    async def _answered(self) -> None:
        try:
            await self._edge.pass_on(self)
        except ProblemError as error:
            await self._refuse(error)
        except FashionCropError as error:
            await self._refuse(problem_of(error, self.id))
        except Exception as error:  # noqa: BLE001 - nobody gets a traceback, or nothing
            if isinstance(error, TimeoutError) and self.deadline.expired():
                words = f"There was no answer within {self._limits.request_timeout_s:g} s. Try again, or send less."
                await self._refuse(ProblemError(DEADLINE, words))
                return
            log.exception("fault", extra={"request_id": self.id})
            words = "The gateway failed in a way nobody foresaw. Its operator finds the reason in the log."
            await self._refuse(ProblemError(FAULT, words))

    def check(self, headers: Headers) -> None:
        """Refuse by the headers what need not be read.

        Raises:
            ProblemError: the id is no id, or the body is larger than what is taken.
        """
        given = headers.get(REQUEST_ID)
        if given is not None and not _ID.fullmatch(given):
            raise ProblemError(
                BAD_REQUEST, f"{REQUEST_ID} must have 1 to 64 letters, digits, dots, hyphens and underscores."
            )
        self.id = given or self.id
        self.scope.setdefault("state", {})["request_id"] = self.id
        length = headers.get("Content-Length", "")
        if length.isdigit() and int(length) > self._limits.max_body_bytes:
            raise self._too_large()

    def start_clock(self) -> None:
        """From now on the body has its time."""
        self._body_until_s = asyncio.get_running_loop().time() + self._limits.body_timeout_s
        if _has_no_body(Headers(scope=self.scope)):
            self._body_is_here()

    async def receive(self) -> Message:
        """The next piece of the body, in time and within the limit.

        Raises:
            ProblemError: it is late or too large.
        """
        if self._is_body_here:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._body_until_s):
                message = await self._receive()
        except TimeoutError:
            raise ProblemError(
                SLOW_BODY,
                f"The request's body was not here within {self._limits.body_timeout_s:g} s. Send it faster, or less.",
            ) from None
        size = len(message.get("body", b""))
        if self.bytes_in + size > self._limits.max_body_bytes:
            raise self._too_large()
        self._edge.hold(size)
        self.bytes_in += size
        if not message.get("more_body", False):
            self._body_is_here()
        return message

    async def send(self, message: Message) -> None:
        """Pass a piece of the answer on; its head with the headers that all have."""
        if message["type"] == "http.response.start":
            self._is_started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self.id
            for name, value in _SAFE_HEADERS.items():
                headers.setdefault(name, value)
        else:
            self.bytes_out += len(message.get("body", b""))
            if not message.get("more_body", False):
                self._tell()
        await self._send(message)

    async def _refuse(self, error: ProblemError) -> None:
        if self._is_started:
            # Half an answer must not look like a whole one: uvicorn closes the connection.
            raise ConnectionAbortedError("The answer broke off.") from error
        self.problem = error.kind.name
        await send_problem(error, self.id, self.send)

    def _body_is_here(self) -> None:
        if not self._is_body_here:
            self._is_body_here = True
            self.deadline.reschedule(asyncio.get_running_loop().time() + self._limits.request_timeout_s)

    def _too_large(self) -> ProblemError:
        return ProblemError(
            TOO_LARGE,
            f"The request has more than {self._limits.max_body_bytes} bytes. Send a smaller photo, fewer at a time, or "
            "the photo's URL.",
        )


async def send_problem(error: ProblemError, request_id: str, send: Send) -> None:
    """Answer with a problem."""
    body = json.dumps(document(error.problem(request_id))).encode()
    headers: Mapping[str, str] = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        **error.headers,
    }
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.kind.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _has_no_body(headers: Headers) -> bool:
    return "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"


def _check_at_home(headers: Headers, origins: frozenset[str]) -> None:
    """Where nobody needs a key, web pages of others could ask through a browser on this machine.

    Raises:
        ProblemError: a page of another origin asks, or a name was bent to lead here (DNS rebinding).
    """
    host = headers.get("host", "")
    if not _is_loopback(host):
        raise ProblemError(
            FORBIDDEN,
            "A gateway without keys answers under the names of this machine only, such as http://localhost. Ask under "
            "one of them, or start it with keys.",
        )
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host and origin not in origins:
        raise ProblemError(
            FORBIDDEN, "A gateway without keys answers no web pages of other origins. Start it with keys."
        )


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
