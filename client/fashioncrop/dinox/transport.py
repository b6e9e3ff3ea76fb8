"""One request to the service and its answer, whatever happens on the way. The only module here that knows httpcore2.

What goes wrong is returned, not raised: an exception of a lower layer may quote what was sent or received, and with it
the token.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import httpcore2

from fashioncrop.dinox.settings import DinoXSettings

MAX_ANSWER_BYTES = 8 * 2**20
"""Three hundred objects take about 60 kB; the rest is room for what the service adds."""

_FAULTS = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
    httpcore2.ConnectionNotAvailable,
    OSError,
)


@dataclass(frozen=True)
class Answer:
    """What the service answered.

    Attributes:
        status: of HTTP.
        retry_after: the header, or an empty text.
        body: all of it.
    """

    status: int
    retry_after: str
    body: bytes


@dataclass(frozen=True)
class Lost:
    """Why there is no answer.

    Attributes:
        words: complete "DINO-X (address) ...".
        why: time ran out; nobody there or cut off; the certificate is not trusted; an answer that is not taken.
    """

    words: str
    why: Literal["late", "unreachable", "untrusted", "strange"]


class Transport:
    """The connections to one service; for one event loop."""

    def __init__(self, settings: DinoXSettings, ssl_context: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._base = urlsplit(settings.base_url.rstrip("/"))
        self._ssl_context = ssl_context
        self._pool: httpcore2.AsyncConnectionPool | None = None
        self._is_closed = False

    async def close(self) -> None:
        """Close the connections."""
        self._is_closed = True
        if self._pool is not None:
            await self._pool.aclose()

    async def send(self, method: str, path: str, *, headers: Iterable[tuple[str, str]], body: bytes) -> Answer | Lost:
        """Send one request; redirects are not followed."""
        limit_s = self._settings.request_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await self._send(method, path, headers, body)
        except TimeoutError:
            return Lost(f"did not answer within {limit_s:g} s", "late")
        except _FAULTS as error:
            return _lost(error)

    async def _send(self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer | Lost:
        url = httpcore2.URL(
            scheme=self._base.scheme,
            host=self._base.hostname or "",
            port=self._base.port,
            target=self._base.path + path,
        )
        sent = [
            ("Token", self._settings.api_key.get_secret_value()),
            ("Accept", "application/json"),
            # A compressed answer could unpack to any size.
            ("Accept-Encoding", "identity"),
            ("User-Agent", "fashioncrop"),
            *headers,
        ]
        async with self._connections().stream(method, url, headers=sent, content=body or None) as response:
            if _header(response, b"content-encoding").lower() not in {"", "identity"}:
                return Lost("answers compressed although it was asked not to", "strange")
            received = bytearray()
            async with contextlib.aclosing(response.aiter_stream()) as chunks:
                async for chunk in chunks:
                    if len(received) + len(chunk) > MAX_ANSWER_BYTES:
                        return Lost(f"answers with more than {MAX_ANSWER_BYTES} bytes", "strange")
                    received += chunk
            return Answer(response.status, _header(response, b"retry-after"), bytes(received))

    def _connections(self) -> httpcore2.AsyncConnectionPool:
        if self._is_closed:
            raise RuntimeError("This DinoX is closed; make another.")
        if self._pool is None:
            self._pool = httpcore2.AsyncConnectionPool(
                # Certificates are checked. Reading them takes a while, so that it is done for the first request only.
                ssl_context=self._ssl_context or httpcore2.default_ssl_context(),
                max_connections=self._settings.max_concurrency,
                keepalive_expiry=60.0,
                network_backend=_Backend(),
            )
        return self._pool


class _Backend(httpcore2.AnyIOBackend):
    """As httpcore2's own, but a connection whose TLS handshake is cancelled is closed; httpcore2 forgets it."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the base class's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        stream = await super().connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream)


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def _header(response: httpcore2.Response, name: bytes) -> str:
    return b", ".join(value for key, value in response.headers if key.lower() == name).decode("latin-1").strip()


def _lost(error: Exception) -> Lost:
    # httpcore2 keeps the lower layer's exception as its argument.
    cause = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Lost(f"has a certificate that cannot be trusted ({cause.verify_message})", "untrusted")
    if isinstance(error, httpcore2.TimeoutException):
        return Lost("does not answer", "late")
    if isinstance(error, httpcore2.ConnectError | httpcore2.ProxyError | httpcore2.ConnectionNotAvailable):
        return Lost("cannot be reached", "unreachable")
    return Lost("broke off or does not speak HTTP", "unreachable")
