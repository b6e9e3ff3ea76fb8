"""Bring a database's schema to this version, by alembic.

Of the tools that are kept well, alembic runs all steps and its own note of them in one transaction, so that a process
that is killed leaves the schema as it was. yoyo, the other one that runs plain SQL, keeps its lock as a row, which
after a `kill -9` somebody has to remove by hand.

Beside the steps themselves only this module imports alembic and SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

_FOLDER = Path(__file__).with_name("migrations")


class UnknownVersionError(Exception):
    """The database's schema is of a version that this package does not have."""


def upgrade(connect: Callable[[], Any]) -> None:
    """Run the steps that a database lacks, all or none of them.

    Args:
        connect: a new synchronous connection of psycopg.

    Raises:
        UnknownVersionError: a newer package made the schema.
        psycopg.Error: as the database says it.
    """
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    except CommandError as error:
        raise UnknownVersionError(str(error)) from error
    except DBAPIError as error:
        raise (error.orig or error) from error
    finally:
        engine.dispose()
