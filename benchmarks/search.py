"""How exact and how fast is a search of the catalogue, and what does it take, beside a plain scan and another store?

    python benchmarks/search.py --sizes 10000
    python benchmarks/search.py --sizes 10000,100000,1000000

A real embedded PostgreSQL is filled with made vectors and asked as `fashioncrop search` asks it. At a million garments
some 8 GiB of memory and of disk are needed. The table goes to stdout, words to stderr; exit code 0 when done, 1 with a
sentence.
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
    sizes: Annotated[str, typer.Option(metavar="N,N,...", help="How many garments.")] = "10000",
    queries: Annotated[int, typer.Option(min=10, help="Asked of each store with each filter.")] = 200,
    peer: Annotated[bool, typer.Option(help="Also measure LanceDB (extra bench-search).")] = True,
    seed: options.Seed = 0,
    out: options.Out = options.DEFAULT_OUT,
    name: options.Name = None,
) -> None:
    """Measure recall, latency, build time, memory and disk."""
    # They need packages of the extras.
    from documents import show_findings  # noqa: PLC0415
    from search_run import Settings, measure  # noqa: PLC0415

    settings = Settings(options.counts(sizes, "--sizes"), queries, peer, seed)
    place = options.prepared(out)
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    show_findings(measure(settings, place, name, lambda text: words.print(text, markup=False)))


if __name__ == "__main__":
    run_command(app)
