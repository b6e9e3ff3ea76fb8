"""What does the gateway add to an answer, and does anything hold its event loop up?

    python benchmarks/gateway.py --models paperdoll --clients 32 --requests 10000

The answers are the real server's, recorded and given again after a time that is chosen, so that neither the server's
own speed nor its need of processors is in what is measured; the client and the gateway ask it in turns. The table goes
to stdout, words to stderr; exit code 0 when done, 1 with a sentence.
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
    clients: Annotated[int, typer.Option(min=1, help="How many ask at a time.")] = 32,
    answer_ms: Annotated[float, typer.Option(min=0, help="After so long the recorded server answers.")] = 500.0,
    photos: options.Photos = 8,
    size: options.Size = "1080x1440",
    folder: options.Folder = None,
    score_threshold: options.ScoreThreshold = 0.35,
    max_garments: options.MaxGarments = 8,
    rounds: options.Rounds = 3,
    seconds: options.Seconds = 20.0,
    requests: Annotated[
        int, typer.Option(min=0, help="So many requests are then asked, to see whether memory grows.")
    ] = 10_000,
    out: options.Out = options.DEFAULT_OUT,
    name: options.Name = None,
) -> None:
    """Measure what the gateway adds to the client's time, what holds its loop up, and whether its memory grows."""
    # They need packages of the extras.
    from documents import show_findings  # noqa: PLC0415
    from gateway_run import Settings, compare  # noqa: PLC0415

    settings = Settings(
        models=models,
        clients=clients,
        answer_ms=answer_ms,
        rounds=rounds,
        least_s=seconds,
        requests=requests,
        asked=options.Asked(score_threshold, max_garments),
    )
    place = options.prepared(out)
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    content = compare(
        settings, options.photos_of(photos, size, folder), place, name, lambda text: words.print(text, markup=False)
    )
    show_findings(content)


if __name__ == "__main__":
    run_command(app)
