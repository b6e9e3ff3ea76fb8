"""What went wrong, as RFC 9457 has it: a JSON document with a kind for programs and a sentence for people."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from fashioncrop.errors import (
    BudgetError,
    CancelledError,
    CatalogueError,
    DeadlineError,
    EmbeddedDatabaseError,
    FashionCropError,
    FetchError,
    InputError,
    ModelControlError,
    NoCatalogueError,
    OptionError,
    OutputError,
    OverloadedError,
    PhotoError,
    ServerUnavailableError,
)

log = logging.getLogger("fashioncrop.gateway")

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:problem-type:fashioncrop:"


class Wrong(BaseModel):
    """One thing that is wrong with a request.

    Attributes:
        pointer: where in the body: a JSON pointer, such as `/images/2/url`.
        detail: what is wrong.
    """

    pointer: str
    detail: str


class Problem(BaseModel):
    """Why there is no answer (RFC 9457).

    Attributes:
        type: kind of problem, for programs; it never changes.
        title: the kind in words.
        status: of HTTP.
        detail: a sentence that says what to do.
        request_id: by which the operator finds the request in the log.
        errors: each thing that is wrong with the request.
        known: what may be asked for, where something unknown was.
    """

    model_config = ConfigDict(frozen=True)

    type: str
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    request_id: str | None = None
    errors: list[Wrong] | None = None
    known: list[str] | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of problem.

    Attributes:
        name: end of its type.
        status: of HTTP.
        title: in words.
    """

    name: str
    status: int
    title: str


BAD_REQUEST = Kind("bad-request", 400, "The request cannot be read")
UNAUTHORIZED = Kind("unauthorized", 401, "A key is needed")
BUDGET = Kind("budget", 402, "The limit on dollars is reached")
FORBIDDEN = Kind("forbidden", 403, "This is not allowed")
NOT_FOUND = Kind("not-found", 404, "There is no such thing")
METHOD = Kind("method", 405, "The method is not allowed here")
NOT_ACCEPTABLE = Kind("not-acceptable", 406, "No acceptable form of the answer")
SLOW_BODY = Kind("slow-body", 408, "The request did not arrive in time")
CONFLICT = Kind("conflict", 409, "The server does not do this")
TOO_LARGE = Kind("too-large", 413, "The request is too large")
MEDIA = Kind("media-type", 415, "The body's media type is not taken here")
INVALID = Kind("invalid", 422, "The request is not as documented")
PHOTO = Kind("photo", 422, "The photo cannot be used")
FETCH = Kind("fetch", 422, "The photo's URL cannot be fetched")
OPTION = Kind("option", 422, "An option is outside its range")
RATE = Kind("rate", 429, "Too many requests")
FAULT = Kind("fault", 500, "The gateway failed")
NOT_OFFERED = Kind("not-offered", 501, "This gateway does not offer it")
SERVER_FAULT = Kind("server-fault", 502, "A service behind the gateway failed")
UNAVAILABLE = Kind("unavailable", 503, "The server is not there just now")
NO_CATALOGUE = Kind("no-catalogue", 503, "There is nothing to search yet")
OVERLOADED = Kind("overloaded", 503, "The server takes no more just now")
DEADLINE = Kind("deadline", 504, "No answer in time")

KINDS = {kind.name: kind for kind in list(globals().values()) if isinstance(kind, Kind)}

_RETRY_AFTER_S = 2
_AGAIN = "Try again in a few seconds."
_OPERATOR = "Its operator finds the reason in the log, by the request's id."
# Of what callers cannot mend they are told that it is so; addresses and set-ups are the operator's, in the log.
_BY_ERROR: tuple[tuple[type[FashionCropError], Kind, str | None], ...] = (
    (FetchError, FETCH, None),
    (PhotoError, PHOTO, None),
    (OptionError, OPTION, None),
    (BudgetError, BUDGET, "The gateway's limit on dollars is reached; what is free of charge goes on."),
    (OutputError, SERVER_FAULT, f"The gateway's store failed. {_OPERATOR}"),
    (InputError, TOO_LARGE, "The request is too large for the server. Send less at once."),
    (OverloadedError, OVERLOADED, f"The server has as many requests as it takes. {_AGAIN}"),
    (DeadlineError, DEADLINE, "There was no answer in time. Try again, or send less at once."),
    (CancelledError, UNAVAILABLE, f"The request was cancelled before it ended. {_AGAIN}"),
    (ServerUnavailableError, UNAVAILABLE, f"The server does not answer just now. {_AGAIN}"),
    (
        NoCatalogueError,
        NO_CATALOGUE,
        "There is no catalogue yet, or no photo in it. The gateway's operator fills it: fashioncrop index FOLDER.",
    ),
    (CatalogueError, UNAVAILABLE, f"The catalogue cannot be searched just now. {_OPERATOR}"),
    (EmbeddedDatabaseError, UNAVAILABLE, f"The catalogue's database does not run just now. {_OPERATOR}"),
    (ModelControlError, CONFLICT, f"The server did not carry the order out. {_OPERATOR}"),
    (FashionCropError, SERVER_FAULT, f"A service behind the gateway failed or is not set up. {_OPERATOR}"),
)


class ProblemError(Exception):
    """Ends a request with a problem.

    Args:
        kind: of problem.
        detail: a sentence that says what to do; it may be shown to whoever asked.
        headers: of the answer.
        errors: each thing that is wrong with the request.
        known: what may be asked for, where something unknown was.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: list[Wrong] | None = None,
        known: list[str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail
        self.headers = dict(headers or {})
        self.errors, self.known = errors, known

    def problem(self, request_id: str | None = None) -> Problem:
        """As a document."""
        return Problem(
            type=_TYPE + self.kind.name,
            title=self.kind.title,
            status=self.kind.status,
            detail=self.detail,
            request_id=request_id,
            errors=self.errors,
            known=self.known,
        )


def problem_of(error: FashionCropError, request_id: str) -> ProblemError:
    """What the caller is told of an error of the client; what the caller cannot mend is logged as it is."""
    kind, words = next((kind, words) for type_, kind, words in _BY_ERROR if isinstance(error, type_))
    if words is not None:
        told = {"request_id": request_id, "kind": type(error).__name__, "words": str(error)}
        log.warning("error", extra=told)
    headers = {"Retry-After": str(_RETRY_AFTER_S)} if kind.status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return ProblemError(kind, str(error) if words is None else words, headers=headers)


def document(problem: Problem) -> dict[str, Any]:
    """As JSON has it; what is not known is left out."""
    return problem.model_dump(mode="json", exclude_none=True)
