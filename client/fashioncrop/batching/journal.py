"""`results.jsonl`: a row for each photo, written when it is known; it is also the journal that a run resumes from."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from fashioncrop.errors import FashionCropError, OptionError, OutputError
from fashioncrop.results import Analysis

RESULTS_FILE = "results.jsonl"
_ABOUT_FILE = "batch.json"
_SYNC_EVERY_S = 1.0
_SHOWN = 5


class Row(BaseModel):
    """What became of one photo.

    Attributes:
        source: the photo: an absolute path, a URL, or an object's URL.
        analysis: what was found; None where it failed.
        error_kind: the error's class, None where there is none.
        error: the error's sentence, None where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: str
    analysis: Analysis | None = None
    error_kind: str | None = None
    error: str | None = None

    @classmethod
    def of_error(cls, source: str, error: FashionCropError) -> Self:
        """The row of a photo that failed."""
        return cls(source=source, error_kind=type(error).__name__, error=str(error))


class Journal:
    """The rows of one output folder. Only one process writes them at a time.

    >>> with Journal.begin(folder, {"threshold": 0.35}, resume=True) as journal:  # doctest: +SKIP
    ...     journal.append(row)
    """

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.path = folder / RESULTS_FILE
        self._descriptor = descriptor
        self._synced_s = time.monotonic()
        self.done: set[str] = set()
        self.failed: set[str] = set()

    @classmethod
    def begin(cls, folder: Path, about: dict[str, Any], *, resume: bool, retry_failed: bool = False) -> Self:
        """Open the folder's journal, with what earlier runs did.

        Args:
            folder: of the results; made if need be.
            about: what shapes an answer (options, models); a run with other values is refused.
            resume: go on with what is there. Without it the folder must hold no results.
            retry_failed: forget failed photos, so that they are tried again.

        Raises:
            OutputError: the folder cannot be written, another run writes it, or it holds results already.
            OptionError: the results there were made with other options.
        """
        path = folder / RESULTS_FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise OutputError(
                f"{path} cannot be written: {error.strerror}. Choose another folder with --out."
            ) from error
        journal = cls(folder, descriptor)
        try:
            journal._lock()
            journal._check_empty(unless=resume)
            _compare(folder / _ABOUT_FILE, about)
            journal._recover(retry_failed=retry_failed)
        except BaseException:
            os.close(journal._descriptor)
            raise
        return journal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    def append(self, row: Row) -> None:
        """Write a row, whole: it survives whatever happens to this process afterwards.

        Raises:
            OutputError: the disk is full or gone.
        """
        line = memoryview(row.model_dump_json().encode() + b"\n")
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
            if time.monotonic() - self._synced_s > _SYNC_EVERY_S:
                os.fdatasync(self._descriptor)
                self._synced_s = time.monotonic()
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be written: {error.strerror}. Make room; --resume goes on where it stopped."
            ) from error
        (self.done if row.error is None else self.failed).add(row.source)

    def close(self) -> None:
        """Bring every row to the disk."""
        with contextlib.suppress(OSError):
            os.fdatasync(self._descriptor)
        os.close(self._descriptor)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(f"Another run writes {self.path}. Wait for it, or choose another folder.") from error

    def _check_empty(self, *, unless: bool) -> None:
        if os.fstat(self._descriptor).st_size and not unless:
            raise OutputError(
                f"{self.path.parent} holds results already. Go on with them (--resume), or choose another folder."
            )

    def _recover(self, *, retry_failed: bool) -> None:
        """Learn what is done; cut off a row that was being written when an earlier run was killed."""
        whole = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                head = _head(line, self.path)
                (self.done if head["error"] is None else self.failed).add(head["source"])
        os.ftruncate(self._descriptor, whole)
        if retry_failed and self.failed:
            self._drop_failed()

    def _drop_failed(self) -> None:
        beside = self.path.with_suffix(".part")
        with self.path.open("rb") as old, beside.open("wb") as new:
            for line in old:
                if _head(line, self.path)["error"] is None:
                    new.write(line)
            new.flush()
            os.fsync(new.fileno())
        # The new file is locked before it takes the old one's name, so that no other run slips in between.
        descriptor = os.open(beside, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        beside.replace(self.path)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self.failed.clear()


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a `results.jsonl`, one at a time; a row cut short at the end is left out.

    Raises:
        OutputError: a row is damaged, or the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    try:
                        yield Row.model_validate_json(line)
                    except ValueError as error:
                        raise _damaged(path) from error
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror}.") from error


def _head(line: bytes, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(line)
        return {"source": str(content["source"]), "error": content["error"]}
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> OutputError:
    return OutputError(f"{path} holds a row that is no batch's. Move the file away, or choose another folder.")


def _compare(path: Path, about: dict[str, Any]) -> None:
    """Two runs that would answer differently must not share a table."""
    text = json.dumps(about, indent=2, sort_keys=True) + "\n"
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        if known is None:
            beside = path.with_suffix(".part")
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)
            return
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be read or written: {error}. Choose another folder.") from error
    fresh = json.loads(text)
    different = sorted(name for name in {*known, *fresh} if known.get(name) != fresh.get(name))
    if different:
        raise OptionError(
            f"The results in {path.parent} were made with other values of {', '.join(different[:_SHOWN])}. Use the "
            "same again, or choose another folder."
        )
