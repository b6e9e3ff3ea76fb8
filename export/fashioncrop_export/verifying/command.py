"""The `fashioncrop-export verify` command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fashioncrop.errors import OutputError
from fashioncrop.model_repository import Role, default_repository
from fashioncrop_export.checkpoints import FAMILY_OF_ROLE, Checkpoint
from fashioncrop_export.machine.memory import require_memory
from fashioncrop_export.photos.sources import CocoPhotos, PhotoFolder, PhotoSource, verification_scenes
from fashioncrop_export.sources import default_cache
from fashioncrop_export.variants import Variant

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
_SCENES = 8


@app.command()
def verify(  # noqa: PLR0913 - one option, one argument
    *,
    models: Annotated[
        str,
        typer.Option(metavar="full|random|tiny|paperdoll|DIR", help="The checkpoint that the engines were made from."),
    ],
    only: Annotated[list[Role] | None, typer.Option(help="Verify this model only; may be repeated.")] = None,
    variant: Annotated[
        list[Variant] | None,
        typer.Option(help="Verify these engines only; may be repeated.", show_default="every one that is there"),
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Triton model repository that holds them.", show_default="the project's"),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where random weights are kept.",
            show_default="$FASHIONCROP_CACHE or ~/.cache/fashioncrop/checkpoints",
        ),
    ] = None,
    photos: Annotated[Path | None, typer.Option(metavar="DIR", help="Look at the photos in this folder.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Look at a dataset in COCO's format: images/ and annotations.json."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="At most so many photos.", show_default=f"all; without a folder {_SCENES} drawn scenes"
        ),
    ] = None,
    published_photo: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="COCO's val2017/000000039769.jpg, of which figures are published; for --models full.",
            show_default="downloaded",
        ),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write it as JSON.")] = None,
) -> None:
    """Compare engines with the original models on photos; exit code 1 where a bound does not hold."""
    if photos is not None and data is not None:
        raise typer.BadParameter("Name photos (--photos) or a dataset (--data), not both.")
    roles = tuple(dict.fromkeys(only)) if only else tuple(Role)
    for family in dict.fromkeys(FAMILY_OF_ROLE[role] for role in roles):
        require_memory(models, family, f"Verifying {family}")
    # torch and transformers take seconds to import: after what may be wrong with the options.
    from fashioncrop_export.verifying.published import (  # noqa: PLC0415
        fetch_photo,
        published_figures,
        read_published_photo,
    )
    from fashioncrop_export.verifying.report import PublishedFigure, print_report  # noqa: PLC0415
    from fashioncrop_export.verifying.verification import Verification, verify_engines  # noqa: PLC0415

    chosen = repository or default_repository()
    kept = cache or default_cache()
    wanted = Verification(
        models, chosen, kept, _source(photos, data, limit), roles, tuple(dict.fromkeys(variant or ()))
    )

    def published_photo_image() -> Image.Image:
        return read_published_photo(published_photo or fetch_photo(kept))

    def published(checkpoints: Mapping[Role, Checkpoint]) -> Iterator[PublishedFigure]:
        if models == "full":
            yield from published_figures(chosen, published_photo_image, checkpoints)

    words = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=words, transient=True) as progress:
        tasks = {role: progress.add_task(role, total=None, visible=False) for role in roles}
        report = verify_engines(
            wanted,
            lambda role, done, total: progress.update(tasks[role], completed=done, total=total, visible=True),
            published,
        )
    print_report(report, Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160))
    if json_file is not None:
        try:
            json_file.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{json_file} cannot be written: {error.strerror}.") from error
    if not report.passed:
        raise typer.Exit(1)


def _source(photos: Path | None, data: Path | None, limit: int | None) -> PhotoSource:
    if photos is not None:
        return PhotoFolder(photos, limit)
    if data is not None:
        return CocoPhotos(data / "annotations.json", data / "images", limit)
    return verification_scenes(limit or _SCENES)
