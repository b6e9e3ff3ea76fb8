"""How accurate is the whole served pipeline? On drawn scenes, or on any dataset in COCO's format.

    python benchmarks/accuracy.py --models paperdoll --scenes 200
    python benchmarks/accuracy.py --models full --data FOLDER
    python benchmarks/accuracy.py --url HOST:PORT --annotations FILE --images DIR --limit 500 --json accuracy.json

A real server answers over real sockets. Tables go to stdout, words to stderr; exit code 0 when done, 1 with a sentence.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fashioncrop import FashionCropError
from settings import Folders, Settings, Vocabulary

_INSTALL = "pip install -e '.[training]'"

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def run(  # noqa: PLR0913 - one option, one argument
    *,
    models: Annotated[
        str | None,
        typer.Option(
            metavar="paperdoll|full|random|tiny|DIR",
            help="Export these models and serve them on a server of this benchmark's own, beside any other.",
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Measure the server that runs there (gRPC).")
    ] = None,
    scenes: Annotated[
        int | None, typer.Option(min=1, help="Measure on so many of the project's drawn test scenes.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Measure on photos: images/ and annotations.json in COCO's format."),
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The annotations, where they are not in FOLDER.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The photos, where they are not in FOLDER.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many photos, chosen by --seed.")] = None,
    vocabulary: Annotated[
        Vocabulary,
        typer.Option(
            help="Ask for the server's default vocabulary or for the dataset's own category names; auto takes the "
            "default where it names every category."
        ),
    ] = Vocabulary.AUTO,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is left to chance.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write figures and environment as JSON.")
    ] = None,
) -> None:
    """Measure detection, steering, colours, text search and depth order of a served pipeline against a dataset."""
    if (models is None) == (url is None):
        raise typer.BadParameter("Say what to measure: --models (a server of its own) or --url (one that runs).")
    folders = _folders(data, annotations, images)
    if (scenes is None) == (folders is None):
        raise typer.BadParameter("Say what to measure on: --scenes N, --data FOLDER, or --annotations and --images.")
    # They need packages of the extras.
    from measuring import measure  # noqa: PLC0415
    from report import check_writable, print_document, write_json  # noqa: PLC0415

    if json_file is not None:
        check_writable(json_file)
    chosen = folders if folders is not None else scenes or 0
    settings = Settings(models, url, chosen, limit, vocabulary, seed)
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("photos"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=words, transient=True) as progress:
        task = progress.add_task("", total=None, visible=False)
        document = measure(
            settings,
            words=lambda text: words.print(text, markup=False),
            on_photo=lambda done, total: progress.update(task, completed=done, total=total, visible=True),
        )
    print_document(Console(highlight=False, markup=False), document)
    if json_file is not None:
        write_json(json_file, document)


def _folders(data: Path | None, annotations: Path | None, images: Path | None) -> Folders | None:
    if data is not None:
        return Folders(annotations or data / "annotations.json", images or data / "images")
    if (annotations is None) != (images is None):
        raise typer.BadParameter("--annotations and --images go together, or name a FOLDER that holds both: --data.")
    return Folders(annotations, images) if annotations is not None and images is not None else None


def _stop(signal_number: int, _frame: FrameType | None) -> NoReturn:
    # An exception, so that the server is stopped on the way out.
    sys.exit(128 + signal_number)


def main() -> None:
    """Run the command; a named error is its sentence on stderr and exit code 1."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except FashionCropError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"This benchmark needs {error.name}, which is missing. Run: {_INSTALL}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
