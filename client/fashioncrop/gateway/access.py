"""Who may go on: a key in a header, its scopes, and how much it may ask."""

from __future__ import annotations

import logging
import math
import time
from typing import Any, Protocol

import limits
from fastapi import Depends, Request
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from pydantic import SecretStr

from fashioncrop._photo_url import shown_url
from fashioncrop.errors import OptionError
from fashioncrop.gateway.keys import ANYBODY, Caller, KeyFile, KeyRefusedError, Scope
from fashioncrop.gateway.problems import FORBIDDEN, RATE, UNAUTHORIZED, UNAVAILABLE, ProblemError

_log = logging.getLogger("fashioncrop.gateway")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="fashioncrop"'}
_QUERY_NAMES = frozenset({"key", "api_key", "apikey", "api-key", "access_token", "token"})
_QUIET_S = 30.0
"""For so long a Redis that failed is left alone."""


class _Counts(Protocol):
    async def hit(self, item: limits.RateLimitItem, *identifiers: str, cost: int = 1) -> bool: ...
    async def get_window_stats(self, item: limits.RateLimitItem, *identifiers: str) -> Any: ...  # noqa: ANN401


class Limiter:
    """Counts what each key asks, in this process or in a Redis that several share.

    Where Redis does not answer, this process counts alone for a while: the limit holds for each gateway then, not for
    all together.
    """

    def __init__(self, rate: str, redis_url: SecretStr | None = None) -> None:
        """Nothing is sent yet.

        Args:
            rate: such as `600/minute`.
            redis_url: see `Settings.rate_limit_redis_url`.

        Raises:
            OptionError: the extra `redis` is not installed.
        """
        self._rate = limits.parse(rate)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._storage = None if redis_url is None else _in_redis(redis_url.get_secret_value())
        self._shared = None if self._storage is None else SlidingWindowCounterRateLimiter(self._storage)
        self._shown = "" if redis_url is None else shown_url(redis_url.get_secret_value())
        self._away_until_s = 0.0

    async def close(self) -> None:
        """Close the connections."""
        if self._storage is not None:
            await self._storage.bridge.get_connection().aclose()

    async def take(self, who: str, amount: int = 1) -> None:
        """Count.

        Raises:
            ProblemError: that would be more than the rate.
        """
        if self._shared is not None and time.monotonic() >= self._away_until_s:
            try:
                await self._take(self._shared, who, amount)
            except StorageError:
                self._away_until_s = time.monotonic() + _QUIET_S
                _log.warning("rate limits are counted here alone", extra={"redis": self._shown})
            else:
                return
        await self._take(self._own, who, amount)

    async def _take(self, counts: _Counts, who: str, amount: int) -> None:
        if await counts.hit(self._rate, who, cost=amount):
            return
        reset_s = (await counts.get_window_stats(self._rate, who)).reset_time
        wait_s = min(max(math.ceil(reset_s - time.time()), 1), self._rate.get_expiry())
        raise ProblemError(
            RATE,
            f"The key may ask for {self._rate.amount} photos and requests in {self._rate.get_expiry()} s. Try again in "
            f"{wait_s} s.",
            headers={"Retry-After": str(wait_s)},
        )


def _in_redis(url: str) -> Any:  # noqa: ANN401 - what it is made of is an extra
    try:
        from limits.aio.storage import RedisStorage  # noqa: PLC0415 - an extra

        return RedisStorage(
            f"async+{url}".replace("async+unix", "async+redis+unix"),
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="fashioncrop-rate",
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
        )
    except limits.errors.ConfigurationError as error:
        raise OptionError("Counting in Redis needs redis. Run pip install 'fashioncrop[redis]'.") from error


class Gatekeeper:
    """Lets requests in.

    Args:
        keys: those that are good; None lets everybody in.
        limiter: how much each may ask.
    """

    def __init__(self, keys: KeyFile | None, limiter: Limiter) -> None:
        self._keys, self._limiter = keys, limiter

    async def close(self) -> None:
        """Close the connections."""
        await self._limiter.close()

    @property
    def is_open(self) -> bool:
        """Whether nobody needs a key."""
        return self._keys is None

    async def admit(self, request: Request, scope: Scope) -> Caller:
        """Who asks, once it is sure that they may.

        Raises:
            ProblemError: there is no good key, it lacks the scope, or has asked too much.
        """
        caller = ANYBODY if self._keys is None else _caller(self._keys, request)
        request.state.caller_id = caller.id
        check_scope(caller, scope)
        await self.count(caller)
        return caller

    async def count(self, caller: Caller, amount: int = 1) -> None:
        """Count what a caller asks.

        Raises:
            ProblemError: they have asked too much.
        """
        if amount:
            await self._limiter.take(caller.id, amount)


def check_scope(caller: Caller, scope: Scope) -> None:
    """Refuse who lacks a scope.

    Raises:
        ProblemError: they do.
    """
    if scope not in caller.scopes:
        has = ", ".join(sorted(caller.scopes)) or "none that this gateway knows"
        raise ProblemError(
            FORBIDDEN,
            f"This needs a key with the scope {scope}; the key {caller.id} has: {has}. Ask the gateway's operator.",
        )


def may(scope: Scope) -> Any:  # noqa: ANN401 - fastapi's
    """A route's parameter: the caller, who has this scope."""

    async def admitted(request: Request) -> Caller:
        gatekeeper: Gatekeeper = request.app.state.gatekeeper
        return await gatekeeper.admit(request, scope)

    return Depends(admitted)


def _caller(keys: KeyFile, request: Request) -> Caller:
    given = _given(request)
    try:
        return keys.caller(given)
    except KeyRefusedError as error:
        raise ProblemError(UNAUTHORIZED, str(error), headers=_CHALLENGE) from None
    except OptionError as error:
        _log.error("keys", extra={"words": str(error)})
        raise ProblemError(
            UNAVAILABLE, "The gateway's keys cannot be read. Its operator finds the reason in the log."
        ) from None


def _given(request: Request) -> str:
    """The key that came along, from a header only: addresses are written into logs and histories."""
    found = request.headers.getlist("X-API-Key")
    for value in request.headers.getlist("Authorization"):
        scheme, _, rest = value.partition(" ")
        found.append(rest.strip() if scheme.lower() == "bearer" else "")
    if len(set(found)) > 1:
        raise ProblemError(
            UNAUTHORIZED, "The request has more than one key. Send one, in one header.", headers=_CHALLENGE
        )
    if found:
        return found[0]
    words = "Send a key in the header `Authorization: Bearer KEY`, or in `X-API-Key`."
    if _QUERY_NAMES & {name.lower() for name in request.query_params}:
        words = f"A key in the address is not taken, because addresses are logged: take it for known. {words}"
    raise ProblemError(UNAUTHORIZED, words, headers=_CHALLENGE)
