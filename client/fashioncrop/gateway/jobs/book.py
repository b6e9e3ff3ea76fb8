"""The book of jobs: what was asked, how far it is, what was answered. Every change is one transaction."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fashioncrop._postgres.embedded import EmbeddedPostgres
from fashioncrop._postgres.places import parse_place
from fashioncrop.errors import OptionError
from fashioncrop.gateway.jobs._database import JobsDatabase, Row
from fashioncrop.gateway.jobs.entries import AnotherRequestError, Claim, Job, State, Submission
from fashioncrop.gateway.keys import Caller, Scope
from fashioncrop.gateway.problems import Problem, document
from fashioncrop.settings import Settings

_COLUMNS = """id, kind, state, total, attempts, created, started, finished, expires, problem,
    (SELECT count(*) FROM result WHERE result.job = job.id) AS done"""


class Book:
    """Reads and writes jobs.

    Args:
        database: where they are.
        keep_s: how long a job is kept after it was submitted or has ended, in seconds.
    """

    def __init__(self, database: JobsDatabase, keep_s: float) -> None:
        self.database = database
        self._keep = dt.timedelta(seconds=keep_s)

    async def submit(self, submission: Submission) -> Job:
        """Write a job down and have a worker run it; the same key and request again is the same job.

        Raises:
            AnotherRequestError: the key stands for another request.
            ServerUnavailableError: the database does not answer.
        """
        async with self.database.transaction() as transaction:
            is_new = await transaction.run(
                "INSERT INTO job (id, kind, owner, scopes, idempotency_key, digest, request, total, expires) VALUES "
                "(%(id)s, %(kind)s, %(owner)s, %(scopes)s, %(key)s, %(digest)s, %(request)s, %(total)s, "
                "now() + %(keep)s) "
                "ON CONFLICT (owner, idempotency_key) DO NOTHING",
                id=(id_ := uuid.uuid4()),
                kind=submission.kind,
                owner=submission.caller.id,
                scopes=sorted(submission.caller.scopes),
                key=submission.idempotency_key,
                digest=submission.digest,
                request=submission.request,
                total=submission.total,
                keep=self._keep,
            )
            row = await transaction.row(
                f"SELECT {_COLUMNS}, digest FROM job WHERE id = %(id)s "  # noqa: S608 - constants
                "OR (owner = %(owner)s AND idempotency_key = %(key)s)",
                id=id_,
                owner=submission.caller.id,
                key=submission.idempotency_key,
            )
        if row is None or bytes(row["digest"]) != submission.digest:
            raise AnotherRequestError
        if is_new:
            await self.database.enqueue(str(id_))  # where that fails, a worker's round finds the job
        return _job(row)

    async def get(self, id_: str, owner: str | None) -> Job | None:
        """A job; None where there is none, or it is somebody else's.

        Args:
            id_: of the job.
            owner: whose it must be; None is anybody's.
        """
        async with self.database.transaction() as transaction:
            row = await transaction.row(
                f"SELECT {_COLUMNS} FROM job WHERE id = %(id)s AND {_OF_OWNER}",  # noqa: S608 - constants
                id=id_,
                owner=owner,
            )
        return None if row is None else _job(row)

    async def results(self, id_: str) -> list[bytes]:
        """What was answered, in the images' order."""
        async with self.database.transaction() as transaction:
            rows = await transaction.rows("SELECT content FROM result WHERE job = %(id)s ORDER BY index", id=id_)
        return [bytes(row["content"]) for row in rows]

    async def remove(self, id_: str, owner: str | None) -> bool:
        """Remove a job and its results, wherever it is; a worker that runs it stops. False where there is none."""
        async with self.database.transaction() as transaction:
            return bool(
                await transaction.run(
                    f"DELETE FROM job WHERE id = %(id)s AND {_OF_OWNER}",  # noqa: S608 - constants
                    id=id_,
                    owner=owner,
                )
            )

    async def page(
        self,
        owner: str | None,
        *,
        state: State | None,
        kind: str | None,
        limit: int,
        before: tuple[dt.datetime, str] | None,
    ) -> list[Job]:
        """Jobs, the youngest first.

        Args:
            owner: whose; None is everybody's.
            state: where they are; None is anywhere.
            kind: of which kind; None is any.
            limit: at most so many.
            before: creation and id of the last one of the page before.
        """
        async with self.database.transaction() as transaction:
            rows = await transaction.rows(
                f"SELECT {_COLUMNS} FROM job WHERE {_OF_OWNER} "  # noqa: S608 - constants
                "AND (%(state)s::text IS NULL OR state = %(state)s) AND (%(kind)s::text IS NULL OR kind = %(kind)s) "
                "AND (%(created)s::timestamptz IS NULL OR (created, id) < (%(created)s, %(id)s::uuid)) "
                "ORDER BY created DESC, id DESC LIMIT %(limit)s",
                owner=owner,
                state=state,
                kind=kind,
                created=before[0] if before else None,
                id=before[1] if before else None,
                limit=limit,
            )
        return [_job(row) for row in rows]

    async def count(self) -> dict[str, int]:
        """How many jobs there are in each state."""
        async with self.database.transaction() as transaction:
            rows = await transaction.rows("SELECT state, count(*) AS jobs FROM job GROUP BY state")
        return dict.fromkeys(State, 0) | {row["state"]: row["jobs"] for row in rows}

    async def claim(self, id_: str) -> Claim | None:
        """Begin a job; None where it has ended or was removed."""
        async with self.database.transaction() as transaction:
            row = await transaction.row(
                "UPDATE job SET state = 'running', started = coalesce(started, now()), attempts = attempts + 1 "
                "WHERE id = %(id)s AND state IN ('queued', 'running') "
                "RETURNING kind, owner, scopes, request, attempts",
                id=id_,
            )
            if row is None:
                return None
            done = await transaction.rows("SELECT index FROM result WHERE job = %(id)s", id=id_)
        scopes = frozenset(Scope(scope) for scope in row["scopes"] if scope in Scope.__members__.values())
        caller = Caller(id=row["owner"], name="", scopes=scopes)
        indices = frozenset(one["index"] for one in done)
        return Claim(id_, row["kind"], caller, bytes(row["request"]), row["attempts"], indices)

    async def write(self, id_: str, index: int, content: bytes) -> bool:
        """Write one image's answer, unless it is there already; False where the job is gone or has ended."""
        async with self.database.transaction() as transaction:
            open_ = await transaction.row(
                "SELECT 1 AS is_open FROM job WHERE id = %(id)s AND state = 'running' FOR SHARE", id=id_
            )
            if open_ is None:
                return False
            await transaction.run(
                "INSERT INTO result VALUES (%(id)s, %(index)s, %(content)s) ON CONFLICT DO NOTHING",
                id=id_,
                index=index,
                content=content,
            )
        return True

    async def put_back(self, id_: str) -> None:
        """A job that is to be tried again waits."""
        async with self.database.transaction() as transaction:
            await transaction.run("UPDATE job SET state = 'queued' WHERE id = %(id)s AND state = 'running'", id=id_)

    async def finish(self, id_: str, problem: Problem | None) -> bool:
        """End a job, once: False where it has ended or was removed."""
        async with self.database.transaction() as transaction:
            return bool(
                await transaction.run(
                    "UPDATE job SET state = %(state)s, problem = %(problem)s::jsonb, finished = now(), request = '', "
                    "expires = now() + %(keep)s WHERE id = %(id)s AND state = 'running'",
                    id=id_,
                    state=State.SUCCEEDED if problem is None else State.FAILED,
                    problem=None if problem is None else json.dumps(document(problem)),
                    keep=self._keep,
                )
            )

    async def tidy(self, forgotten_after_s: float) -> tuple[int, Sequence[str]]:
        """Remove what has expired, and find what waits although nobody was told.

        Args:
            forgotten_after_s: a job that waits for so long without a place in the queue was forgotten.

        Returns:
            How many were removed, and the ids of the forgotten.
        """
        async with self.database.transaction() as transaction:
            removed = await transaction.run("DELETE FROM job WHERE expires < now()")
            rows = await transaction.rows(
                "SELECT id FROM job WHERE state IN ('queued', 'running') AND created < now() - %(after)s "
                "AND NOT EXISTS (SELECT FROM procrastinate_jobs WHERE args ->> 'job' = job.id::text "
                "AND status IN ('todo', 'doing'))",
                after=dt.timedelta(seconds=forgotten_after_s),
            )
        return removed, [str(row["id"]) for row in rows]


