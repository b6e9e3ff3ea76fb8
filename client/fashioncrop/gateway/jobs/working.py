"""What a worker does: one image after the other is answered and written, so that another can go on where it ended."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence

from fashioncrop.errors import BudgetError, FashionCropError, InputError, OutputError, TryAgainError
from fashioncrop.gateway.bodies import ImageBody, validated
from fashioncrop.gateway.jobs.book import Book
from fashioncrop.gateway.jobs.entries import Claim
from fashioncrop.gateway.jobs.kinds import JOB_KINDS, JobKind
from fashioncrop.gateway.photos import Sent, Strict
from fashioncrop.gateway.problems import FAULT, Problem, ProblemError, document, problem_of
from fashioncrop.gateway.work import Workshop

_log = logging.getLogger("fashioncrop.gateway.jobs")

MOST_ATTEMPTS = 6
_FIRST_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 300.0
_IMAGES_AT_A_TIME = 4


class _GoneError(Exception):
    """The job was removed meanwhile, or another worker has ended it."""


class Runner:
    """Runs jobs.

    Args:
        book: where they are.
        workshop: what answers.
        first_pause_s: before a job is tried again; each pause is twice the one before.
    """

    def __init__(self, book: Book, workshop: Workshop, *, first_pause_s: float = _FIRST_PAUSE_S) -> None:
        self._book, self._workshop, self._first_pause_s = book, workshop, first_pause_s

    async def run(self, id_: str) -> float | None:
        """Run a job as far as it goes; None once it has ended, or the seconds after which to try again.

        Raises:
            ServerUnavailableError: the jobs' database does not answer.
        """
        claim = await self._book.claim(id_)
        if claim is None:
            return None
        told = {"job": id_, "kind": claim.kind, "attempt": claim.attempts}
        if claim.attempts > MOST_ATTEMPTS:
            await self._end(claim, _worn_out())
            return None
        _log.info("job begun", extra=told)
        try:
            hindrance = await self._answer(claim)
        except _GoneError:
            _log.info("job gone", extra=told)
            return None
        if isinstance(hindrance, TryAgainError) and claim.attempts < MOST_ATTEMPTS:
            pause_s = min(self._first_pause_s * float(2 ** (claim.attempts - 1)), _LONGEST_PAUSE_S)
            _log.warning("job put back", extra={**told, "seconds": pause_s, "words": str(hindrance)})
            await self._book.put_back(id_)
            return pause_s
        await self._end(claim, None if hindrance is None else problem_of(hindrance, id_).problem())
        return None

    async def _end(self, claim: Claim, problem: Problem | None) -> None:
        if await self._book.finish(claim.id, problem):
            kind = None if problem is None else problem.type
            _log.info("job ended", extra={"job": claim.id, "kind": claim.kind, "problem": kind})

    async def _answer(self, claim: Claim) -> FashionCropError | None:
        """Answer the images that are left; None, or why some could not be answered that could be.

        Raises:
            _GoneError: nobody wants the answer any more.
        """
        kind = JOB_KINDS[claim.kind]
        asked, images = read_request(kind.body, claim.request)
        left = [index for index in range(len(images)) if index not in claim.done]
        free = asyncio.Semaphore(_IMAGES_AT_A_TIME)
        is_last = claim.attempts >= MOST_ATTEMPTS

        async def one(index: int) -> FashionCropError | None:
            async with free:
                content, hindrance = await self._result(kind, claim, asked, images[index], index)
                # What may go better next time is written the last time only.
                if (not isinstance(hindrance, TryAgainError) or is_last) and not await self._book.write(
                    claim.id, index, content
                ):
                    raise _GoneError
                return hindrance

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(index)) for index in left]
        except* _GoneError:
            raise _GoneError from None
        except* FashionCropError as group_:  # the database
            raise group_.exceptions[0] from None
        hindrances = [found for found in (task.result() for task in tasks) if found is not None]
        return next((one for one in hindrances if isinstance(one, TryAgainError)), next(iter(hindrances), None))

    async def _result(
        self, kind: JobKind, claim: Claim, asked: Strict, image: Sent, index: int
    ) -> tuple[bytes, FashionCropError | None]:
        """One image's result as JSON, and the error that is not the image's own."""
        try:
            received = await self._workshop.photos.read(image)
            value = await kind.work(self._workshop, claim.caller, asked, received)
        except ProblemError as error:
            return _problem(index, error.problem()), None
        except FashionCropError as error:
            own = isinstance(error, InputError) and not isinstance(error, BudgetError | OutputError)
            return _problem(index, problem_of(error, claim.id).problem()), None if own else error
        except Exception:  # noqa: BLE001 - one image must not end the others
            _log.exception("fault", extra={"job": claim.id, "index": index})
            words = "The worker failed in a way nobody foresaw. Its operator finds the reason in the log."
            return _problem(index, ProblemError(FAULT, words).problem()), None
        return b'{"index":%d,"%b":%b}' % (index, kind.field.encode(), value), None


def read_request(body: ImageBody[Strict], request: bytes) -> tuple[Strict, Sequence[Sent]]:
    """A request as it was written down.

    Raises:
        ProblemError: it is not as it was.
    """
    checked = validated(body.many, json.loads(request))
    images: Sequence[Sent] = checked.images  # type: ignore[attr-defined]  # of a model that is made at run time
    return checked, images


async def keep_tidy(book: Book, *, every_s: float, silent_for_s: float) -> None:
    """Until cancelled: take over what dead workers left, find the forgotten, remove the expired."""
    while True:
        try:
            taken = await book.database.take_over(silent_for_s)
            removed, forgotten = await book.tidy(2 * silent_for_s)
            for id_ in forgotten:
                await book.database.enqueue(id_)
            if taken or removed or forgotten:
                told = {"taken_over": taken, "expired": removed, "forgotten": len(forgotten)}
                _log.info("tidied", extra=told)
        except FashionCropError as error:
            _log.warning("error", extra={"words": str(error)})
        await asyncio.sleep(every_s)


def _problem(index: int, problem: Problem) -> bytes:
    return json.dumps({"index": index, "problem": document(problem)}).encode()


def _worn_out() -> Problem:
    return ProblemError(
        FAULT, f"The job was begun {MOST_ATTEMPTS} times and never ended: it may be what ends the workers."
    ).problem()
