"""A cache in a folder: one file an answer.

Files were chosen over a database because an answer is some 100 kB of JPEG: a file is written beside its place and
renamed into it, so that a process that is killed leaves a whole answer or none, any number of processes share a folder
without a lock, and a damaged file costs one answer. Of the libraries, diskcache reads pickles that it finds
(CVE-2025-69872) and has had no release since 2023, and the disk stores of cashews and py-key-value-aio rest on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_log = logging.getLogger("fashioncrop.caching")

_MARK = b"fashioncrop cache 1\n"
_ENTRIES = "v1"
_DAMAGED = "damaged"
_PART = ".part"
_MOST_DAMAGED = 16
_TOUCH_AFTER_S = 60.0
_PART_IS_OLD_S = 3600.0
_RETRY_AFTER_S = 60.0
# After an eviction there is room for so much more: 10 % of the limit, looked after each 5 %.
_KEPT_SHARE = 0.9
_LOOK_SHARE = 0.05
_LARGEST_SHARE = 0.25

DEFAULT_MAX_BYTES = 2**30


class _DamagedError(Exception):
    """The file is not what was written."""


class FolderCache:
    """Answers in files below one folder, shared by any number of processes.

    The answers that were not asked for the longest are deleted when the folder holds more than `max_bytes`. A process
    looks after each twentieth of the limit that it has written, so that several may pass it by that much each.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        on_warning: Callable[[str], None] = _log.warning,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is written yet.

        Args:
            folder: made where it is missing, readable by its owner only.
            max_bytes: of all answers together; one of more than a quarter of it is not kept.
            on_warning: is told, in one sentence, what is wrong with the folder; at most once of each kind.
            clock: seconds since 1970.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._on_warning = on_warning
        self._clock = clock
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._unseen_bytes = max_bytes  # the first answer that is written looks after the folder
        self._writes_again_s = -math.inf

    def __repr__(self) -> str:
        return f"FolderCache({str(self._folder)!r})"

    async def get(self, key: str) -> bytes | None:
        """The answer; None where there is none, or none that is whole and not out of date."""
        return await asyncio.to_thread(self._get, key)

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """Keep an answer.

        Args:
            key: of `cache_key`, or any other text.
            value: of `encode_analysis`, or any other bytes.
            ttl_s: how long it is true, in seconds; None as long as there is room.
        """
        if time.monotonic() >= self._writes_again_s and len(value) <= self._max_bytes * _LARGEST_SHARE:
            await asyncio.to_thread(self._set, key, value, ttl_s)

    async def close(self) -> None:
        """Nothing is left open; for the protocol's sake."""

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return self._folder / _ENTRIES / name[:2] / name

    def _get(self, key: str) -> bytes | None:
        path = self._path(key)
        try:
            expires_s, value = _read(path, key)
        except FileNotFoundError:
            return None
        except (_DamagedError, IsADirectoryError):
            self._move_aside(path)
            return None
        except OSError as error:
            self._tell("read", f"cannot be read: {error.strerror or error}. What is in it is asked for anew.")
            return None
        now_s = self._clock()
        with contextlib.suppress(OSError):  # it may be gone by now, or belong to somebody else
            if now_s >= expires_s:
                path.unlink()
                return None
            if now_s - path.stat().st_mtime > _TOUCH_AFTER_S:
                os.utime(path, (now_s, now_s))
        return None if now_s >= expires_s else value

    def _set(self, key: str, value: bytes, ttl_s: float | None) -> None:
        path = self._path(key)
        now_s = self._clock()
        head = {
            "key": key,
            "expires_s": None if ttl_s is None else now_s + ttl_s,
            "sha256": hashlib.sha256(value).hexdigest(),
        }
        data = b"".join((_MARK, json.dumps(head).encode("ascii"), b"\n", value))
        try:
            with contextlib.suppress(FileExistsError):
                self._folder.mkdir(mode=0o700, parents=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, data, now_s)
            self._look_after(len(data))
        except OSError as error:
            self._writes_again_s = time.monotonic() + _RETRY_AFTER_S
            self._tell("write", f"cannot be written: {error.strerror or error}. New answers are not kept.")

    def _move_aside(self, path: Path) -> None:
        """Out of the way, for whoever wants to know what happened to it."""
        aside = self._folder / _DAMAGED
        try:
            aside.mkdir(exist_ok=True)
            path.replace(aside / path.name)
            oldest_first = sorted(aside.iterdir(), key=lambda file: file.stat().st_mtime)
            for file in oldest_first[:-_MOST_DAMAGED]:
                file.unlink()
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
        self._tell("damaged", f"had a damaged file, which was moved to {aside}. Its answer is asked for anew.")

    def _look_after(self, written_bytes: int) -> None:
        """Delete what was not asked for the longest, where there is too much."""
        with self._lock:
            self._unseen_bytes += written_bytes
            if self._unseen_bytes < self._max_bytes * _LOOK_SHARE:
                return
            self._unseen_bytes = 0
            files = sorted(_files(self._folder / _ENTRIES), key=lambda file: file[0])
            total_bytes = sum(size for _, size, _ in files)
            now_s = self._clock()
            must_go = total_bytes > self._max_bytes
            for used_s, size, path in files:
                is_left_over = path.endswith(_PART) and now_s - used_s > _PART_IS_OLD_S
                if is_left_over or (must_go and total_bytes > self._max_bytes * _KEPT_SHARE):
                    with contextlib.suppress(OSError):  # another process was first
                        os.unlink(path)  # noqa: PTH108 - os.scandir's own text
                    total_bytes -= size

    def _tell(self, kind: str, words: str) -> None:
        with self._lock:
            is_news = kind not in self._told
            self._told.add(kind)
        if is_news:
            self._on_warning(f"The cache folder {self._folder} {words}")


def _read(path: Path, key: str) -> tuple[float, bytes]:
    """When the answer ends to be true, in seconds since 1970, and the answer.

    Raises:
        FileNotFoundError: there is none.
        _DamagedError: the file is not what was written under this key.
        OSError: it cannot be read.
    """
    # O_NONBLOCK: a pipe that somebody put there would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read()
    mark, head, value = data[: len(_MARK)], *data[len(_MARK) :].partition(b"\n")[::2]
    try:
        written = json.loads(head)
        expires_s = math.inf if written["expires_s"] is None else float(written["expires_s"])
        is_whole = written["key"] == key and written["sha256"] == hashlib.sha256(value).hexdigest()
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise _DamagedError from error
    if mark != _MARK or not is_whole:
        raise _DamagedError
    return expires_s, value


def _write(path: Path, data: bytes, now_s: float) -> None:
    """All of it or nothing: beside its place, then renamed."""
    beside = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{_PART}")
    try:
        beside.write_bytes(data)
        os.utime(beside, (now_s, now_s))
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _files(folder: Path) -> Iterator[tuple[float, int, str]]:
    """When each file was last used, its size in bytes, and where it is."""
    for part in folder.iterdir():
        with contextlib.suppress(OSError), os.scandir(part) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # another process was first
                    status = entry.stat(follow_symlinks=False)
                    yield status.st_mtime, status.st_size, entry.path
