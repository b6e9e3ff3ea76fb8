"""The commands around the embedded server: `up`, `down`, `status`, `logs`, `doctor`."""

from __future__ import annotations

import json
import signal
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from fashioncrop._doctor import Outcome, examine
from fashioncrop._embedded import server as embedded
from fashioncrop._embedded.state import ServerState, default_state_folder
from fashioncrop.cli.app import AsJson, Repository, Url, app, words
from fashioncrop.errors import EmbeddedServerError


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
        str,
        typer.Option(metavar="NAME", help="Prefer each model's configs/NAME.pbtxt over its config.pbtxt: int8, say."),
    ] = "",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until every model must have answered.")] = 300,
) -> None:
    """Start the embedded Triton server in the background."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # ends what it has begun
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=words,
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
    words.print(
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
    words.print("Stopped." if embedded.stop() else "No server is running.", markup=False)


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
