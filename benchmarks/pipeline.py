"""How many photos a second, and how long does one take: this project against what people would use instead.

    python benchmarks/pipeline.py --models paperdoll
    python benchmarks/pipeline.py --models random --variant int8 --photos 4 --rounds 3 --clients 1,2,4,8,16

The contenders answer the same photos with the same weights at the same sizes, which is checked first, and take turns
within one run. The table goes to stdout, words to stderr; exit code 0 when done, 1 with a sentence.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

import run_options as options
from command import new_command, run_command

app = new_command()


class Against(StrEnum):
    """What this project is compared with."""

    USUAL = "usual"
    COMPILED = "compiled"
    DOCUMENTED = "documented"


@app.command()
def run(  # noqa: PLR0913 - one option, one argument
    *,
    models: options.Models = "paperdoll",
    against: Annotated[
        list[Against] | None,
        typer.Option(
            help="usual: transformers behind FastAPI, one photo at a time; compiled: the same with torch.compile; "
            "documented: a Triton model with async execute and async_exec. Say it once for each; by default all."
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="int8", help="Also make and serve this form of the models, as a contender on a server of its own."
        ),
    ] = None,
    clients: options.Clients = "1,2,4,8,16",
    photos: options.Photos = 8,
    size: options.Size = "1920x1080",
    folder: options.Folder = None,
    score_threshold: options.ScoreThreshold = 0.35,
    max_garments: options.MaxGarments = 4,
    rounds: options.Rounds = 3,
    seconds: options.Seconds = 10.0,
    answers: Annotated[int, typer.Option(min=1, help="Each client of a run has at least so many answers.")] = 1,
    queue_delay_ms: Annotated[
        float,
        typer.Option(
            min=0,
            help="Let each vision model wait so much longer, as if it ran elsewhere: shows who waits for whom.",
        ),
    ] = 0.0,
    compile_within: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="torch.compile is left out if it takes longer.")
    ] = 900.0,
    out: options.Out = options.DEFAULT_OUT,
    name: options.Name = None,
) -> None:
    """Measure photos a second and latencies of a served pipeline and of what people would use instead."""
    # They need packages of the extras.
    from documents import show_findings  # noqa: PLC0415
    from pipeline_run import Settings, compare  # noqa: PLC0415

    settings = Settings(
        models=models,
        against=tuple(str(one) for one in dict.fromkeys(against or Against)),
        variants=tuple(dict.fromkeys(variant or ())),
        clients=options.counts(clients, "--clients"),
        rounds=rounds,
        least_s=seconds,
        least_each=answers,
        queue_delay_ms=queue_delay_ms,
        compile_within_s=compile_within,
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
