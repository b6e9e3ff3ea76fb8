"""The database of jobs and procrastinate's queue in it. Nothing else imports psycopg_pool and procrastinate.

Everything is in a schema of its own, so that the catalogue's database can be shared.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import procrastinate
import psycopg
import psycopg.conninfo
import psycopg.rows
import psycopg_pool
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.schema import SchemaManager, migrations_path

from fashioncrop.errors import OptionError, QueueError, ServerUnavailableError

SCHEMA = "fashioncrop_jobs"
QUEUE = "fashioncrop"
_TASK = "run"
_OWN_STEP = "fashioncrop-0001"
_LOCK = 0x6661_7368_6A6F_6273
_CONNECT_WITHIN_S = 15.0
_CONNECTIONS = 10
_PREFETCH_S = 2.0

Row = Mapping[str, Any]


class JobsDatabase:
    """Connections to one database; for one event loop.

    Args:
        url: of libpq, or its connection string.
        shown: the same, as it may be shown.
    """

    def __init__(self, url: str, shown: str) -> None:
        self.shown = shown
        try:
            self._url = psycopg.conninfo.make_conninfo(
                url, options=f"-c search_path={SCHEMA}", connect_timeout=round(_CONNECT_WITHIN_S)
            )
        except psycopg.ProgrammingError:
            bad = True
        else:
            bad = False
        if bad:  # outside of `except`: its message may quote the password
            raise OptionError("The jobs' database is no postgresql:// URL that can be read.")
        self._pool: Any = None
        self.queue = procrastinate.App(connector=procrastinate.PsycopgConnector())

    async def open(self) -> None:
        """Connect, and make the tables or bring them up to date.

        Raises:
            QueueError: the database cannot be reached, or the user may not make tables.
        """
        try:
            async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
                await _prepare(connection)
            self._pool = psycopg_pool.AsyncConnectionPool(
                self._url,
                min_size=1,
                max_size=_CONNECTIONS,
                timeout=_CONNECT_WITHIN_S,
                check=psycopg_pool.AsyncConnectionPool.check_connection,
                open=False,
            )
            await self._pool.open(wait=True, timeout=_CONNECT_WITHIN_S)
            await self.queue.open_async(self._pool)
        except (psycopg.Error, psycopg_pool.PoolTimeout, ConnectorException) as error:
            await self.close()
            words = _words(error)
        else:
            return
        raise QueueError(f"The jobs' database {self.shown} cannot be used: {words}. Check address, user and rights.")

    async def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self.queue.close_async()
            await self._pool.close()
            self._pool = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Statements that hold together.

        Raises:
            ServerUnavailableError: the database does not answer.
        """
        try:
            async with self._pool.connection() as connection, connection.transaction():
                yield Transaction(connection)
        except (psycopg.OperationalError, psycopg.InterfaceError, psycopg_pool.PoolTimeout) as error:
            words = _words(error)
        else:
            return
        raise ServerUnavailableError(f"The jobs' database {self.shown} does not answer: {words}")

    async def enqueue(self, job: str) -> None:
        """Have a worker run the job; once where it waits already.

        Raises:
            ServerUnavailableError: the database does not answer.
        """
        deferrer = self.queue.configure_task(_TASK, queue=QUEUE, queueing_lock=job, allow_unknown=True)
        try:
            await deferrer.defer_async(job=job)
        except AlreadyEnqueued:
            return
        except ConnectorException as error:
            words = _words(error)
        else:
            return
        raise ServerUnavailableError(f"The jobs' database {self.shown} does not answer: {words}")

    async def take_over(self, silent_for_s: float) -> int:
        """Give the jobs of workers that have been silent for so long to others; how many they are."""
        stalled = list(await self.queue.job_manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=silent_for_s))
        for one in stalled:
            await self.queue.job_manager.retry_job(one)
        await self.queue.job_manager.prune_stalled_workers(silent_for_s)
        return len(stalled)

    def on_job(self, run: Callable[[str], Awaitable[float | None]]) -> None:
        """What a worker does with a job.

        Args:
            run: is given its id; answers None when it has ended, or after how many seconds it is to be tried again.
        """

        @self.queue.task(name=_TASK, queue=QUEUE, retry=_Later())
        async def task(job: str) -> None:
            again_in_s = await run(job)
            if again_in_s is not None:
                raise _AgainError(again_in_s)

    async def work(self, *, concurrency: int, heartbeat_s: float, grace_s: float, hears_signals: bool = True) -> None:
        """Run jobs until this task is cancelled or a signal says to stop; those under way are finished first."""
        await self.queue.run_worker_async(
            queues=[QUEUE],
            concurrency=concurrency,
            fetch_job_polling_interval=_PREFETCH_S,
            update_heartbeat_interval=heartbeat_s,
            shutdown_graceful_timeout=grace_s,
            install_signal_handlers=hears_signals,
            delete_jobs="always",
        )


class Transaction:
    """Statements that hold together; made by `JobsDatabase.transaction`."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def run(self, statement: str, **values: Any) -> int:  # noqa: ANN401 - SQL's
        """Run a statement; how many rows it touched."""
        return (await self._connection.execute(statement.encode(), values)).rowcount

    async def rows(self, query: str, **values: Any) -> list[Row]:  # noqa: ANN401 - SQL's
        """All rows of an answer, by name."""
        async with self._connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            await cursor.execute(query.encode(), values)
            return list(await cursor.fetchall())

    async def row(self, query: str, **values: Any) -> Row | None:  # noqa: ANN401 - SQL's
        """The first row of an answer; None where there is none."""
        return next(iter(await self.rows(query, **values)), None)


class _AgainError(Exception):
    """The job is to be tried again."""

    def __init__(self, in_s: float) -> None:
        super().__init__(f"again in {in_s:g} s")
        self.in_s = in_s


class _Later(procrastinate.BaseRetryStrategy):
    """Tries again what says so, after what it says."""

    def get_retry_decision(self, *, exception: BaseException, job: Any) -> procrastinate.RetryDecision | None:  # noqa: ANN401
        """When, or never."""
        del job
        if not isinstance(exception, _AgainError):
            return None
        return procrastinate.RetryDecision(retry_in={"seconds": max(round(exception.in_s), 1)})


async def _prepare(connection: psycopg.AsyncConnection[Any]) -> None:
    """The tables, made or brought up to date by one at a time; each step is taken once."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}".encode())
        await connection.execute(b"CREATE TABLE IF NOT EXISTS step (name text PRIMARY KEY)")
        taken = {row[0] for row in await (await connection.execute(b"SELECT name FROM step")).fetchall()}
        for name, statements in _steps(is_new=not taken):
            if name not in taken:
                if statements:
                    await connection.execute(statements.encode())
                await connection.execute("INSERT INTO step VALUES (%s)", [name])


def _steps(*, is_new: bool) -> list[tuple[str, str]]:
    """Name and SQL of each step; procrastinate's first schema has all its migrations in it."""
    migrations = sorted(Path(migrations_path).glob("*.sql"))
    own = (resources.files("fashioncrop.gateway.jobs") / "schema.sql").read_text(encoding="utf-8")
    if is_new:
        whole = SchemaManager.get_schema()
        return [("procrastinate", whole), *((path.name, "") for path in migrations), (_OWN_STEP, own)]
    return [*((path.name, path.read_text(encoding="utf-8")) for path in migrations), (_OWN_STEP, own)]


def _words(error: BaseException) -> str:
    """What the database says, in one line; libpq's messages hold host and user, and never a password."""
    return " ".join(str(error).split()) or type(error).__name__
