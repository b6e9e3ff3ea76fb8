"""How much of an answer's time is not spent inside the models, stage by stage?

    python benchmarks/overhead.py --models paperdoll
    python benchmarks/overhead.py --models random --requests 10

One client asks, photo after photo; the pipeline's own timings and the server's statistics are read after each answer.
Then several clients ask at a time, and the processor time of each of the server's processes is read; last, that of each
part of the pipeline's own work. The table goes to stdout, words to stderr; exit code 0 when done, 1 with a sentence.
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
    requests: Annotated[int, typer.Option(min=2, help="Answers that are taken apart.")] = 40,
    clients: Annotated[int, typer.Option(min=1, help="Clients at a time while processor time is read.")] = 8,
    photos: options.Photos = 8,
    size: options.Size = "1920x1080",
    folder: options.Folder = None,
    score_threshold: options.ScoreThreshold = 0.35,
    max_garments: options.MaxGarments = 4,
    seconds: options.Seconds = 10.0,
    out: options.Out = options.DEFAULT_OUT,
    name: options.Name = None,
) -> None:
    """Measure what an answer costs beside its models."""
    # They need packages of the extras.
    from documents import show_findings  # noqa: PLC0415
    from overhead_run import Settings, take_apart  # noqa: PLC0415

    settings = Settings(models, requests, clients, seconds, options.Asked(score_threshold, max_garments))
    place = options.prepared(out)
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    content = take_apart(
        settings, options.photos_of(photos, size, folder), place, name, lambda text: words.print(text, markup=False)
    )
    show_findings(content)


if __name__ == "__main__":
    run_command(app)
