"""Jobs over HTTP: `/jobs/...`. What is submitted here is answered by `fashioncrop worker`."""

from __future__ import annotations

import asyncio
import base64
import binascii
import datetime as dt
import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.responses import Response

from fashioncrop.gateway.access import check_scope, may
from fashioncrop.gateway.answers import json_answer, model_json
from fashioncrop.gateway.bodies import Asked
from fashioncrop.gateway.documented import content, image_body, route
from fashioncrop.gateway.jobs.entries import AnotherRequestError, Job, State, Submission
from fashioncrop.gateway.jobs.kinds import JOB_KINDS, JobKind
from fashioncrop.gateway.keys import Caller, Scope
from fashioncrop.gateway.photos import Sent, Upload, encoded
from fashioncrop.gateway.problems import (
    CONFLICT,
    INVALID,
    NOT_FOUND,
    NOT_OFFERED,
    UNAVAILABLE,
    Problem,
    ProblemError,
)
from fashioncrop.gateway.work import Workshop, workshop_of

if TYPE_CHECKING:
    from fashioncrop.gateway.jobs.book import Book

router = APIRouter(tags=["jobs"])

Submitter = Annotated[Caller, may(Scope.JOBS)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Your own name for the request: sent again under it, the request is the same job.",
    ),
]

_LOCATION = {"Location": {"description": "Where the job is.", "required": True, "schema": {"type": "string"}}}
_PROBLEMS = (NOT_OFFERED, UNAVAILABLE)


class Progress(BaseModel):
    """How far a job is.

    Attributes:
        done: images that are answered.
        total: images.
    """

    done: int
    total: int


class JobResult(BaseModel):
    """What a job answers.

    Attributes:
        results: one for each image, in their order: its index and either a value, named as the batch of the same kind
            under `/v1` names it, or a problem.
    """

    results: list[dict[str, Any]]


class JobStatus(BaseModel):
    """A job.

    Attributes:
        id: by which it is asked for.
        kind: what is asked.
        state: `queued`, `running`, `succeeded`, or `failed`: some images could not be answered, and not because of
            themselves.
        progress: how far it is.
        attempts: how often it was begun.
        created: when it was submitted.
        started: when it was begun first.
        finished: when it ended.
        expires: when it may be removed.
        problem: why it failed.
        result: what it answers, once it has ended; lists of jobs leave it out.
    """

    id: uuid.UUID
    kind: str
    state: State
    progress: Progress
    attempts: int
    created: dt.datetime
    started: dt.datetime | None
    finished: dt.datetime | None
    expires: dt.datetime
    problem: Problem | None
    result: JobResult | None = None


class JobPage(BaseModel):
    """Some jobs, the youngest first.

    Attributes:
        jobs: without their results.
        next: what `cursor` is for the page after this; null where there is none.
    """

    jobs: list[JobStatus]
    next: str | None


def _submit_route(kind: JobKind) -> None:
    """`POST /jobs/submit/KIND`."""

    async def submit(request: Request, caller: Submitter, idempotency_key: IdempotencyKey = None) -> Response:
        check_scope(caller, kind.scope)
        workshop = workshop_of(request)
        book = _book(workshop)
        asked = await kind.body.read(request, max_batch=workshop.settings.max_batch)
        await workshop.gatekeeper.count(caller, len(asked.images) - 1)
        written = await asyncio.to_thread(_written, asked)
        digest = hashlib.sha256(f"{kind.name}\0".encode() + written).digest()
        try:
            job = await book.submit(Submission(kind.name, caller, written, digest, len(asked.images), idempotency_key))
        except AnotherRequestError:
            raise ProblemError(
                CONFLICT, "This Idempotency-Key stands for another request of yours. Choose a new one."
            ) from None
        answer = json_answer(_status(job), 202)
        answer.headers["Location"] = f"/jobs/{job.id}"
        return answer

    submit.__doc__ = f"As a batch of `/v1/{kind.name}`, answered later; ask `GET /jobs/ID` how far it is."
    router.post(
        f"/jobs/submit/{kind.name}",
        name=f"submit_{kind.name}",
        summary=f"Submit a job: {kind.name}",
        **route(
            *(CONFLICT, *_PROBLEMS),
            body=image_body(kind.body),
            ok=content(JobStatus),
            words="The job, which waits for a worker or is the one that was submitted before.",
            status=202,
            headers=_LOCATION,
            scope=Scope.JOBS,
        ),
    )(submit)


for _kind in JOB_KINDS.values():
    _submit_route(_kind)


