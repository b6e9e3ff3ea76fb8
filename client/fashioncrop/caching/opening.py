"""Which cache is meant: a folder, or a Redis server."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from fashioncrop.caching.folder import DEFAULT_MAX_BYTES, FolderCache
from fashioncrop.errors import OptionError

_log = logging.getLogger("fashioncrop.caching")
_REDIS = ("redis://", "rediss://", "unix://")


class Cache(Protocol):
    """Bytes by key. Neither method raises for what is wrong with the place: no answer is an answer."""

    async def get(self, key: str) -> bytes | None:
        """The answer; None where there is none."""

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Keep an answer, for `ttl_s` seconds or as long as there is room."""

    async def close(self) -> None:
        """Close what is open."""


def open_cache(
    place: str | Path | SecretStr | None = None,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    on_warning: Callable[[str], None] = _log.warning,
) -> Cache:
    """The cache at a place. Nothing is read or written yet.

    Args:
        place: a folder, or the URL of a Redis server (`redis://`, `rediss://`, `unix://`); None is
            `default_cache_folder()`.
        max_bytes: of a folder; a Redis server limits itself.
        on_warning: is told, in one sentence, what is wrong with the place.

    Raises:
        OptionError: the URL cannot be read, the extra `redis` is not installed, or there is no home for a default.
    """
    text = place.get_secret_value() if isinstance(place, SecretStr) else place
    if isinstance(text, str) and text.lower().startswith(_REDIS):
        try:
            from fashioncrop.caching.shared import RedisCache  # noqa: PLC0415 - an extra
        except ModuleNotFoundError as error:
            raise OptionError("A cache in Redis needs redis. Run pip install 'fashioncrop[redis]'.") from error
        return RedisCache(text, on_warning=on_warning)
    if isinstance(text, str) and "://" in text:
        raise OptionError(
            f"A cache is a folder or a Redis URL (redis://, rediss://, unix://); got {text.partition('://')[0]}://... ."
        )
    if max_bytes < 1:
        raise OptionError(f"max_bytes must be at least 1; got {max_bytes}.")
    try:
        folder = default_cache_folder() if text is None else Path(text).expanduser()
    except RuntimeError as error:
        raise OptionError(f"The cache folder {text} names a user without a home directory.") from error
    return FolderCache(folder, max_bytes=max_bytes, on_warning=on_warning)


def default_cache_folder() -> Path:
    """`$FASHIONCROP_CACHE_DIR`, else `fashioncrop/answers` in the XDG cache folder.

    Raises:
        OptionError: there is no home directory.
    """
    chosen = os.environ.get("FASHIONCROP_CACHE_DIR")
    if chosen:
        return Path(chosen)
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # A relative path is to be passed over, says the XDG specification.
        base = Path(xdg) if Path(xdg).is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise OptionError("There is no home directory for a cache. Say where: FASHIONCROP_CACHE_DIR.") from error
    return base / "fashioncrop" / "answers"
