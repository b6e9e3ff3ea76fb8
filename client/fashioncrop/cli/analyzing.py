"""`fashioncrop analyze`: the garments of photos, as a table, as JSON, in a folder and as a page."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fashioncrop._client import AnalyzeOptions
from fashioncrop._output import write_analysis
from fashioncrop._photo_url import shown_url
from fashioncrop._sources import Photo
from fashioncrop.analyzing import open_analyzer
from fashioncrop.analyzing.opening import options_of
from fashioncrop.cli.app import app, warn, words
from fashioncrop.errors import BudgetError, CredentialError, FashionCropError
from fashioncrop.reporting import ReportEntry, ReportFailure, write_report
from fashioncrop.results import Analysis, Cost
from fashioncrop.settings import Settings
from fashioncrop.settings.flags import with_settings

AHEAD = 8
"""Photos in flight at a time: the server and a describer are waited for together, not in turn."""

ANALYSIS_SETTINGS = (
    *("vocabulary", "threshold", "iou_threshold", "crop_padding", "max_garments", "detector"),
    *("mode", "describer_model", "base_url", "detail", "describer_concurrency", "max_cost", "prices"),
    *("caching", "cache_dir", "store_url", "store_public_url", "signed_url_expiry_s"),
    *("url", "timeout_s", "allow_http", "allow_private_addresses"),
)


@app.command()
@with_settings(*ANALYSIS_SETTINGS)
def analyze(
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
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one HTML page that shows everything, pictures too.")
    ] = None,
    embeddings: Annotated[bool, typer.Option(help="Embed each crop.")] = True,
    settings: Settings,
) -> None:
    """Find the garments of photos, and describe them where a describer is set."""
    for warning in settings.warnings:
        warn(warning)
    used: set[Path] = set()

    def told(source: str, outcome: tuple[Analysis, Photo] | FashionCropError) -> ReportEntry | ReportFailure:
        try:
            if isinstance(outcome, FashionCropError):
                raise outcome
            analysis, photo = outcome
            return ReportEntry(
                _tell(analysis, photo, _folder(out, photo, used, len(photos)), as_json=as_json), photo.data
            )
        except FashionCropError as error:
            failure = ReportFailure(_shown(source), str(error))
            words.print(f"{failure.source}: {error}" if len(photos) > 1 else f"{error}", markup=False)
            failures.append(failure)
            return failure

    failures: list[ReportFailure] = []
    entries = (told(source, outcome) for source, outcome in in_turn(photos, settings, embeddings=embeddings))
    if report is None:
        deque(entries, maxlen=0)
    else:
        write_report(report, entries)
        words.print(f"Report: {report}", markup=False)
    if failures:
        if len(photos) > 1:
            words.print(f"{len(failures)} of {len(photos)} photos failed.", markup=False)
        raise typer.Exit(1)


def _shown(source: str) -> str:
    """A URL's password and signature are nobody's business."""
    return shown_url(source) if "://" in source or source[:5].lower() == "data:" else source


def in_turn(
    photos: Sequence[str], settings: Settings, *, embeddings: bool
) -> Iterator[tuple[str, tuple[Analysis, Photo] | FashionCropError]]:
    """Each photo's answer or error in the order of the photos, a few of which are in flight at a time.

    Raises:
        FashionCropError: no photo can be analysed: no server, no key, no budget left.
    """

    async def answers() -> AsyncGenerator[tuple[str, tuple[Analysis, Photo] | FashionCropError], None]:
        options = AnalyzeOptions(**{**options_of(settings), "embeddings": embeddings})
        async with open_analyzer(settings, options, on_warning=warn) as analyzer:
            waiting: deque[tuple[str, asyncio.Task[tuple[Analysis, Photo]]]] = deque()
            left = iter(photos)
            try:
                while True:
                    for source in islice(left, AHEAD - len(waiting)):
                        waiting.append((source, asyncio.create_task(analyzer.analyze(source))))
                    if not waiting:
                        return
                    source, task = waiting.popleft()
                    try:
                        yield source, await task
                    except (BudgetError, CredentialError):
                        raise
                    except FashionCropError as error:
                        yield source, error
            finally:
                for _, task in waiting:
                    task.cancel()
                await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)

    with asyncio.Runner() as runner:
        each = answers()

        async def following() -> tuple[str, tuple[Analysis, Photo] | FashionCropError] | None:
            return await anext(each, None)

        try:
            while (answer := runner.run(following())) is not None:
                yield answer
        finally:
            runner.run(each.aclose())


def _tell(analysis: Analysis, photo: Photo, folder: Path | None, *, as_json: bool) -> Analysis:
    if folder is not None:
        analysis = write_analysis(folder, analysis, photo)
    for warning in analysis.warnings:
        warn(warning)
    if as_json:
        sys.stdout.write(analysis.model_dump_json() + "\n")
        sys.stdout.flush()
    else:
        show(analysis)
    if folder is not None:
        words.print(f"Written to {folder}/", markup=False)
    return analysis


def _folder(out: Path | None, photo: Photo, used: set[Path], count: int) -> Path | None:
    """With several photos a folder of the photo's name; photos of one name get -2, -3 ..."""
    if out is None or count == 1:
        return out
    folder, number = out / photo.name, 1
    while folder in used:
        number += 1
        folder = out / f"{photo.name}-{number}"
    used.add(folder)
    return folder


def show(analysis: Analysis) -> None:
    """The garments as a table on stdout; timings and cost on stderr."""
    photo = analysis.photo
    count = len(analysis.garments)
    title = f"{photo.name}  {photo.width} x {photo.height}  {count} garment{'' if count == 1 else 's'}"
    table = Table(title=title, title_justify="left")
    described = any(garment.description or garment.description_problem for garment in analysis.garments)
    headings = ["#", "phrase", "category", "score", "box (x0 y0 x1 y1)", "depth order", "colours", "flags"]
    for heading in headings + ["description"] * described:
        table.add_column(heading, justify="right" if heading in {"#", "score", "depth order"} else "left")
    for garment in analysis.garments:
        cells = [
            str(garment.id),
            garment.phrase,
            garment.category.name if garment.category else "-",
            f"{garment.score:.2f}",
            " ".join(f"{value:.0f}" for value in garment.box_xyxy),
            str(garment.depth.order),
            ", ".join(f"{colour.name} {colour.share:.0%}" for colour in garment.colours[:3]),
            " ".join(garment.flags),
        ]
        if described:
            sentence = garment.description.sentence if garment.description else garment.description_problem
            cells.append(sentence or "")
        table.add_row(*cells)
    # Not wrapped to nothing where stdout is a file.
    width = None if sys.stdout.isatty() else 160 + 80 * described
    Console(width=width, markup=False, highlight=False).print(table)
    stages = "  ".join(f"{name} {value:.0f} ms" for name, value in analysis.timings_ms.items())
    words.print(stages + ("  (cached)" if analysis.cached else ""), markup=False)
    if analysis.cost is not None:
        words.print(cost_line(analysis.cost), markup=False)


def cost_line(cost: Cost) -> str:
    """Dollars and tokens in words."""
    parts = [
        f"{usage.model}: {usage.calls} call{'' if usage.calls == 1 else 's'}, {usage.input_tokens} tokens in "
        f"({usage.cached_input_tokens} of them cached), {usage.output_tokens} out"
        for usage in cost.usages
    ]
    dollars = "cost unknown, the price table lacks a model" if cost.dollars is None else f"cost ${cost.dollars:.6f}"
    return f"{dollars}  ({'; '.join(parts)})"
