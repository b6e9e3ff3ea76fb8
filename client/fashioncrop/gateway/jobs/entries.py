"""What the book of jobs tells and is told. Imports nothing that is an extra."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from fashioncrop.gateway.keys import Caller
from fashioncrop.gateway.problems import Problem


class State(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Job:
    """A job, without what was asked and answered.

    Attributes:
        id: of the job.
        kind: see `kinds.JOB_KINDS`.
        state: where it is.
        done: images that are answered.
        total: images.
        attempts: how often it was begun.
        created: when it was submitted.
        started: when it was begun first.
        finished: when it ended.
        expires: when it is removed, at the earliest.
        problem: why it failed.
    """

    id: str
    kind: str
    state: State
    done: int
    total: int
    attempts: int
    created: dt.datetime
    started: dt.datetime | None
    finished: dt.datetime | None
    expires: dt.datetime
    problem: Problem | None


@dataclass(frozen=True)
class Submission:
    """What is submitted.

    Attributes:
        kind: see `kinds.JOB_KINDS`.
        caller: who asks.
        request: the request as JSON.
        digest: of it.
        total: images.
        idempotency_key: the caller's own name for it; None for none.
    """

    kind: str
    caller: Caller
    request: bytes
    digest: bytes
    total: int
    idempotency_key: str | None


@dataclass(frozen=True)
class Claim:
    """A job that a worker has begun.

    Attributes:
        id: of the job.
        kind: see `kinds.JOB_KINDS`.
        caller: who asked.
        request: the request as JSON.
        attempts: how often it was begun, this time included.
        done: indices of the images that are answered already.
    """

    id: str
    kind: str
    caller: Caller
    request: bytes
    attempts: int
    done: frozenset[int]


class AnotherRequestError(Exception):
    """The idempotency key stands for another request."""
