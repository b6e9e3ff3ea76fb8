"""Connections to PostgreSQL. Nothing else imports psycopg.

Statements are written out; values only ever travel beside them. Settings hold for one transaction each and nothing is
prepared under a name, so that a pooler which gives each transaction another connection (Supabase has one) does no
harm.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
from psycopg import conninfo
from psycopg.pq import TransactionStatus

from fashioncrop.cataloguing import problems
from fashioncrop.errors import CatalogueError, OptionError

SCHEMA = "fashioncrop"
HEAD = "0001"
"""The newest step in `migrations/`."""
_LEAST_VECTOR = (0, 8)  # iterative scans
_CONNECT_WITHIN_S = 10
_TRUSTED_FOR_S = 1.0
"""A connection that nobody has used for longer is asked whether it is still there."""
_FETCHED_AT_A_TIME = 200

Values = Mapping[str, Any]
Row = tuple[Any, ...]


class Transaction:
    """Statements that hold together; made by `Database.transaction`."""

    def __init__(self, connection: psycopg.AsyncConnection[Row]) -> None:
        self._connection = connection

    async def run(self, statement: str, values: Values | None = None) -> int:
        """Run a statement; how many rows it touched."""
        return (await self._connection.execute(statement.encode(), values)).rowcount

    async def rows(self, query: str, values: Values | None = None) -> list[Row]:
        """All rows of an answer."""
        return await (await self._connection.execute(query.encode(), values)).fetchall()

    async def row(self, query: str, values: Values | None = None) -> Row | None:
        """The first row; None where there is none."""
        return await (await self._connection.execute(query.encode(), values)).fetchone()

    async def many(self, statement: str, values: Iterable[Values]) -> None:
        """Run a statement for each set of values, in one go."""
        async with self._connection.cursor() as cursor:
            await cursor.executemany(statement.encode(), list(values))

    async def each(self, query: str, values: Values | None = None) -> AsyncIterator[Row]:
        """The rows one at a time, however many there are."""
        async with self._connection.cursor(name="each") as cursor:
            cursor.itersize = _FETCHED_AT_A_TIME
            await cursor.execute(query.encode(), values)
            async for row in cursor:
                yield row


class Database:
    """Connections that the tasks of one event loop share; who finds none free waits for a turn."""

    def __init__(
        self, url: str, shown: str, *, connections: int = 1, restart: Callable[[], object] | None = None
    ) -> None:
        """Nothing is connected yet.

        Args:
            url: of libpq, or its connection string.
            shown: the same, as it may be shown.
            connections: transactions at a time; each has a connection of its own.
            restart: starts the server again where it has died; it may block.

        Raises:
            OptionError: libpq cannot read the URL.
        """
        self.shown = shown
        self._url = _checked(url)
        self._restart = restart
        self._restarting = asyncio.Lock()
        self._turns = asyncio.Semaphore(connections)
        self._idle: list[tuple[float, psycopg.AsyncConnection[Row]]] = []
        self._is_closed = False
        self._search_path = SCHEMA

    async def close(self) -> None:
        """Close the connections; one that is in use is closed by who uses it."""
        self._is_closed = True
        while self._idle:
            await self._idle.pop()[1].close()

    async def version(self) -> str | None:
        """Which step the schema is at; None where there is no catalogue.

        Raises:
            CatalogueError: the database cannot be reached or read.
        """
        async with self.transaction() as transaction:
            row = await transaction.row(f"SELECT to_regclass('{SCHEMA}.version') IS NOT NULL")
            if row is None or not row[0]:
                return None
            found = await transaction.row(f"SELECT version_num FROM {SCHEMA}.version")  # noqa: S608 - a constant
            return None if found is None else str(found[0])

    async def upgrade(self) -> None:
        """Bring the schema to `HEAD`, or make it.

        Raises:
            CatalogueError: the user may not, pgvector is missing, or a newer fashioncrop made the catalogue.
        """
        from fashioncrop.cataloguing import _migrating  # noqa: PLC0415 - takes half a second, and is needed once

        with self._told():
            try:
                await asyncio.to_thread(_migrating.upgrade, lambda: psycopg.connect(self._url))
            except _migrating.UnknownVersionError as error:
                raise CatalogueError(
                    f"The catalogue at {self.shown} was made by a newer fashioncrop. Update this one."
                ) from error

    async def look_at_extension(self) -> str:
        """Find out where the extension's types are; its version.

        Raises:
            CatalogueError: it is missing or too old.
        """
        async with self.transaction() as transaction:
            row = await transaction.row(
                "SELECT quote_ident(nspname), extversion FROM pg_extension "
                "JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'"
            )
        if row is None:
            raise CatalogueError(
                f"The database {self.shown} has no extension vector any more. Run: CREATE EXTENSION vector"
            )
        if tuple(int(part) for part in str(row[1]).split(".")[:2]) < _LEAST_VECTOR:
            raise CatalogueError(
                f"The database {self.shown} has pgvector {row[1]}, and filters need 0.8 or newer. Install it on the "
                "server, then run ALTER EXTENSION vector UPDATE."
            )
        self._search_path = f"{SCHEMA}, {row[0]}"
        return str(row[1])

    async def server_version(self) -> str:
        """PostgreSQL's, as it numbers it."""
        async with self.transaction() as transaction:
            row = await transaction.row("SHOW server_version")
        return str(row[0]).split()[0] if row else ""

    @asynccontextmanager
    async def transaction(self, settings: Mapping[str, str | int] | None = None) -> AsyncIterator[Transaction]:
        """A transaction: committed at the end of the block, or, where that is left by an error, as if never begun.

        Args:
            settings: PostgreSQL's, for this transaction.

        Raises:
            CatalogueError: what psycopg says.
        """
        with self._told():
            async with self._connection() as connection, connection.transaction():
                every = {"search_path": self._search_path, **(settings or {})}
                calls = ", ".join(f"set_config(%({name})s, %({name}.value)s, true)" for name in every)
                values = {name: name for name in every} | {f"{name}.value": str(value) for name, value in every.items()}
                await connection.execute(f"SELECT {calls}".encode(), values)
                yield Transaction(connection)

    async def outside(self, statement: str) -> None:
        """Run a statement that cannot stand in a transaction."""
        with self._told():
            async with self._connection() as connection:
                await connection.execute(statement.encode())

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Row]]:
        """A connection that nobody else uses meanwhile.

        Raises:
            CatalogueError: there is none to be had.
        """
        async with self._turns:
            connection = await self._usable() or await self._connect()
            try:
                yield connection
            finally:
                # What was cancelled in its middle may have left it in a transaction.
                if self._is_closed or connection.info.transaction_status is not TransactionStatus.IDLE:
                    await connection.close()
                else:
                    self._idle.append((time.monotonic(), connection))

    async def _usable(self) -> psycopg.AsyncConnection[Row] | None:
        """A connection of before that is still good."""
        while self._idle:
            since_s, connection = self._idle.pop()
            if time.monotonic() - since_s < _TRUSTED_FOR_S:
                return connection
            try:
                await connection.execute(b"")
            except psycopg.OperationalError:
                await connection.close()
            except BaseException:  # cancelled
                await connection.close()
                raise
            else:
                return connection
        return None

    async def _connect(self) -> psycopg.AsyncConnection[Row]:
        """A new connection, to a server that is started again if need be."""
        if self._restart is None:
            return await self._connected()
        async with self._restarting:
            try:
                return await self._connected()
            except CatalogueError:
                await asyncio.to_thread(self._restart)
        return await self._connected()

    async def _connected(self) -> psycopg.AsyncConnection[Row]:
        try:
            return await psycopg.AsyncConnection.connect(self._url, autocommit=True, prepare_threshold=None)
        except psycopg.OperationalError as error:
            problem = problems.at_connection(self.shown, str(error))
            # Not from its cause, whose words may hold a part of the URL.
            raise problem from None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What psycopg raises, as sentences."""
        try:
            yield
        except psycopg.Error as error:
            state = error.sqlstate
            problem = problems.in_use(self.shown, state, error.diag.message_primary or type(error).__name__)
            raise problem from error


def _checked(url: str) -> str:
    """The URL, with encryption demanded where others could listen."""
    try:
        given = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        given = None
    if given is None:  # not from its cause, which quotes the URL
        raise OptionError(
            "The catalogue's URL cannot be read. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE; in a password, "
            "the signs : / @ ? # and % are written as %3A %2F %40 %3F %23 and %25."
        )
    hosts = str(given.get("host") or os.environ.get("PGHOST") or "").split(",")
    if "sslmode" not in given and not os.environ.get("PGSSLMODE") and not all(_is_here(host) for host in hosts):
        given["sslmode"] = "require"
    given.setdefault("connect_timeout", _CONNECT_WITHIN_S)
    given.setdefault("application_name", "fashioncrop")
    return conninfo.make_conninfo("", **given)


def _is_here(host: str) -> bool:
    """Is the host a socket's folder, or this machine by number or by its fixed name?"""
    if host in {"", "localhost"} or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
