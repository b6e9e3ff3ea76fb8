"""Does the server stay as it is over a long time, with good and bad requests at 80 % of what it can do?

    python benchmarks/soak.py --models paperdoll --seconds 3600

Requests come at random distances, answered or not. Memory, shared memory and open files of the server and its models'
processes are read all the time. The table goes to stdout, words to stderr; exit code 0 when nothing grew and every
error had a name, 1 otherwise.
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

import run_options as options
from command import new_command, run_command

app = new_command()


@app.command()
def run(  # noqa: PLR0913 - one option, one argument
    *,
    models: options.Models = "paperdoll",
    seconds: Annotated[float, typer.Option(min=2, help="How long requests come.")] = 3600.0,
    warm_up: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="What is read before does not count; by default a fifth."),
    ] = None,
    load: Annotated[float, typer.Option(min=0.01, max=1, help="Share of the most that the server can do.")] = 0.8,
    most_growth: Annotated[float, typer.Option(min=0, help="Share by which nothing may grow.")] = 0.02,
    size: options.Size = "1920x1080",
    clients: Annotated[int, typer.Option(min=1, help="Clients at a time that find the most it can do.")] = 8,
    find: Annotated[float, typer.Option(min=0.5, metavar="SECONDS", help="How long that is looked for.")] = 20.0,
    seed: options.Seed = 0,
    out: options.Out = options.DEFAULT_OUT,
    name: options.Name = None,
) -> None:
    """Keep a server busy for a long time and see whether it stays as it is."""
    # They need packages of the extras.
    from documents import show_findings  # noqa: PLC0415
    from sample_photos import parse_size  # noqa: PLC0415
    from soak_run import Settings, soak  # noqa: PLC0415

    settings = Settings(
        models=models,
        seconds=seconds,
        warm_up_s=seconds / 5 if warm_up is None else warm_up,
        load=load,
        most_growth=most_growth,
        size_wh=parse_size(size),
        clients=clients,
        find_s=find,
        seed=seed,
    )
    place = options.prepared(out)
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    content = soak(settings, place, name, lambda text: words.print(text, markup=False))
    show_findings(content)
    if not all(target["is_met"] for target in content["targets"]):
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(app)
