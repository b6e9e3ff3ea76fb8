"""How much can each model do alone, through the server, and where is it full?

    python benchmarks/models.py --models paperdoll
    python benchmarks/models.py --models random --clients 1,2 --seconds 30 --only garment_detector

NVIDIA's perf_analyzer asks: over gRPC and HTTP, with more and more clients, then at rates up to what was the most; a
photo as its file and as its pixels. Its tables are kept. The table goes to stdout, words to stderr; exit code 0 when
done, 1 with a sentence.
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

import run_options as options
from command import new_command, run_command
from fashioncrop.model_repository import Role

app = new_command()


@app.command()
def run(  # noqa: PLR0913 - one option, one argument
    *,
    models: options.Models = "paperdoll",
    only: Annotated[
        list[Role] | None, typer.Option(help="Only this model; say it once for each. By default all.")
    ] = None,
    clients: options.Clients = "1,2,4",
    rates: Annotated[bool, typer.Option(help="Also ask at rates up to the most, whether answered or not.")] = True,
    transport: Annotated[bool, typer.Option(help="Also send a photo as its file and as its pixels.")] = True,
    size: options.Size = "1920x1080",
    folder: options.Folder = None,
    rounds: options.Rounds = 3,
    seconds: Annotated[float, typer.Option(min=0.1, help="Each point is three windows of at least this length.")] = 2.0,
    out: options.Out = options.DEFAULT_OUT,
    name: options.Name = None,
) -> None:
    """Measure each model alone with perf_analyzer."""
    # They need packages of the extras.
    from documents import show_findings  # noqa: PLC0415
    from models_run import Settings, sweep  # noqa: PLC0415

    settings = Settings(
        models=models,
        only=tuple(dict.fromkeys(only or Role)),
        clients=options.counts(clients, "--clients"),
        rounds=rounds,
        window_s=seconds,
        with_rates=rates,
        with_transport=transport,
    )
    place = options.prepared(out)
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    (photo,) = options.photos_of(1, size, folder)
    content = sweep(settings, photo, place, name, lambda text: words.print(text, markup=False))
    show_findings(content)


if __name__ == "__main__":
    run_command(app)
