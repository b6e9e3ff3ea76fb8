"""`fashioncrop batch` and `fashioncrop cost`: many photos, and what describing them would take."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from fashioncrop._client import AnalyzeOptions
from fashioncrop._fetch import FetchLimits
from fashioncrop._output import write_crops
from fashioncrop.analyzing import Analyzer, open_analyzer
from fashioncrop.analyzing.opening import describer_settings, options_of
from fashioncrop.batching.journal import RESULTS_FILE, Journal
from fashioncrop.batching.listing import Item, list_photos
from fashioncrop.batching.object_photos import read_object
from fashioncrop.batching.running import Tally, run_batch
from fashioncrop.batching.table import TABLE_FILE, check_installed, write_table
from fashioncrop.cli.analyzing import ANALYSIS_SETTINGS
from fashioncrop.cli.app import AsJson, app, warn, words
from fashioncrop.cli.batch_progress import BatchProgress
from fashioncrop.describing import PriceTable, estimate
from fashioncrop.results import Analysis
from fashioncrop.settings import Settings
from fashioncrop.settings.flags import with_settings

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SRC...",
        help="Photos, folders, patterns ('photos/**/*.jpg'), https URLs, prefixes of object stores "
        "(s3://bucket/prefix), lists (@FILE, one source a line), or - for a list on stdin.",
    ),
]


@app.command()
@with_settings(*ANALYSIS_SETTINGS)
def batch(  # noqa: PLR0913 - one option, one argument
    sources: Sources,
    *,
    out: Annotated[Path, typer.Option(help="Folder for results.jsonl, results.parquet and the crops.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the results that are there.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume: try failed photos again.")
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Photos in flight at a time.")] = 8,
    parquet: Annotated[bool, typer.Option(help="Also write a table at the end.")] = True,
    crops: Annotated[bool, typer.Option(help="Keep each garment's crop.")] = True,
    embeddings: Annotated[bool, typer.Option(help="Embed each crop.")] = True,
    settings: Settings,
) -> None:
    """Analyse many photos, a row for each; an interrupted run goes on with --resume. Exit 1 where a photo failed."""
    for warning in settings.warnings:
        warn(warning)
    if parquet:
        check_installed()
    options = AnalyzeOptions(**{**options_of(settings), "embeddings": embeddings, "crops": crops})
    names = [source for source in sources if source != "-"]
    counted = None if len(names) < len(sources) else sum(1 for _ in list_photos(names))
    with (
        Journal.begin(out, _about(settings, options), resume=resume, retry_failed=retry_failed) as journal,
        BatchProgress(counted, words) as progress,
    ):
        tally = asyncio.run(_run(list_photos(sources), journal, settings, options, concurrency, progress))
    if parquet:
        write_table(out / RESULTS_FILE, out / TABLE_FILE)
    spent = f", ${tally.dollars:.4f}" if tally.dollars else ""
    earlier = f", {tally.skipped} done before" if tally.skipped else ""
    words.print(
        f"{tally.analysed} photos analysed, {tally.garments} garments, {tally.failed} failed{earlier}{spent}. "
        f"Results: {out / RESULTS_FILE}",
        markup=False,
    )
    if tally.failed:
        raise typer.Exit(1)


async def _run(
    items: Iterable[Item],
    journal: Journal,
    settings: Settings,
    options: AnalyzeOptions,
    concurrency: int,
    progress: BatchProgress,
) -> Tally:
    async with open_analyzer(settings, options, on_warning=warn) as analyzer:

        async def analyze(item: Item) -> Analysis:
            analysis = await _analyzed(analyzer, item)
            return await asyncio.to_thread(write_crops, journal.path.parent, analysis)

        return await run_batch(items, analyze, journal, concurrency=concurrency, on_progress=progress)


async def _analyzed(analyzer: Analyzer, item: Item) -> Analysis:
    if item.source is not None:
        return (await analyzer.analyze(item.source))[0]
    data = await read_object(item.key, max_bytes=FetchLimits().max_bytes)
    analysis, _ = await analyzer.analyze(data)
    name = Path(item.key).stem
    return analysis.model_copy(update={"photo": analysis.photo.model_copy(update={"name": name})})


def _about(settings: Settings, options: AnalyzeOptions) -> dict[str, object]:
    """What shapes an answer, so that two runs that would answer differently do not share a table."""
    return {
        **options,
        "mode": settings.describing,
        "detector": settings.detector,
        "describer_model": settings.describer_model if settings.describing != "off" else None,
        "detail": settings.detail if settings.describing != "off" else None,
    }


@app.command()
@with_settings("describer_model", "detail", "prices")
def cost(
    sources: Sources,
    *,
    garments: Annotated[int, typer.Option(min=1, help="How many a photo is expected to show.")] = 4,
    as_json: AsJson = False,
    settings: Settings,
) -> None:
    """Estimate what describing photos will cost, without asking anybody."""
    photos = sum(1 for _ in list_photos(sources))
    each = estimate(garments, describer_settings(settings), PriceTable.load(settings.prices))
    total = None if each.dollars is None else each.dollars * photos
    if as_json:
        entry = {
            "photos": photos,
            "garments_a_photo": garments,
            "model": each.model,
            "calls": each.calls * photos,
            "dollars_a_photo": each.dollars,
            "dollars": total,
        }
        sys.stdout.write(json.dumps(entry) + "\n")
        return
    if total is None or each.dollars is None:
        sys.stdout.write(f"{photos} photos with {each.model}: unknown, the price table has no price. See --prices.\n")
        return
    sys.stdout.write(
        f"{photos} photos with {garments} garments each by {each.model}: ${total:.4f} (${each.dollars:.6f} a photo: "
        f"{each.image_tokens} tokens of image, {each.text_tokens} of text, {each.output_tokens} answered)\n"
    )
