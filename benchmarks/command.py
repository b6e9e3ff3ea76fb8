"""What every benchmark's command does around its measurement: named errors, a server that is stopped on the way out."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

import typer

from fashioncrop import FashionCropError

INSTALL = "pip install -e '.[bench]'"


def new_command() -> typer.Typer:
    """A command in this project's manner."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def run_command(app: typer.Typer) -> None:
    """Run it; a named error is its sentence on stderr and exit code 1."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except FashionCropError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"This benchmark needs {error.name}, which is missing. Run: {INSTALL}\n")
        sys.exit(1)


def _stop(signal_number: int, _frame: FrameType | None) -> NoReturn:
    # An exception, so that servers are stopped on the way out.
    sys.exit(128 + signal_number)
