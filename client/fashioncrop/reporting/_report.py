"""Write the page: head, one section for each photo, foot; never more than one photo in memory."""

from __future__ import annotations

import base64
import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import IO

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fashioncrop.errors import OutputError
from fashioncrop.reporting._pictures import decoded
from fashioncrop.reporting._sections import FailedSection, Totals, section
from fashioncrop.reporting._words import dollars
from fashioncrop.results import Analysis

_PACKAGE = "fashioncrop.reporting"
_TITLE = "Garments found"


@dataclass(frozen=True)
class ReportEntry:
    """One photo of a report.

    Attributes:
        analysis: what was found; a crop without its JPEG is cut out of the photo.
        photo: the encoded photo that was analysed.
    """

    analysis: Analysis
    photo: bytes


@dataclass(frozen=True)
class ReportFailure:
    """A photo of a report that was not analysed.

    Attributes:
        source: what was asked for, as a person would recognise it.
        problem: the sentence that says why.
    """

    source: str
    problem: str


def write_report(
    path: Path, entries: Iterable[ReportEntry | ReportFailure], *, title: str = _TITLE, made: datetime | None = None
) -> None:
    """Write one HTML file that holds everything, pictures too, and asks for nothing from outside.

    The file is there as a whole or not at all. The same input gives the same bytes.

    Args:
        path: the file; its folder is made where there is none.
        entries: the photos, taken one at a time: a generator keeps the memory small.
        title: the page's heading.
        made: shown beside the heading; nothing is shown by default.

    Raises:
        OutputError: the file cannot be written.
        PhotoError: a photo is of another size than its analysis says. One that cannot be decoded is told in its place.
    """
    environment = _environment()
    photo_template, failed_template = (environment.get_template(f"{name}.html") for name in ("photo", "failed"))
    totals = Totals()
    with _whole(path) as (file, body):
        for number, entry in enumerate(entries, start=1):
            if isinstance(entry, ReportFailure):
                failed = FailedSection(f"p{number}", entry.source, entry.problem)
                totals.add_failed(failed)
                _write(path, body, failed_template.generate(section=failed))
                continue
            found = section(entry.analysis, decoded(entry.photo, entry.analysis.photo), number)
            totals.add(found)
            _write(path, body, photo_template.generate(section=found))
        _write(path, file, environment.get_template("head.html").generate(title=title, made=made, totals=totals))
        with _told(path):
            body.seek(0)
            shutil.copyfileobj(body, file)
        _write(path, file, environment.get_template("foot.html").generate())


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["dollars"] = dollars
    for kind in ("css", "js"):
        text = (resources.files(_PACKAGE) / "templates" / f"report.{kind}").read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        environment.globals[kind] = Markup(text)  # noqa: S704 - the package's own file
        # The browser runs and applies what has this digest, and nothing that a text might smuggle in.
        environment.globals[f"{kind}_hash"] = f"sha256-{digest}"
    return environment


def _write(path: Path, file: IO[bytes], texts: Iterator[str]) -> None:
    for text in texts:
        with _told(path):
            file.write(text.encode("utf-8", "replace"))  # half of a surrogate pair, which JSON can carry, is no letter


@contextmanager
def _whole(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A file that takes the place of `path` when all went well, and one for what is not yet known to be complete."""
    beside = path.with_name(f".{path.name}.part")
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = beside.open("wb")
    try:
        with file, _body(path) as body:
            yield file, body
            with _told(path):
                file.flush()
        with _told(path):
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _body(path: Path) -> Iterator[IO[bytes]]:
    """The sections, until the head is known: it counts them. Beside the report, where the room is."""
    with _told(path):
        body = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - only its making may fail as the report's
    with body:
        yield body


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the file system says, as a sentence; errors of the caller's generator go through as they are."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}. Choose another file for the report, or make room."
        ) from error
