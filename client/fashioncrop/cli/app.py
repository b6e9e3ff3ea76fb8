"""The application that the commands are added to, and what they share."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    help="One photo in, every garment out: box, category, crop, embedding, depth and colour, from models on Triton.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
words = Console(stderr=True, highlight=False, soft_wrap=True)

Url = Annotated[
    str | None,
    typer.Option(help="The server's gRPC address, HOST:PORT. By default FASHIONCROP_URL, else the embedded server."),
]
Repository = Annotated[
    Path | None,
    typer.Option(help="The model repository. By default the checkout's, or the user's own for an installed package."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of a table.")]


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer's callback
    if asked:
        typer.echo(version("fashioncrop"))
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def warn(sentence: str) -> None:
    """Tell what a reader must know, and go on."""
    words.print(f"Warning: {sentence}", markup=False)
