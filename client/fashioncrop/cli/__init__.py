"""The `fashioncrop` command: data on stdout, words on stderr; exit 0 done, 1 a named error in one line, 2 usage."""

from __future__ import annotations

import json
import os
import sys
from enum import Enum

import typer

from fashioncrop.cli import analyzing, batching, cataloguing, configuring, gateway, searching, serving
from fashioncrop.cli.app import app, words
from fashioncrop.errors import FashionCropError
from fashioncrop.results import json_schema

__all__ = [
    "analyzing",
    "app",
    "batching",
    "cataloguing",
    "configuring",
    "gateway",
    "main",
    "searching",
    "serving",
]


@app.command()
def schema() -> None:
    """Print the JSON schema of an analysis."""
    typer.echo(json.dumps(json_schema(), indent=2))


class _Exit(Enum):
    """Exit codes that are not typer's own."""

    NAMED_ERROR = 1
    INTERRUPTED = 130


def main() -> None:
    """Entry point: a named error is one line on stderr and exit 1."""
    try:
        app()
    except FashionCropError as error:
        words.print(f"Error: {error}", markup=False)
        sys.exit(_Exit.NAMED_ERROR.value)
    except KeyboardInterrupt:
        sys.exit(_Exit.INTERRUPTED.value)
    except BrokenPipeError:  # the reader of stdout has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_Exit.NAMED_ERROR.value)
