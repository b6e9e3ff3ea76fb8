"""What a search found, as a page: a section for each query, a card for each photo."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fashioncrop._photo_url import shown_url
from fashioncrop.cataloguing.answers import Found, FoundGarment, FoundPhoto, Query, SearchAnswer
from fashioncrop.reporting import _words
from fashioncrop.reporting._page import environment, told, whole, write
from fashioncrop.reporting._pictures import Picture, crop_picture
from fashioncrop.reporting._sections import Content, Swatch, swatches
from fashioncrop.results import Crop

_TITLE = "Garments like these"
_NAMES = {
    "words": "\u201c{text}\u201d",
    "garment": "{text}, in {photo}",
    "box": "A box in {photo}",
    "catalogue": "{text}, in {photo}",
}


@dataclass(frozen=True)
class _Garment:
    """One garment of a found photo.

    Attributes:
        found: as it was found.
        picture: its crop; None where it cannot be shown.
        category: in words; empty where there is none.
        similarity: in words.
        meter: the same as a length.
        swatches: its colours.
    """

    found: FoundGarment
    picture: Picture | None
    category: str
    similarity: str
    meter: str
    swatches: list[Swatch]


@dataclass(frozen=True)
class _Photo:
    """One found photo.

    Attributes:
        rank: from 1.
        found: as it was found.
        where: its source, as it may be shown.
        best: its garment that is the most alike.
        others: further garments of it.
    """

    rank: int
    found: FoundPhoto
    where: str
    best: _Garment
    others: list[_Garment]


@dataclass(frozen=True)
class _Section:
    """One query.

    Attributes:
        anchor: its `id`.
        name: in words.
        picture: of what was looked for; None for words.
        facts: what stands under the name.
        photos: what was found.
    """

    anchor: str
    name: str
    picture: Picture | None
    facts: list[str]
    photos: list[_Photo]


@dataclass(frozen=True)
class _Totals:
    """What the head says of all queries.

    Attributes:
        contents: a line for each query.
        figures: number and what it counts.
    """

    contents: list[Content]
    figures: list[tuple[str, str]]


def write_gallery(
    path: Path,
    answer: SearchAnswer,
    pictures: Mapping[str, bytes],
    *,
    title: str = _TITLE,
    made: datetime | None = None,
) -> None:
    """Write one HTML file that holds everything, pictures too, and asks for nothing from outside.

    The file is there as a whole or not at all. The same input gives the same bytes.

    Args:
        path: the file; its folder is made where there is none.
        answer: what was found.
        pictures: JPEGs by a garment's ID, and by `Query.key`.
        title: the page's heading.
        made: shown beside the heading; nothing is shown by default.

    Raises:
        OutputError: the file cannot be written.
    """
    templates = environment()
    sections = [_section(found, pictures, f"q{number}") for number, found in enumerate(answer.found, start=1)]
    contents = [
        Content(section.anchor, section.name, _words.count(len(section.photos), "photo"), "") for section in sections
    ]
    queries = f"{len(sections):,}", "query" if len(sections) == 1 else "queries"
    photos = len({photo.source for found in answer.found for photo in found.photos})
    totals = _Totals(contents, [queries, (f"{photos:,}", "photo found" if photos == 1 else "photos found")])
    head = templates.get_template("head.html").generate(
        title=title, made=made, totals=totals, contents_label="Queries", nothing="Nothing was looked for."
    )
    with whole(path) as (file, body):
        for index, section in enumerate(sections):
            warnings = () if index else answer.warnings  # once for all queries
            write(path, body, templates.get_template("gallery.html").generate(section=section, warnings=warnings))
        write(path, file, head)
        with told(path):
            body.seek(0)
            shutil.copyfileobj(body, file)
        write(path, file, templates.get_template("foot.html").generate())


def _section(found: Found, pictures: Mapping[str, bytes], anchor: str) -> _Section:
    photos = [_photo(photo, pictures, rank) for rank, photo in enumerate(found.photos, start=1)]
    facts = [_words.count(len(photos), "photo")]
    if photos:
        facts.append(f"best {photos[0].best.similarity}")
    picture = _picture(pictures.get(found.query.key))
    return _Section(anchor, query_words(found.query), picture, facts, photos)


def query_words(query: Query) -> str:
    """What was looked for, as a person would say it."""
    photo = "" if query.source is None else _name(query.source)
    return _NAMES[query.kind].format(text=query.text, photo=photo)


def _photo(photo: FoundPhoto, pictures: Mapping[str, bytes], rank: int) -> _Photo:
    best, *others = [_garment(one, pictures) for one in photo.garments]
    return _Photo(rank, photo, _where(photo.source), best, others)


def _garment(one: FoundGarment, pictures: Mapping[str, bytes]) -> _Garment:
    garment = one.garment
    return _Garment(
        found=one,
        picture=_picture(pictures.get(one.id)),
        category="" if garment.category is None else _words.category_words(garment.category, garment.phrase),
        similarity=f"{one.similarity:.3f}",
        meter=f"{100 * min(max(one.similarity, 0.0), 1.0):.1f}%",
        swatches=swatches(garment.colours),
    )


def _picture(jpeg: bytes | None) -> Picture | None:
    return None if jpeg is None else crop_picture(Crop(box_xyxy=(0, 0, 1, 1), jpeg=jpeg), None)


def _name(source: str) -> str:
    return _where(source).rstrip("/").rpartition("/")[2] or source


def _where(source: str) -> str:
    return shown_url(source) if "://" in source else source
