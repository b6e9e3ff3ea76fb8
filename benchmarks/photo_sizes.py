"""Would the detector do more if photos were padded to a few sizes and batched, and what stays in memory after many?

    python benchmarks/photo_sizes.py --models paperdoll
    python benchmarks/photo_sizes.py --models random --photo-size 533x400 --photos 0 --rounds 2

Batches are timed by the process's own processor time. What padding costs in accuracy is measured on transformers' own
model, which takes a mask of what is padding. The table goes to stdout, words to stderr; exit code 0 when done, 1 with
a sentence.
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
    photo_size: Annotated[
        str, typer.Option(metavar="WIDTHxHEIGHT", help="Of the photos that are batched, as the detector sees them.")
    ] = "192x256",
    batches: Annotated[str, typer.Option(metavar="N,N,...", help="Photos at a time, at most 4.")] = "1,2,4",
    photos: Annotated[int, typer.Option(min=0, help="Drawn scenes on which padding is judged; 0 leaves it out.")] = 30,
    tokens: Annotated[int, typer.Option(min=5, max=256, help="Of the vocabulary in the timings.")] = 80,
    rounds: options.Rounds = 3,
    out: options.Out = options.DEFAULT_OUT,
    name: options.Name = None,
) -> None:
    """Weigh batches of padded photos against every photo at its own size."""
    # They need packages of the extras.
    from documents import show_findings  # noqa: PLC0415
    from photo_sizes_run import Settings, weigh  # noqa: PLC0415
    from sample_photos import parse_size  # noqa: PLC0415

    settings = Settings(
        models=models,
        photo_hw=parse_size(photo_size)[::-1],
        batches=tuple(options.counts(batches, "--batches")),
        photos=photos,
        tokens=tokens,
        rounds=rounds,
    )
    place = options.prepared(out)
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    show_findings(weigh(settings, place, name, lambda text: words.print(text, markup=False)))


if __name__ == "__main__":
    run_command(app)
