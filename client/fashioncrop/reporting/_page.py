"""What every page is made with: templates, and a file that is there as a whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import IO

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fashioncrop.errors import OutputError
from fashioncrop.reporting._words import dollars

PACKAGE = "fashioncrop.reporting"


def environment() -> Environment:
    """The templates, with the style and the script that every page has, and their digests."""
    made = Environment(
        loader=PackageLoader(PACKAGE, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters["dollars"] = dollars
    for kind in ("css", "js"):
        text = (resources.files(PACKAGE) / "templates" / f"report.{kind}").read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        made.globals[kind] = Markup(text)  # noqa: S704 - the package's own file
        # The browser runs and applies what has this digest, and nothing that a text might smuggle in.
        made.globals[f"{kind}_hash"] = f"sha256-{digest}"
    return made


def write(path: Path, file: IO[bytes], texts: Iterator[str]) -> None:
    """Write what a template makes.

    Raises:
        OutputError: the file cannot be written; `path` is what it is to become.
    """
    for text in texts:
        with told(path):
            file.write(text.encode("utf-8", "replace"))  # half of a surrogate pair, which JSON can carry, is no letter


@contextmanager
def whole(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A file that takes the place of `path` when all went well, and one for what is not yet known to be complete."""
    beside = path.with_name(f".{path.name}.part")
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = beside.open("wb")
    try:
        with file, _body(path) as body:
            yield file, body
            with told(path):
                file.flush()
        with told(path):
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _body(path: Path) -> Iterator[IO[bytes]]:
    """The sections, until the head is known: it counts them. Beside the report, where the room is."""
    with told(path):
        body = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - only its making may fail as the report's
    with body:
        yield body


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What the file system says, as a sentence; errors of the caller's generator go through as they are."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}. Choose another file for the report, or make room."
        ) from error
