"""The `fashioncrop` command: data on stdout, words on stderr; exit 0 done, 1 a named error in one line, 2 usage."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from fashioncrop._client import DEFAULT_TIMEOUT_S, AnalyzeOptions, AsyncClient
from fashioncrop._doctor import Outcome, examine
from fashioncrop._embedded import server as embedded
from fashioncrop._embedded.state import ServerState, default_state_folder
from fashioncrop._fetch import FetchLimits
from fashioncrop._output import write_analysis
from fashioncrop._sources import Photo
from fashioncrop.errors import EmbeddedServerError, FashionCropError, OptionError
from fashioncrop.results import Analysis, json_schema

app = typer.Typer(
    help="One photo in, every garment out: box, category, crop, embedding, depth and colour, from models on Triton.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_words = Console(stderr=True, highlight=False, soft_wrap=True)

Url = Annotated[
    str | None,
    typer.Option(help="The server's gRPC address, HOST:PORT. By default FASHIONCROP_URL, else the embedded server."),
]
Repository = Annotated[
    Path | None,
    typer.Option(help="The model repository. By default the checkout's, or the user's own for an installed package."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of a table.")]


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer's callback
    if asked:
        typer.echo(version("fashioncrop"))
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


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
            _words.print(f"{failed} of {len(photos)} photos failed.", markup=False)
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
                _words.print(f"{source}: {error}" if len(photos) > 1 else f"{error}", markup=False)
                continue
            for warning in analysis.warnings:
                _words.print(f"Warning: {warning}", markup=False)
            if as_json:
                sys.stdout.write(analysis.model_dump_json() + "\n")
                sys.stdout.flush()
            else:
                _show(analysis)
            if out is not None:
                _words.print(f"Written to {folder}/", markup=False)
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
    _words.print(stages, markup=False)


@app.command()
def up(
    *,
    repository: Repository = None,
    ports: Annotated[
        str | None,
        typer.Option(
            metavar="HTTP,GRPC,METRICS",
            help="Ports on 127.0.0.1. By default 8000,8001,8002, or free ones where these are taken.",
        ),
    ] = None,
    config_name: Annotated[
        str, typer.Option(help="Prefer each model's configs/NAME.pbtxt over its config.pbtxt.")
    ] = "",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until every model must have answered.")] = 300,
) -> None:
    """Start the embedded Triton server in the background."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # ends what it has begun
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=_words,
        transient=True,
    ) as progress:
        task = progress.add_task("starting", total=None)

        def show(state: ServerState) -> None:
            ready = [model for model, at in state.models.items() if at == "ready"]
            loading = [model for model, at in state.models.items() if at == "loading"]
            text = f"{state.phase}: {len(ready)} of {len(state.models)} models answer"
            progress.update(task, description=text + (f", loading {', '.join(loading)}" if loading else ""))

        state = embedded.start(
            repository=repository,
            ports=_ports(ports),
            config_name=config_name,
            timeout_s=timeout,
            on_progress=show,
        )
    _words.print(
        f"Ready: {len(state.models)} models answer. HTTP {state.http_url}, gRPC {state.grpc_url}, metrics "
        f"{state.metrics_url}",
        markup=False,
    )


def _ports(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 3 or not all(part.isdigit() and 0 < int(part) < 2**16 for part in parts) or len(set(parts)) != 3:  # noqa: PLR2004 - HTTP, gRPC, metrics
        raise typer.BadParameter(
            "three different numbers are needed, 1 to 65535: HTTP,GRPC,METRICS", param_hint="--ports"
        )
    return int(parts[0]), int(parts[1]), int(parts[2])


@app.command()
def down() -> None:
    """Stop the embedded server."""
    _words.print("Stopped." if embedded.stop() else "No server is running.", markup=False)


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Say whether the embedded server runs and how its models are; exit 1 where it does not."""
    state = default_state_folder().running()
    if state is None:
        raise EmbeddedServerError("No server is running. Start one: fashioncrop up")
    if as_json:
        typer.echo(state.model_dump_json())
        return
    table = Table(show_header=False)
    for name, value in (
        ("phase", state.phase),
        ("http", state.http_url),
        ("grpc", state.grpc_url),
        ("metrics", state.metrics_url),
        ("repository", state.repository),
        ("processes", f"supervisor {state.supervisor_pid}, server {state.server_pid}"),
        ("repairs", str(state.repairs)),
        *state.models.items(),
        *([("problem", state.problem)] if state.problem else []),
    ):
        table.add_row(name, value)
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


@app.command()
def logs(*, lines: Annotated[int, typer.Option(min=1, help="How many, from the end.")] = 50) -> None:
    """Print the end of the embedded server's log."""
    for line in embedded.last_lines(count=lines):
        typer.echo(line)


@app.command()
def doctor(*, url: Url = None, repository: Repository = None, as_json: AsJson = False) -> None:
    """Say what is wrong with this set-up and what to do; exit 1 where something is."""
    findings = examine(url, repository)
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in findings]))
    else:
        for finding in findings:
            typer.echo(f"{finding.outcome:>8}  {finding.subject}: {finding.words}")
    if any(finding.outcome is Outcome.WRONG for finding in findings):
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the JSON schema of an analysis."""
    typer.echo(json.dumps(json_schema(), indent=2))


class _Exit(Enum):
    """Exit codes that are not typer's own."""

    NAMED_ERROR = 1
    INTERRUPTED = 130


def main() -> None:
    """Entry point: a named error is one line on stderr and exit 1."""
    try:
        app()
    except FashionCropError as error:
        _words.print(f"Error: {error}", markup=False)
        sys.exit(_Exit.NAMED_ERROR.value)
    except KeyboardInterrupt:
        sys.exit(_Exit.INTERRUPTED.value)
    except BrokenPipeError:  # the reader of stdout has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_Exit.NAMED_ERROR.value)