_OF_OWNER = "(%(owner)s::text IS NULL OR owner = %(owner)s)"


@asynccontextmanager
async def open_book(settings: Settings) -> AsyncIterator[Book]:
    """The book that the settings name: the jobs' own database, else the catalogue's, else an embedded one.

    Raises:
        OptionError: the place cannot be read, or the extra `jobs` is not installed.
        EmbeddedDatabaseError: the embedded database cannot be made or started.
        QueueError: the database cannot be used.
    """
    given, named_by = settings.jobs_database, "FASHIONCROP_JOBS_DATABASE"
    if given is None:
        given, named_by = settings.catalogue, "FASHIONCROP_CATALOGUE"
    place = parse_place(None if given is None else given.get_secret_value())
    embedded = None if place.folder is None else EmbeddedPostgres(place.folder, named_by=named_by)
    url = place.url if embedded is None else await asyncio.to_thread(embedded.open)
    try:
        if url is None:
            raise OptionError("The jobs' database is neither a folder nor at an address.")
        database = JobsDatabase(url, place.shown)
        await database.open()
        try:
            yield Book(database, settings.job_keep_s)
        finally:
            await database.close()
    finally:
        if embedded is not None:
            await asyncio.to_thread(embedded.close)


def _job(row: Row) -> Job:
    return Job(
        id=str(row["id"]),
        kind=row["kind"],
        state=State(row["state"]),
        done=row["done"],
        total=row["total"],
        attempts=row["attempts"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        expires=row["expires"],
        problem=None if row["problem"] is None else Problem.model_validate(row["problem"]),
    )
