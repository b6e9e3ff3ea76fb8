"""`fashioncrop index`, `search` and `catalogue`: photos kept, and found again."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from fashioncrop.batching.listing import Item, list_photos
from fashioncrop.batching.running import run_each
from fashioncrop.cataloguing import Place, parse_place
from fashioncrop.cataloguing.crops import forget_photos
from fashioncrop.cataloguing.entries import kept_text
from fashioncrop.cataloguing.installation import check_installed
from fashioncrop.cli.analyzing import ANALYSIS_SETTINGS
from fashioncrop.cli.app import AsJson, app, warn, words
from fashioncrop.cli.batch_progress import BatchProgress
from fashioncrop.cli.batching import Sources
from fashioncrop.errors import FashionCropError
from fashioncrop.settings import Settings, load_settings
from fashioncrop.settings.flags import with_settings

if TYPE_CHECKING:  # an extra
    from fashioncrop.cataloguing.catalogue import Catalogue
    from fashioncrop.cataloguing.indexing import IndexTally

_T = TypeVar("_T")

group = typer.Typer(help="Look at the catalogue, take photos out, hand it on, check it.", no_args_is_help=True)
app.add_typer(group, name="catalogue")


@app.command()
@with_settings(*ANALYSIS_SETTINGS)
def index(
    sources: Sources = [],  # noqa: B006 - typer copies it
    *,
    reindex: Annotated[
        bool,
        typer.Option(
            "--reindex",
            help="Where other models made the catalogue: go on with the server's. Without SRC: all photos of it again.",
        ),
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Photos in flight at a time.")] = 8,
    settings: Settings,
) -> None:
    """Keep photos in the catalogue: what is there as it is costs no analysis. Exit 1 where a photo failed.

    The catalogue is an embedded database, or the one that FASHIONCROP_CATALOGUE names (postgresql://...).
    """
    if not sources and not reindex:
        raise typer.BadParameter("Name photos or folders. All photos of the catalogue again: --reindex")
    for warning in settings.warnings:
        warn(warning)
    tally, place = asyncio.run(_index(sources, settings, reindex=reindex, concurrency=concurrency))
    spent = f", ${tally.dollars:.4f}" if tally.dollars else ""
    words.print(
        f"{tally.analysed} photos indexed ({tally.replaced} of them again), {tally.garments} garments, {tally.skipped} "
        f"unchanged, {tally.failed} failed{spent}. Catalogue: {place.shown}",
        markup=False,
    )
    if tally.failed:
        raise typer.Exit(1)


async def _index(
    sources: list[str], settings: Settings, *, reindex: bool, concurrency: int
) -> tuple[IndexTally, Place]:
    from fashioncrop.cataloguing.catalogue import open_catalogue  # noqa: PLC0415 - an extra
    from fashioncrop.cataloguing.indexing import items_again, open_indexer  # noqa: PLC0415

    def failed(source: str, error: FashionCropError) -> None:
        words.print(f"{kept_text(source)}: {error}", markup=False)

    async with open_catalogue(place_of(settings), create=bool(sources)) as catalogue:
        items: Iterable[Item]
        if sources:
            names = [source for source in sources if source != "-"]
            counted = None if len(names) < len(sources) else sum(1 for _ in list_photos(names))
            items = list_photos(sources)
        else:
            items = again = items_again([source async for source in catalogue.sources()])
            counted = len(again)
        with BatchProgress(counted, words) as progress:
            async with open_indexer(
                catalogue, settings, reindex=reindex, on_progress=progress, on_failure=failed, on_warning=warn
            ) as indexer:
                await run_each(items, indexer.one, concurrency=concurrency)
        if not indexer.keeps_crops:
            words.print("The crops are not kept, only where they are in the photos. To keep them: --store-url")
        built = await catalogue.finish()  # also where nothing was new: an earlier run may have been killed before it
        if built:
            words.print(f"{built} index{'' if built == 1 else 'es'} built.", markup=False)
        return indexer.tally, catalogue.place


@group.command()
def info(*, as_json: AsJson = False) -> None:
    """Say where the catalogue is and what it holds."""

    async def look(catalogue: Catalogue) -> Any:  # noqa: ANN401 - an extra's
        return await catalogue.overview()

    found = _with_catalogue(look)
    spaces = [
        {
            "model": one.space.model.model_dump(),
            "dimension": one.space.dimension,
            "photos": one.photos,
            "garments": one.garments,
            "is_indexed": one.is_indexed,
        }
        for one in found.spaces
    ]
    if as_json:
        sys.stdout.write(json.dumps({**asdict(found), "spaces": spaces}) + "\n")
        return
    table = Table(show_header=False)
    rows = {
        "place": found.place,
        "database": f"PostgreSQL {found.postgresql}, pgvector {found.pgvector}, schema {found.schema}",
        "disk": f"{found.disk_bytes / 2**20:,.1f} MiB",
    }
    for name, text in rows.items():
        table.add_row(name, text)
    for one in found.spaces:
        model = one.space.model
        way = "an index" if one.is_indexed else "a look at each"
        table.add_row(
            f"{model.name}",
            f"{one.photos:,} photos, {one.garments:,} garments, searched by {way}; {model.version[:12]}, "
            f"{model.digest[:19]}, {one.space.dimension} numbers",
        )
    if not found.spaces:
        table.add_row("photos", "none; fill it: fashioncrop index FOLDER")
    _console().print(table)


@group.command()
def remove(
    sources: Annotated[
        list[str], typer.Argument(metavar="SRC...", help="Photos as they were indexed, or folders and prefixes.")
    ] = [],  # noqa: B006 - typer copies it
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every photo.")] = False,
) -> None:
    """Take photos out of the catalogue, and their crops where the catalogue keeps them; the photos stay."""
    if bool(sources) == everything:
        raise typer.BadParameter("Name photos or folders, or ask for --all.")
    names = None if everything else [_as_indexed(source) for source in sources]

    async def take_out(catalogue: Catalogue) -> int:
        photos = await catalogue.remove(names)
        await asyncio.to_thread(forget_photos, catalogue.place, photos)
        return len(photos)

    count = _with_catalogue(take_out)
    words.print(f"{count} photo{'' if count == 1 else 's'} removed.", markup=False)


@group.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, or - for stdout.")] = Path("-"),
) -> None:
    """Write the catalogue as JSON, a line for each photo, as results.jsonl of fashioncrop batch; vectors too."""
    from fashioncrop.cataloguing.exporting import write_export  # noqa: PLC0415 - an extra

    count = _with_catalogue(lambda catalogue: write_export(catalogue, None if str(file) == "-" else file))
    words.print(f"{count} photo{'' if count == 1 else 's'} exported.", markup=False)


@group.command()
def verify(
    *,
    photos: Annotated[
        bool,
        typer.Option("--photos", help="Also read every photo that is a file, and compare it with what was indexed."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look for what is missing or does not fit together; exit 1 where something is."""

    async def look(catalogue: Catalogue) -> list[Any]:
        return [flaw async for flaw in catalogue.flaws(read_photos=photos)]

    flaws = _with_catalogue(look)
    if as_json:
        sys.stdout.write(json.dumps([asdict(flaw) for flaw in flaws]) + "\n")
    else:
        for flaw in flaws:
            typer.echo(f"{flaw.subject}: {flaw.words}")
        if not flaws:
            words.print("Nothing is wrong.")
    if flaws:
        raise typer.Exit(1)


def _with_catalogue(ask: Callable[[Catalogue], Coroutine[Any, Any, _T]]) -> _T:
    """What is asked of the catalogue that the settings name."""
    place = place_of(load_settings())

    async def run() -> _T:
        from fashioncrop.cataloguing.catalogue import open_catalogue  # noqa: PLC0415 - an extra

        async with open_catalogue(place) as catalogue:
            return await ask(catalogue)

    return asyncio.run(run())


def place_of(settings: Settings) -> Place:
    """Where the catalogue is.

    Raises:
        OptionError: the extra is not installed, or the setting is no place.
    """
    check_installed()
    return parse_place(None if settings.catalogue is None else settings.catalogue.get_secret_value())


def _as_indexed(source: str) -> str:
    """A file or folder as `index` names it."""
    return source if "://" in source else str(Path(source).absolute())


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)
