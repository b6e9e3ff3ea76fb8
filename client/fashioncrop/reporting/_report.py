"""Write the page: head, one section for each photo, foot; never more than one photo in memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fashioncrop.reporting._page import environment, told, whole, write
from fashioncrop.reporting._pictures import decoded
from fashioncrop.reporting._sections import FailedSection, Totals, section
from fashioncrop.results import Analysis

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
    templates = environment()
    photo_template, failed_template = (templates.get_template(f"{name}.html") for name in ("photo", "failed"))
    totals = Totals()
    with whole(path) as (file, body):
        for number, entry in enumerate(entries, start=1):
            if isinstance(entry, ReportFailure):
                failed = FailedSection(f"p{number}", entry.source, entry.problem)
                totals.add_failed(failed)
                write(path, body, failed_template.generate(section=failed))
                continue
            found = section(entry.analysis, decoded(entry.photo, entry.analysis.photo), number)
            totals.add(found)
            write(path, body, photo_template.generate(section=found))
        write(path, file, templates.get_template("head.html").generate(title=title, made=made, totals=totals))
        with told(path):
            body.seek(0)
            shutil.copyfileobj(body, file)
        write(path, file, templates.get_template("foot.html").generate())
