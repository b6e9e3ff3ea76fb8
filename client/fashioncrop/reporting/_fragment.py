"""A part of the report for pages of others: one photo's section, and the style and script that it needs."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources

from jinja2 import Template

from fashioncrop.reporting._page import PACKAGE, environment
from fashioncrop.reporting._pictures import decoded
from fashioncrop.reporting._report import ReportEntry
from fashioncrop.reporting._sections import section


@dataclass(frozen=True)
class Look:
    """What a page needs to show sections as the report does.

    Attributes:
        css: the report's style.
        js: the report's script; it also serves sections that come later.
    """

    css: str
    js: str


def look() -> Look:
    """The report's own."""
    folder = resources.files(PACKAGE) / "templates"
    return Look(*((folder / f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js")))


def photo_section(entry: ReportEntry, number: int = 1) -> str:
    """One photo with its garments as HTML; everything that a text might smuggle in is escaped.

    Args:
        entry: the photo; a crop without its JPEG is cut out of it.
        number: of the photo in its page, from 1.

    Raises:
        PhotoError: the photo is of another size than its analysis says.
    """
    found = section(entry.analysis, decoded(entry.photo, entry.analysis.photo), number)
    return _template().render(section=found).encode("utf-8", "replace").decode("utf-8")


@functools.cache
def _template() -> Template:
    return environment().get_template("photo.html")
