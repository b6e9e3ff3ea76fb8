"""A catalogue as a file: a line of JSON for each photo."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from fashioncrop.batching.journal import Row
from fashioncrop.cataloguing.catalogue import Catalogue
from fashioncrop.errors import OutputError


async def write_export(catalogue: Catalogue, path: Path | None) -> int:
    """Write every photo in the order of their sources, so that equal catalogues give equal files.

    A line is one of `results.jsonl` as `fashioncrop batch` writes it, and has the file's SHA-256 beside.

    Args:
        catalogue: what to write.
        path: the file, which is there as a whole or not at all; None is standard output.

    Returns:
        How many photos.

    Raises:
        OutputError: the file cannot be written.
        CatalogueError: the database fails.
    """
    count = 0
    with _opened(path) as file:
        async for source, sha256, analysis in catalogue.export():
            row = Row(source=source, analysis=analysis).model_dump(mode="json")
            with _told(path):
                file.write(json.dumps({**row, "sha256": sha256.hex()}, ensure_ascii=False) + "\n")
            count += 1
    return count


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[IO[str]]:
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    beside = path.with_name(f".{path.name}.part")
    with _told(path):
        file = beside.open("w", encoding="utf-8")
    try:
        with file:
            yield file
        with _told(path):
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def _told(path: Path | None) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"{path or 'Standard output'} cannot be written: {error.strerror or error}. Choose another file."
        ) from error
