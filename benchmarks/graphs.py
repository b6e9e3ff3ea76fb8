"""What do the rewritten graphs gain: nodes, bytes and processor time beside transformers itself and a plain export?

    python benchmarks/graphs.py --models random --photo-size 1066x800
    python benchmarks/graphs.py --models tiny --photo-size 256x224 --rounds 2

Everything runs on one thread and in turn, round by round; what counts is the process's own processor time, so that
other work on the machine disturbs little. The table goes to stdout, words to stderr; exit code 0 when done, 1 with a
sentence.
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
    models: options.Models = "random",
    only: Annotated[
        list[Role] | None,
        typer.Option(help="Only this model; say it once for each. garment_detector brings its vocabulary_encoder."),
    ] = None,
    photo_size: Annotated[
        str, typer.Option(metavar="WIDTHxHEIGHT", help="What the detector sees; the default is a 4:3 photo's.")
    ] = "1066x800",
    depth_size: Annotated[
        str, typer.Option(metavar="WIDTHxHEIGHT", help="What depth_estimator sees: multiples of 14.")
    ] = "518x518",
    tokens: Annotated[int, typer.Option(min=5, max=256, help="Of the vocabulary, in phrases of two words.")] = 80,
    crops: Annotated[int, typer.Option(min=1, help="That image_embedder gets at a time.")] = 8,
    rounds: options.Rounds = 3,
    warm_up: Annotated[bool, typer.Option(help="Run everything once before it counts.")] = True,
    arena: Annotated[bool, typer.Option(help="Also measure the graphs without ONNX Runtime's memory arena.")] = True,
    out: options.Out = options.DEFAULT_OUT,
    name: options.Name = None,
) -> None:
    """Compare transformers, a plain export, and this project's graphs in fp32 and int8."""
    # They need packages of the extras.
    from documents import show_findings  # noqa: PLC0415
    from graphs_run import Settings, compare  # noqa: PLC0415
    from sample_photos import parse_size  # noqa: PLC0415

    settings = Settings(
        models=models,
        only=tuple(dict.fromkeys(only or Role)),
        photo_hw=parse_size(photo_size)[::-1],
        depth_hw=parse_size(depth_size)[::-1],
        tokens=tokens,
        crops=crops,
        rounds=rounds,
        warm_up=warm_up,
        arena=arena,
    )
    place = options.prepared(out)
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    show_findings(compare(settings, place, name, lambda text: words.print(text, markup=False)))


if __name__ == "__main__":
    run_command(app)
