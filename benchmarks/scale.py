"""Which settings make the most of a machine: instances, threads, batches, waiting?

    python benchmarks/scale.py --models paperdoll
    python benchmarks/scale.py --models random --groups threads,instances --rounds 1 --photos 2

Each setting gets a server of its own. What to set on other machines is worked out from what was measured on this one,
and called an extrapolation. The table goes to stdout, words to stderr; exit code 0 when done, 1 with a sentence.
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
    groups: Annotated[
        str, typer.Option(metavar="GROUP,...", help="What to change: threads, instances, workers, delay, batch.")
    ] = "threads,instances,workers,delay,batch",
    clients: Annotated[int, typer.Option(min=1, help="Clients at a time that fill the server.")] = 8,
    photos: options.Photos = 4,
    size: options.Size = "1920x1080",
    folder: options.Folder = None,
    score_threshold: options.ScoreThreshold = 0.35,
    max_garments: options.MaxGarments = 4,
    rounds: options.Rounds = 2,
    seconds: options.Seconds = 10.0,
    out: options.Out = options.DEFAULT_OUT,
    name: options.Name = None,
) -> None:
    """Measure what each setting of the server buys and costs."""
    # They need packages of the extras.
    from documents import show_findings  # noqa: PLC0415
    from scale_run import Settings, groups_of, try_all  # noqa: PLC0415

    settings = Settings(
        models=models,
        groups=groups_of(groups),
        clients=clients,
        rounds=rounds,
        least_s=seconds,
        asked=options.Asked(score_threshold, max_garments),
    )
    place = options.prepared(out)
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    content = try_all(
        settings, options.photos_of(photos, size, folder), place, name, lambda text: words.print(text, markup=False)
    )
    show_findings(content)


if __name__ == "__main__":
    run_command(app)
