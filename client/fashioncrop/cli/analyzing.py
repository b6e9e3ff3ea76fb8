"""`fashioncrop analyze`: the garments of photos, as a table, as JSON and in a folder."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fashioncrop._client import DEFAULT_TIMEOUT_S, AnalyzeOptions, AsyncClient
from fashioncrop._fetch import FetchLimits
from fashioncrop._output import write_analysis
from fashioncrop._sources import Photo
from fashioncrop.cli.app import Url, app, words
from fashioncrop.errors import FashionCropError, OptionError
from fashioncrop.results import Analysis


@app.command()
def analyze(  # noqa: PLR0913 - one option, one argument
    photos: Annotated[list[str], typer.Argument(metavar="PHOTO...", help="Files, https URLs, or - for stdin.")],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for analysis.json, the crops and the photo with its boxes; with several photos, a folder each "
            "inside it."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, a line for each photo.")] = False,
    vocabulary: Annotated[
        list[str] | None,
        typer.Option(
            help="What to look for, several phrases separated by commas or full stops: 'shirt. leather bag'. May be "
            "repeated. By default the garments of Fashionpedia."
        ),
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Least score of a garment, 0 to 1.  [default: 0.35]")] = None,
    iou_threshold: Annotated[
        float | None, typer.Option(help="Most overlap of two boxes of one phrase, 0 to 1.  [default: 0.7]")
    ] = None,
    crop_padding: Annotated[
        float | None, typer.Option(help="Margin of a crop, as a share of its box, 0 to 1.  [default: 0.05]")
    ] = None,
    max_garments: Annotated[
        int | None, typer.Option(help="At most this many a photo, 1 to 300.  [default: 50]")
    ] = None,
    embeddings: Annotated[bool, typer.Option(help="Embed each crop.")] = True,
    url: Url = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for each photo.")] = DEFAULT_TIMEOUT_S,
    allow_http: Annotated[bool, typer.Option(help="Also fetch photos by http, unencrypted.")] = False,
    allow_private_addresses: Annotated[
        bool, typer.Option(help="Also fetch photos from private and loopback addresses.")
    ] = False,
) -> None:
    """Find the garments of photos."""
    options: dict[str, Any] = {
        "score_threshold": threshold,
        "iou_threshold": iou_threshold,
        "crop_padding": crop_padding,
        "max_garments": max_garments,
        "vocabulary": _phrases(vocabulary) if vocabulary is not None else None,
        "embeddings": embeddings,
        "crops": out is not None,
    }
    given = AnalyzeOptions(**{name: value for name, value in options.items() if value is not None})  # type: ignore[typeddict-item]
    limits = FetchLimits(allow_http=allow_http, allow_private_addresses=allow_private_addresses)
    failed = asyncio.run(_analyze_all(photos, out, given, url, timeout, limits, as_json=as_json))
    if failed:
        if len(photos) > 1:
            words.print(f"{failed} of {len(photos)} photos failed.", markup=False)
        raise typer.Exit(1)


async def _analyze_all(
    photos: list[str],
    out: Path | None,
    options: AnalyzeOptions,
    url: str | None,
    timeout_s: float,
    limits: FetchLimits,
    *,
    as_json: bool,
) -> int:
    """How many photos failed; each failure is told and the next photo goes on."""
    failed = 0
    used: set[Path] = set()
    async with AsyncClient(url, timeout_s=timeout_s, fetch_limits=limits) as client:
        for source in photos:
            try:
                analysis, photo = await client.analyze_with_photo(source, **options)
                if out is not None:
                    folder = out if len(photos) == 1 else _own_folder(out, photo, used)
                    analysis = write_analysis(folder, analysis, photo)
            except FashionCropError as error:
                failed += 1
                words.print(f"{source}: {error}" if len(photos) > 1 else f"{error}", markup=False)
                continue
            for warning in analysis.warnings:
                words.print(f"Warning: {warning}", markup=False)
            if as_json:
                sys.stdout.write(analysis.model_dump_json() + "\n")
                sys.stdout.flush()
            else:
                _show(analysis)
            if out is not None:
                words.print(f"Written to {folder}/", markup=False)
    return failed


def _own_folder(out: Path, photo: Photo, used: set[Path]) -> Path:
    """A folder of the photo's name; photos of one name get -2, -3 ..."""
    folder, number = out / photo.name, 1
    while folder in used:
        number += 1
        folder = out / f"{photo.name}-{number}"
    used.add(folder)
    return folder


def _phrases(texts: list[str]) -> list[str]:
    phrases = [phrase.strip() for text in texts for phrase in re.split(r"[.,\n]", text)]
    found = [phrase for phrase in phrases if phrase]
    if not found:
        raise OptionError("--vocabulary holds no phrase. Name what to look for, or leave it out for the default.")
    return found


def _show(analysis: Analysis) -> None:
    photo = analysis.photo
    count = len(analysis.garments)
    title = f"{photo.name}  {photo.width} x {photo.height}  {count} garment{'' if count == 1 else 's'}"
    table = Table(title=title, title_justify="left")
    for heading in ("#", "phrase", "category", "score", "box (x0 y0 x1 y1)", "depth order", "colours", "flags"):
        table.add_column(heading, justify="right" if heading in {"#", "score", "depth order"} else "left")
    for garment in analysis.garments:
        table.add_row(
            str(garment.id),
            garment.phrase,
            garment.category.name if garment.category else "-",
            f"{garment.score:.2f}",
            " ".join(f"{value:.0f}" for value in garment.box_xyxy),
            str(garment.depth.order),
            ", ".join(f"{colour.name} {colour.share:.0%}" for colour in garment.colours[:3]),
            " ".join(garment.flags),
        )
    # Not wrapped to nothing where stdout is a file.
    console = Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)
    console.print(table)
    stages = "  ".join(f"{name} {value:.0f} ms" for name, value in analysis.timings_ms.items())
    words.print(stages, markup=False)
