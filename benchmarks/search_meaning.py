"""Does the right garment come first, when the catalogue is asked through the command?

    python benchmarks/search_meaning.py --models paperdoll
    python benchmarks/search_meaning.py --models paperdoll --scenes 20 --queries 20

The project's drawn test scenes are indexed by `fashioncrop index`; `fashioncrop search` is then asked with captions of
their garments, and with the garments themselves out of smaller, compressed copies of the photos. The table goes to
stdout, words to stderr; exit code 0 when done, 1 with a sentence.
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

import run_options as options
from command import new_command, run_command

app = new_command()


@app.command()
def run(
    *,
    models: options.Models = "paperdoll",
    scenes: Annotated[int, typer.Option(min=2, help="Drawn test scenes in the catalogue.")] = 40,
    queries: Annotated[int, typer.Option(min=1, help="Of each kind.")] = 100,
    seed: options.Seed = 0,
    out: options.Out = options.DEFAULT_OUT,
    name: options.Name = None,
) -> None:
    """Measure how often the first answer is the right one."""
    # They need packages of the extras.
    from documents import show_findings  # noqa: PLC0415
    from search_meaning_run import Settings, measure  # noqa: PLC0415

    settings = Settings(models, scenes, queries, seed)
    place = options.prepared(out)
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    show_findings(measure(settings, place, name, lambda text: words.print(text, markup=False)))


if __name__ == "__main__":
    run_command(app)
