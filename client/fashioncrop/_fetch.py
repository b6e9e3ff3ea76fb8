"""Photos from URLs, fetched so that a stranger's URL cannot reach what only this machine can reach.

A URL that others choose is a request that others send from inside the network (server-side request forgery). So: https;
every address behind the host must be public; the connection goes to the address that was checked, never to a second
look-up; each redirect starts over; bytes and seconds are limited whatever the server says; no proxy of the environment
is asked. Only this module and `dinox.transport` know httpcore2.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpcore2

from fashioncrop._addresses import AddressCheck, Resolver, resolve_by_system, why_not_public
from fashioncrop._photo_url import PhotoUrl, parse_photo_url, shown_url
from fashioncrop.errors import FetchError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_OK = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# `binary/octet-stream` is what S3 says where nobody said anything.
_BINARY_TYPES = frozenset({"application/octet-stream", "binary/octet-stream"})
_MAX_ADDRESSES = 4
_MAX_QUOTED_CHARACTERS = 120

# Everything that httpcore2 raises, and what sockets and TLS raise past it.
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
class FetchLimits:
    """What a photo may cost and where it may come from.

    Attributes:
        max_bytes: size of the file.
        timeout_s: wall time for all of it: look-up, redirects and body.
        max_redirects: redirects that are followed.
        allow_http: fetch over http too; anybody on the way can then see and exchange the photo.
        allow_private_addresses: fetch from this machine and private networks too. Only for URLs of your own.

    Raises:
        OptionError: a limit is outside its range.
    """

    max_bytes: int = 33_554_432
    timeout_s: float = 20.0
    max_redirects: int = 5
    allow_http: bool = False
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        if self.max_bytes < 1:
            raise OptionError(f"max_bytes must be at least 1; got {self.max_bytes}.")
        if not self.timeout_s > 0:
            raise OptionError(f"timeout_s must be above 0; got {self.timeout_s}.")
        if self.max_redirects < 0:
            raise OptionError(f"max_redirects must be at least 0; got {self.max_redirects}.")


@dataclass(frozen=True)
class Network:
    """What a URL is fetched through; tests put their own here.

    Attributes:
        resolve: host name to addresses, asked once a hop.
        check: why an address is refused.
        ssl_context: which certificates are trusted; None is the system's.
    """

    resolve: Resolver = resolve_by_system
    check: AddressCheck = why_not_public
    ssl_context: ssl.SSLContext | None = None


_INTERNET = Network()


async def fetch_photo(url: str, *, limits: FetchLimits, network: Network = _INTERNET) -> bytes:
    """Fetch the file behind `url`.

    Args:
        url: begins with https:// (http:// where `limits` allow it).
        limits: what the photo may cost and where it may come from.
        network: what it is fetched through.

    Returns:
        The file as the server sent it, not decoded.

    Raises:
        FetchError: the URL may not be fetched, cannot be, or does not lead to a photo.
    """
    try:
        async with asyncio.timeout(limits.timeout_s):
            return await _follow(parse_photo_url(url, allow_http=limits.allow_http), limits, network)
    except TimeoutError as error:
        shown = shown_url(url.strip())
        raise FetchError(
            f"{shown} was not there after {limits.timeout_s:g} s. Try again, or allow more time with timeout_s.",
            url=shown,
        ) from error


async def _follow(url: PhotoUrl, limits: FetchLimits, network: Network) -> bytes:
    first = url
    visited = {url}
    for _ in range(limits.max_redirects + 1):
        try:
            answer = await _request(url, limits, network)
        except FetchError as error:
            if url is first:
                raise
            raise FetchError(f"{error} ({first.shown} redirects there.)", url=error.url) from error
        if isinstance(answer, bytes):
            return answer
        url = answer
        if url in visited:
            raise FetchError(f"{first.shown} redirects in a circle. Use the URL of the photo itself.", url=first.shown)
        visited.add(url)
    raise FetchError(
        f"{first.shown} redirects more than {limits.max_redirects} times. Use the URL of the photo itself.",
        url=first.shown,
    )


async def _request(url: PhotoUrl, limits: FetchLimits, network: Network) -> bytes | PhotoUrl:
    """Ask once: the photo, or where a redirect leads."""
    addresses = await _checked_addresses(url, limits, network)
    headers: Sequence[tuple[str, str]] = [
        ("Host", url.authority),
        ("Accept", "image/*"),
        # A compressed answer could unpack to any size.
        ("Accept-Encoding", "identity"),
        ("User-Agent", "fashioncrop"),
        ("Connection", "close"),
    ]
    request_url = httpcore2.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target)
    try:
        async with (
            contextlib.aclosing(
                _PinnedBackend(addresses, connect_timeout_s=limits.timeout_s / len(addresses))
            ) as backend,
            # One pool a hop, so that no connection outlives the check of its address.
            httpcore2.AsyncConnectionPool(
                ssl_context=network.ssl_context or _system_certificates(), network_backend=backend, max_connections=1
            ) as pool,
            pool.stream("GET", request_url, headers=headers) as response,
        ):
            if response.status in _REDIRECTS:
                return url.redirected(_location(response, url), allow_http=limits.allow_http)
            _check_head(response, url, limits)
            return await _read_body(response, url, limits)
    except _FAULTS as error:
        raise FetchError(_failure(error, url), url=url.shown) from error


async def _checked_addresses(url: PhotoUrl, limits: FetchLimits, network: Network) -> Sequence[str]:
    if url.is_address():
        addresses: Sequence[str] = [url.host]
    else:
        try:
            addresses = await network.resolve(url.host, url.port)
        except (OSError, UnicodeError) as error:
            message = f"{url.shown} cannot be fetched: its host is unknown. Check the spelling, or the connection."
            raise FetchError(message, url=url.shown) from error
    if not addresses:
        raise FetchError(f"{url.shown} cannot be fetched: its host has no address.", url=url.shown)
    if not limits.allow_private_addresses:
        # One private address among public ones is refused too: which one is used is chance, or somebody's choice.
        for address in addresses:
            reason = network.check(address)
            if reason is not None:
                # The address itself is left out: the sentence may reach whoever sent the URL.
                raise FetchError(
                    f"{url.shown} is refused: its host leads to an address that is not public ({reason}). Pass the "
                    "photo's bytes instead, or allow private addresses if every URL comes from you.",
                    url=url.shown,
                )
    return addresses[:_MAX_ADDRESSES]


class _PinnedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were checked, whatever name the connection is for; TLS still checks the name."""

    def __init__(self, addresses: Sequence[str], *, connect_timeout_s: float) -> None:
        self._addresses = addresses
        self._connect_timeout_s = connect_timeout_s
        self._backend = httpcore2.AnyIOBackend()
        self._streams: list[httpcore2.AsyncNetworkStream] = []

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002  the name; it was looked up before
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109  the base class's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        fault: Exception = httpcore2.ConnectError("no address")
        for address in self._addresses:
            try:
                stream = await self._backend.connect_tcp(
                    address,
                    port,
                    timeout=self._connect_timeout_s,
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                fault = error
            else:
                self._streams.append(stream)
                return stream
        raise fault

    async def aclose(self) -> None:
        """Close every connection: httpcore2 forgets the one whose TLS handshake is cancelled."""
        for stream in self._streams:
            await stream.aclose()


def _header(response: httpcore2.Response, name: bytes) -> str:
    """The header's value, or an empty text; several values are joined as HTTP joins them."""
    values = [value for key, value in response.headers if key.lower() == name]
    return b", ".join(values).decode("latin-1").strip()


def _location(response: httpcore2.Response, url: PhotoUrl) -> str:
    location = _header(response, b"location")
    if not location:
        raise FetchError(
            f"{url.shown} redirects without saying where to. Use the URL of the photo itself.", url=url.shown
        )
    # Servers write UTF-8 where the standard has only ASCII; each byte arrived as one Latin-1 character.
    with contextlib.suppress(UnicodeError):
        return location.encode("latin-1").decode("utf-8")
    return location


def _check_head(response: httpcore2.Response, url: PhotoUrl, limits: FetchLimits) -> None:
    """Refuse by status and headers what need not be read."""
    if response.status != _OK:
        raise FetchError(
            f"{url.shown} answers with HTTP status {response.status} instead of a photo. Open it in a browser without "
            "signing in: what is shown there is what can be fetched.",
            url=url.shown,
        )
    content_type = _header(response, b"content-type").partition(";")[0].strip().lower()
    if content_type and not content_type.startswith("image/") and content_type not in _BINARY_TYPES:
        page = "a web page" if content_type in {"text/html", "application/xhtml+xml"} else _quoted(content_type)
        raise FetchError(
            f"{url.shown} is {page}, not a photo. Use the address of the image itself (in a browser: copy "
            "image address).",
            url=url.shown,
        )
    encoding = _header(response, b"content-encoding").lower()
    if encoding not in {"", "identity"}:
        raise FetchError(
            f"{url.shown} is sent compressed ({_quoted(encoding)}) although it was asked for as it is. Pass the "
            "photo's bytes instead.",
            url=url.shown,
        )
    length = _header(response, b"content-length")
    # h11 refuses what is not a number of at most 20 digits.
    if length and int(length) > limits.max_bytes:
        raise _too_large(url, limits)


async def _read_body(response: httpcore2.Response, url: PhotoUrl, limits: FetchLimits) -> bytes:
    body = bytearray()
    async with contextlib.aclosing(response.aiter_stream()) as chunks:
        async for chunk in chunks:
            if len(body) + len(chunk) > limits.max_bytes:
                raise _too_large(url, limits)
            body += chunk
    if not body:
        raise FetchError(f"{url.shown} is empty: 0 bytes. Use the URL of the photo itself.", url=url.shown)
    return bytes(body)


def _too_large(url: PhotoUrl, limits: FetchLimits) -> FetchError:
    return FetchError(
        f"{url.shown} has more than {limits.max_bytes} bytes. Use a smaller photo, or raise the limit here (max_bytes) "
        "and in the server (max_image_bytes).",
        url=url.shown,
    )


def _failure(error: Exception, url: PhotoUrl) -> str:
    # httpcore2 keeps the lower layer's exception as its argument.
    cause = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"{url.shown} has a certificate that cannot be trusted: {_quoted(cause.verify_message)}. Use a URL with "
            "the name that the certificate names."
        )
    if isinstance(error, httpcore2.TimeoutException):
        return f"{url.shown} does not answer. Try again later, or check host and port."
    if isinstance(error, httpcore2.ProtocolError):
        return f"{url.shown} broke off or does not speak HTTP: {_quoted(str(error))}. Try again, or use another URL."
    return f"{url.shown} cannot be reached: {_quoted(str(cause))}. Check host and port, or try again later."


def _quoted(text: str) -> str:
    """Words of others, printable and short."""
    text = "".join(character if character.isprintable() else " " for character in text).strip().rstrip(".")
    return text if len(text) <= _MAX_QUOTED_CHARACTERS else text[: _MAX_QUOTED_CHARACTERS - 3] + "..."


@functools.cache
def _system_certificates() -> ssl.SSLContext:
    # Reading a few hundred certificates takes longer than fetching a small photo.
    return httpcore2.default_ssl_context()
