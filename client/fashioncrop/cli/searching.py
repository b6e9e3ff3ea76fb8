"""`fashioncrop search`: garments of the catalogue by words, by photo, by box, or like one another."""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from fashioncrop._photo_url import shown_url
from fashioncrop.batching.listing import PHOTO_SUFFIXES
from fashioncrop.cataloguing.answers import Found, SearchAnswer
from fashioncrop.cli.app import AsJson, app, warn, words
from fashioncrop.cli.cataloguing import place_of
from fashioncrop.errors import OptionError, PhotoError
from fashioncrop.reporting import query_words, write_gallery
from fashioncrop.results import Box
from fashioncrop.settings import Settings
from fashioncrop.settings.flags import with_settings

if TYPE_CHECKING:  # an extra
    from fashioncrop.cataloguing.querying import Wanted

SEARCH_SETTINGS = (
    *("vocabulary", "threshold", "iou_threshold", "crop_padding", "max_garments", "detector"),
    *("caching", "cache_dir", "url", "timeout_s", "allow_http", "allow_private_addresses"),
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|data:", re.IGNORECASE)
_SHOWN_COLOURS = 3
_UNFOLDED = 10_000


class Kind(StrEnum):
    """What a query is."""

    AUTO = "auto"
    WORDS = "words"
    PHOTO = "photo"


@app.command()
@with_settings(*SEARCH_SETTINGS)
def search(  # noqa: PLR0913 - one option, one argument
    query: Annotated[
        str | None,
        typer.Argument(metavar="WORDS|PHOTO", help="'red striped skirt', or a file, an https URL, or - for stdin."),
    ] = None,
    *,
    garment: Annotated[
        str | None, typer.Option(metavar="ID", help="Garments of other photos like this one of the catalogue.")
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(metavar="X0,Y0,X1,Y1", help="With a photo: what is in this box, in pixels of the upright photo."),
    ] = None,
    kind: Annotated[
        Kind, typer.Option("--as", help="What the query is; auto takes what is a file or a URL for a photo.")
    ] = Kind.AUTO,
    category: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="Only garments of this category, super-category or phrase: skirt, upperbody. Repeated: any of them.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    colour: Annotated[
        list[str], typer.Option(metavar="NAME", help="Only garments with this colour. Repeated: with all of them.")
    ] = [],  # noqa: B006 - typer copies it
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Photos for each query, at most.")] = 10,
    as_json: AsJson = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one HTML page with the pictures of what was found.")
    ] = None,
    settings: Settings,
) -> None:
    """Find garments of the catalogue: by words, by photo (each of its garments is a query), by a box, by a garment."""
    for warning in settings.warnings:
        warn(warning)
    if (query is None) == (garment is None):
        raise typer.BadParameter("Say what to look for: words, a photo, or --garment ID.")
    is_photo = query is not None and _is_photo(query, kind)
    if box is not None and not is_photo:
        raise typer.BadParameter("A box is a part of a photo; name the photo.", param_hint="--box")
    chosen = None if box is None else _box(box)
    answer, pictures = asyncio.run(
        _ask(settings, query, garment, chosen, (limit, tuple(category), tuple(colour)), is_photo, html is not None)
    )
    for warning in answer.warnings:
        warn(warning)
    if as_json:
        sys.stdout.write(answer.model_dump_json() + "\n")
    else:
        for found in answer.found:
            _show(found)
    if not answer.found:
        words.print("No garment was found in the photo. Say where one is (--box), or lower --threshold.", markup=False)
    if html is not None:
        write_gallery(html, answer, pictures, made=datetime.now().astimezone())
        words.print(f"Page: {html}", markup=False)


async def _ask(
    settings: Settings,
    query: str | None,
    garment: str | None,
    box_xyxy: Box | None,
    wanted_of: tuple[int, tuple[str, ...], tuple[str, ...]],
    is_photo: bool,  # noqa: FBT001 - decided above
    with_pictures: bool,  # noqa: FBT001 - as above
) -> tuple[SearchAnswer, dict[str, bytes]]:
    place = place_of(settings)
    from fashioncrop.cataloguing import querying  # noqa: PLC0415 - an extra
    from fashioncrop.cataloguing.catalogue import open_catalogue  # noqa: PLC0415
    from fashioncrop.cataloguing.pictures import pictures_of  # noqa: PLC0415

    wanted: Wanted = querying.Wanted(*wanted_of)
    async with open_catalogue(place) as catalogue:
        if garment is not None:
            answer = await querying.search_by_garment(catalogue, garment, wanted)
        elif is_photo:
            answer = await querying.search_by_photo(
                catalogue, settings, str(query), wanted, box_xyxy=box_xyxy, on_warning=warn
            )
        else:
            answer = await querying.search_by_words(catalogue, settings, str(query), wanted)
        pictures = await pictures_of(answer, querying.photo_limits(settings)) if with_pictures else {}
    return answer, pictures


def _is_photo(query: str, kind: Kind) -> bool:
    """Is the query a photo, and not words?

    Raises:
        PhotoError: it looks like a file that is not there.
    """
    if kind is not Kind.AUTO:
        return kind is Kind.PHOTO
    if query == "-" or _URL.match(query):
        return True
    try:
        is_there = Path(query).is_file()
    except OSError:  # longer than a name can be
        is_there = False
    if not is_there and Path(query).suffix.lower() in PHOTO_SUFFIXES:
        raise PhotoError(f"There is no file {query}. Check the path; where words are meant: --as words")
    return is_there


def _box(text: str) -> Box:
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter("four numbers are needed: X0,Y0,X1,Y1", param_hint="--box") from error
    if not (x0 < x1 and y0 < y1):
        raise OptionError(f"The box {text} is empty or reversed. Say left, top, right and bottom in pixels.")
    return x0, y0, x1, y1


def _show(found: Found) -> None:
    """What was found for one query as a table on stdout."""
    table = Table(title=query_words(found.query), title_justify="left")
    for heading in ("#", "similarity", "garment", "category", "colours", "photo", "box (x0 y0 x1 y1)", "ID"):
        table.add_column(heading, justify="right" if heading in {"#", "similarity"} else "left", overflow="fold")
    for rank, photo in enumerate(found.photos, start=1):
        for place, one in enumerate(photo.garments):
            garment = one.garment
            table.add_row(
                str(rank) if place == 0 else "",
                f"{one.similarity:.3f}",
                garment.phrase,
                garment.category.name if garment.category else "-",
                ", ".join(colour.name for colour in garment.colours[:_SHOWN_COLOURS]),
                (shown_url(photo.source) if "://" in photo.source else photo.source) if place == 0 else "",
                " ".join(f"{value:.0f}" for value in garment.box_xyxy),
                one.id,
            )
    if not found.photos:
        words.print(f"{query_words(found.query)}: no garment of the catalogue passes the filters.", markup=False)
        return
    # Never folded where a program reads it: a path is one word.
    width = None if sys.stdout.isatty() else _UNFOLDED
    Console(width=width, markup=False, highlight=False).print(table)
