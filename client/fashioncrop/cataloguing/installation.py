"""Whether the extra `catalogue` is installed."""

from __future__ import annotations

import importlib.util

from fashioncrop.errors import OptionError


def check_installed() -> None:
    """Raise before any work is done where a catalogue cannot be used.

    Raises:
        OptionError: the extra `catalogue` is not installed.
    """
    for module in ("psycopg", "alembic"):
        if importlib.util.find_spec(module) is None:
            raise OptionError(
                f"The catalogue needs {module}, which is missing. Run pip install 'fashioncrop[catalogue]'"
            )
