"""A cache in a Redis server, for several machines. The only module that knows redis (the extra `redis`)."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

import redis.asyncio
from pydantic import SecretStr
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from fashioncrop._photo_url import shown_url
from fashioncrop.errors import OptionError

_T = TypeVar("_T")
_log = logging.getLogger("fashioncrop.caching")

_SCHEMES = ("redis", "rediss", "unix")
# What may follow the `?`: which database, and whose certificates.
_QUERY = frozenset({"db", "client_name", "protocol", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"})
_WORDS: tuple[tuple[type[RedisError], str], ...] = (
    (AuthenticationError, "refuses user name or password"),
    (NoPermissionError, "does not permit this user to"),
    (OutOfMemoryError, "has no memory left"),
    (ReadOnlyError, "may only be read"),
    (BusyLoadingError, "is still loading its data"),
)
_CODE = re.compile(r"[A-Z]{3,24}")

DEFAULT_PREFIX = "fashioncrop:"
DEFAULT_TTL_S = 30 * 24 * 3600.0
DEFAULT_TIMEOUT_S = 2.0
MAX_VALUE_BYTES = 64 * 2**20


class RedisCache:
    """Answers in a Redis server; for one event loop. What it holds is the server's own to limit (`maxmemory`).

    A server that does not answer is told once and then left alone for a while, so that no answer waits for it.
    """

    def __init__(
        self,
        url: SecretStr | str,
        *,
        prefix: str = DEFAULT_PREFIX,
        ttl_s: float = DEFAULT_TTL_S,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retry_after_s: float = 30.0,
        on_warning: Callable[[str], None] = _log.warning,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: `redis://`, `rediss://` (TLS) or `unix://`, with user name and password where the server wants them.
            prefix: before every key, so that others may use the server too.
            ttl_s: how long an answer is kept where `set` does not say, in seconds.
            timeout_s: how long one question may take, in seconds.
            retry_after_s: how long a server that failed is left alone, in seconds.
            on_warning: is told, in one sentence, what is wrong; once until the server answers again.

        Raises:
            OptionError: the URL cannot be read.
        """
        text = url.get_secret_value() if isinstance(url, SecretStr) else url
        self._shown = _checked(text)
        self._prefix = prefix
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._retry_after_s = retry_after_s
        self._on_warning = on_warning
        self._away_until_s = 0.0
        self._is_told = False
        try:
            self._client = redis.asyncio.Redis.from_url(
                text,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                # A connection that the server has closed meanwhile is tried anew once.
                retry=Retry(NoBackoff(), 1),
            )
        except (ValueError, TypeError, RedisError):
            client = None
        else:
            client = self._client
        if client is None:  # outside of `except`: the message of urllib quotes what it takes for a port
            raise _unreadable(self._shown)

    def __repr__(self) -> str:
        return f"RedisCache({self._shown})"

    async def get(self, key: str) -> bytes | None:
        """The answer; None where there is none, or the server does not give it."""

        async def ask() -> bytes | None:
            value = await self._client.get(self._prefix + key)
            return value if isinstance(value, bytes) else None

        return await self._tried(ask)

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Keep an answer.

        Args:
            key: of `cache_key`.
            value: of `encode_analysis`, or any other bytes; one of more than `MAX_VALUE_BYTES` is not kept.
            ttl_s: how long, in seconds; None as long as the cache's own `ttl_s`.
        """
        if len(value) > MAX_VALUE_BYTES:
            return
        kept_ms = max(1, round((self._ttl_s if ttl_s is None else ttl_s) * 1000))

        async def ask() -> None:
            await self._client.set(self._prefix + key, value, px=kept_ms)

        await self._tried(ask)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _tried(self, ask: Callable[[], Awaitable[_T]]) -> _T | None:
        clock = asyncio.get_running_loop().time
        if clock() < self._away_until_s:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await ask()
        except (RedisError, OSError, UnicodeError) as error:  # OSError holds TimeoutError
            self._away_until_s = clock() + self._retry_after_s
            self._tell(_why(error, self._timeout_s))
            return None
        self._is_told = False
        return answer

    def _tell(self, why: str) -> None:
        if not self._is_told:
            self._is_told = True
            self._on_warning(f"The cache {self._shown} {why}. The work goes on without it.")


def _why(error: Exception, timeout_s: float) -> str:
    """In words of this project only: Redis may quote a key or a user."""
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words
    if isinstance(error, ResponseError):
        code = _CODE.match(str(error))
        return f"declines ({code[0]})" if code else "declines"
    if isinstance(error, TimeoutError | redis.exceptions.TimeoutError):
        return f"does not answer within {timeout_s:g} s"
    return "cannot be reached, or does not speak Redis"


def _checked(url: str) -> str:
    """The URL as it may be shown.

    Raises:
        OptionError: it is no Redis URL.
    """
    shown = shown_url(url)
    try:
        parts = urlsplit(url)
        place = parts.path if parts.scheme == "unix" else parts.hostname
        strange = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} - _QUERY
        is_readable = parts.scheme in _SCHEMES and bool(place) and parts.port != 0 and url.isprintable()
    except ValueError:
        is_readable, strange = False, set()
    if not is_readable:
        raise _unreadable(shown)
    if strange:
        raise OptionError(
            f"The cache {shown} has settings after its '?' that are not known here: use {sorted(_QUERY)}."
        )
    return shown


def _unreadable(shown: str) -> OptionError:
    return OptionError(
        "A cache is a folder or a Redis URL such as redis://localhost:6379/0 or rediss://user:password@host; got "
        f"{shown}. Write special characters of the password as %XX."
    )
