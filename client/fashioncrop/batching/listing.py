"""From folders, patterns, lists, object stores and standard input to photos, one after the other."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fashioncrop.errors import PhotoError

PHOTO_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
"""Files of a folder that are photos; a file that is named itself may be called anything."""

STORE_SCHEMES = ("s3://", "gs://", "az://")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Item:
    """One photo of a batch.

    Attributes:
        key: names it in the results; the same in every run, whatever the working directory.
        source: what the client is given; None where the photo is an object of a store, which `key` names.
    """

    key: str
    source: str | None


def list_photos(sources: Iterable[str], *, stdin: Iterable[str] | None = None) -> Iterator[Item]:
    """Every photo once, in the order of `sources`, files of a folder by name.

    Args:
        sources: a file, a folder (all photos in it and below), a pattern (`photos/**/*.jpg`), `@FILE` (a list, one
            source a line), an https URL, a prefix of an object store (`s3://bucket/prefix`), or `-` (a list on standard
            input).
        stdin: lines of standard input.

    Raises:
        PhotoError: a source is not there, or a folder, pattern or prefix holds no photo.
    """
    seen: set[str] = set()
    for item in _expanded(sources, stdin if stdin is not None else sys.stdin, depth=0):
        if item.key not in seen:
            seen.add(item.key)
            yield item


def _expanded(sources: Iterable[str], stdin: Iterable[str], *, depth: int) -> Iterator[Item]:
    for source in sources:
        if source == "-" and depth == 0:
            yield from _expanded(_lines(stdin), stdin, depth=1)
        elif source.startswith("@") and depth == 0 and not Path(source).exists():
            yield from _expanded(_read_list(Path(source[1:])), stdin, depth=1)
        elif source.startswith(STORE_SCHEMES):
            # Storage is an extra, which lists of files do without.
            from fashioncrop.batching.object_photos import list_objects  # noqa: PLC0415

            yield from (Item(key, None) for key in list_objects(source, PHOTO_SUFFIXES))
        elif _URL.match(source):
            yield Item(source, source)
        else:
            yield from _local(source)


def _local(source: str) -> Iterator[Item]:
    path = Path(source)
    if path.is_dir():
        yield from _not_none(_in_folder(path), f"The folder {source} holds no photo ({_suffixes()}).")
    elif not path.exists() and _MAGIC.search(source):
        matches = (Path(match) for match in sorted(glob.glob(source, recursive=True)))  # noqa: PTH207 - any root
        yield from _not_none((match for match in matches if match.is_file()), f"Nothing matches {source}.")
    elif not path.exists():
        raise PhotoError(f"There is no file or folder {source}. Check the path.")
    else:
        yield _file(path)


def _in_folder(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in PHOTO_SUFFIXES:
                yield Path(parent) / name


def _not_none(paths: Iterable[Path], problem: str) -> Iterator[Item]:
    found = False
    for path in paths:
        found = True
        yield _file(path)
    if not found:
        raise PhotoError(f"{problem} Check the path.")


def _file(path: Path) -> Item:
    absolute = os.path.abspath(path)  # noqa: PTH100 - links stay as they were named
    return Item(absolute, absolute)


def _read_list(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as lines:
            yield from _lines(lines)
    except OSError as error:
        raise PhotoError(f"The list {path} cannot be read: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise PhotoError(f"The list {path} is not UTF-8 text. Write one photo a line.") from error


def _lines(lines: Iterable[str]) -> Iterator[str]:
    """One source a line; empty lines and those that begin with # are left out."""
    for line in lines:
        text = line.strip()
        if text and not text.startswith("#"):
            yield text


def _suffixes() -> str:
    return ", ".join(sorted(PHOTO_SUFFIXES))