@router.post("/jobs/submit/{kind}", include_in_schema=False)
async def submit_unknown_kind(kind: str, _caller: Submitter) -> Response:
    """Tell which kinds there are."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in kind[:60])
    raise ProblemError(
        NOT_FOUND,
        f"There is no kind of job {shown!r}. Known are: {', '.join(JOB_KINDS)}.",
        known=list(JOB_KINDS),
    )


@router.get(
    "/jobs/{id}",
    summary="How far a job is",
    **route(NOT_FOUND, INVALID, *_PROBLEMS, ok=content(JobStatus), scope=Scope.JOBS),
)
async def job_status(request: Request, id: uuid.UUID, caller: Submitter) -> Response:  # noqa: A002 - the API's
    """State, progress, and what was answered once the job has ended."""
    book = _book(workshop_of(request))
    job = await book.get(str(id), _owner(caller))
    if job is None:
        raise _no_job()
    status = model_json(_status(job))
    if job.finished is None:
        return json_answer(status)
    results = b",".join(await book.results(job.id))
    return json_answer(status.removesuffix(b'"result":null}') + b'"result":{"results":[' + results + b"]}}")


@router.delete(
    "/jobs/{id}",
    summary="Remove a job",
    **route(NOT_FOUND, INVALID, *_PROBLEMS, ok={}, words="The job is gone.", status=204, scope=Scope.JOBS),
)
async def remove_job(request: Request, id: uuid.UUID, caller: Submitter) -> Response:  # noqa: A002 - the API's
    """Remove a job with its results; one that waits or runs is not answered any further."""
    if not await _book(workshop_of(request)).remove(str(id), _owner(caller)):
        raise _no_job()
    return Response(status_code=204)


@router.get(
    "/jobs",
    summary="Your jobs",
    **route(INVALID, *_PROBLEMS, ok=content(JobPage), scope=Scope.JOBS),
)
async def list_jobs(
    request: Request,
    caller: Submitter,
    state: Annotated[State | None, Query(description="Only jobs in this state.")] = None,
    kind: Annotated[str | None, Query(description="Only jobs of this kind.", max_length=60)] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="At most so many.")] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before.", max_length=200)] = None,
) -> Response:
    """The youngest first, a page at a time; with the scope `admin` everybody's."""
    book = _book(workshop_of(request))
    before = None if cursor is None else _place(cursor)
    jobs = await book.page(_owner(caller), state=state, kind=kind, limit=limit + 1, before=before)
    shown = jobs[:limit]
    following = _cursor(shown[-1]) if len(jobs) > limit else None
    return json_answer(JobPage(jobs=[_status(job) for job in shown], next=following))


def _book(workshop: Workshop) -> Book:
    if workshop.book is None:
        raise ProblemError(NOT_OFFERED, "This gateway takes no jobs. Its operator starts it with --jobs.")
    return workshop.book


def _owner(caller: Caller) -> str | None:
    return None if Scope.ADMIN in caller.scopes else caller.id


def _no_job() -> ProblemError:
    return ProblemError(NOT_FOUND, "You have no such job. It may have expired or been removed.")


def _written(asked: Asked[Any]) -> bytes:
    """A request as JSON of a batch, whichever form it came in."""
    options = asked.options.model_dump(mode="json", exclude_unset=True, exclude={"image", "images"})
    return to_json({**options, "images": [_image(one) for one in asked.images]})


def _image(sent: Sent) -> dict[str, str]:
    if isinstance(sent, Upload):
        return {"base64": encoded(sent.data)}
    return sent.model_dump()


def _status(job: Job) -> JobStatus:
    return JobStatus(
        id=uuid.UUID(job.id),
        kind=job.kind,
        state=job.state,
        progress=Progress(done=job.done, total=job.total),
        attempts=job.attempts,
        created=job.created,
        started=job.started,
        finished=job.finished,
        expires=job.expires,
        problem=job.problem,
    )


def _cursor(job: Job) -> str:
    return base64.urlsafe_b64encode(json.dumps([job.created.isoformat(), job.id]).encode()).decode("ascii")


def _place(cursor: str) -> tuple[dt.datetime, str]:
    try:
        created, id_ = json.loads(base64.b64decode(cursor.encode("ascii"), b"-_", validate=True))
        place = dt.datetime.fromisoformat(created), str(uuid.UUID(id_))
    except (binascii.Error, ValueError, TypeError, AttributeError):
        place = None
    if place is None or place[0].tzinfo is None:
        raise ProblemError(INVALID, "The cursor is not one that a page of jobs gave. Leave it out for the first page.")
    return place
