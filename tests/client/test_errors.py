"""Every way in which the server can fail has a name, and the tree that is drawn is the tree there is."""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import Any

import grpc
import pytest
from tritonclient.utils import InferenceServerException

from fashioncrop import errors
from fashioncrop._triton import TritonConnection, _by_status
from fashioncrop.errors import (
    CancelledError,
    DeadlineError,
    FashionCropError,
    FetchError,
    InputError,
    MissingModelError,
    OptionError,
    OverloadedError,
    PhotoError,
    ServerFaultError,
    ServerUnavailableError,
)

EXPECTED: dict[grpc.StatusCode, type[FashionCropError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: OptionError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.CANCELLED: CancelledError,
    grpc.StatusCode.UNAVAILABLE: ServerUnavailableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: InputError,
    grpc.StatusCode.OUT_OF_RANGE: InputError,
}
FAULTS = {
    # The server's own failures, which nobody but its keeper can mend.
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.ABORTED,
    # What Triton does not say of an inference, so that it would be news.
    grpc.StatusCode.OK,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
}
BEFORE = {grpc.StatusCode.NOT_FOUND}
"""Told apart before the table: is the model unknown, or only unloaded?"""

URL = "somewhere:8001"


def named(status: str, words: str = "words") -> FashionCropError:
    return _by_status(status, words, URL, 7)


@pytest.mark.parametrize("status", grpc.StatusCode)
def test_every_status_has_a_name(status: grpc.StatusCode) -> None:
    assert (status in EXPECTED) + (status in FAULTS) + (status in BEFORE) == 1, "a status that nobody has thought of"
    if status not in BEFORE:
        assert type(named(status.name)) is EXPECTED.get(status, ServerFaultError)


def test_what_no_status_says_is_a_fault_with_the_servers_words() -> None:
    fault = named("None", "the engine is on fire")
    assert type(fault) is ServerFaultError
    assert "the engine is on fire" in str(fault)
    assert URL in str(fault)


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        ("INVALID_ARGUMENT", "The photo is empty.", PhotoError),
        ("INVALID_ARGUMENT", "`crop_padding` must be a number from 0 to 1; got 2.", OptionError),
        ("UNAVAILABLE", "The server has 64 photos in flight and takes no more. Try again.", OverloadedError),
        ("UNAVAILABLE", "Exceeds maximum queue size", OverloadedError),
        ("UNAVAILABLE", "failed to connect to all addresses", ServerUnavailableError),
        ("INTERNAL", "Stub process 'x' is not healthy.", ServerUnavailableError),
        ("INTERNAL", "Server is shutting down", ServerUnavailableError),
        ("INTERNAL", "The pipeline failed: KeyError: 'x'. Please report it.", ServerFaultError),
    ],
)
def test_the_servers_words_tell_more_than_its_status(status: str, words: str, kind: type[FashionCropError]) -> None:
    error = named(status, words)
    assert type(error) is kind
    assert words in str(error)


def test_a_deadline_says_how_long_was_waited() -> None:
    assert "within 7 s" in str(named("DEADLINE_EXCEEDED"))


@pytest.mark.parametrize(("in_repository", "kind"), [(True, ServerUnavailableError), (False, MissingModelError)])
@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("StatusCode.NOT_FOUND", "no such model"),
        ("StatusCode.UNAVAILABLE", "Request for unknown model: 'x'"),
    ],
)
async def test_a_model_that_is_missing_is_told_from_one_that_is_being_reloaded(
    monkeypatch: pytest.MonkeyPatch, status: str, words: str, kind: type[FashionCropError], *, in_repository: bool
) -> None:
    async def is_in_repository(_connection: TritonConnection, _model: str) -> bool:
        return in_repository

    monkeypatch.setattr(TritonConnection, "_is_in_repository", is_in_repository)
    connection = TritonConnection(URL, timeout_s=1)
    try:
        error = await connection._named(InferenceServerException(words, status=status), "fashion_pipeline")
    finally:
        await connection.close()
    assert type(error) is kind
    assert "fashion_pipeline" in str(error)


@pytest.mark.parametrize(
    ("status", "asked"),
    [("UNAVAILABLE", 3), ("DEADLINE_EXCEEDED", 1), ("CANCELLED", 1), ("INVALID_ARGUMENT", 1), ("INTERNAL", 1)],
)
async def test_only_what_may_succeed_later_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, status: str, asked: int
) -> None:
    async def no_pause(_seconds: float) -> None:
        pass

    monkeypatch.setattr(asyncio, "sleep", no_pause)
    connection = TritonConnection(URL, timeout_s=60)
    attempts: list[float] = []

    async def ask(left_s: float) -> str:
        attempts.append(left_s)
        if len(attempts) == 3:
            return "answer"
        raise InferenceServerException("words", status=f"StatusCode.{status}")

    try:
        if asked == 3:
            assert await connection._persist("model", ask) == "answer"
        else:
            with pytest.raises(FashionCropError) as caught:
                await connection._persist("model", ask)
            assert isinstance(caught.value.__cause__, InferenceServerException)
    finally:
        await connection.close()
    assert len(attempts) == asked
    assert all(0 < left_s <= 60 for left_s in attempts)


async def test_asking_again_ends_with_the_time_that_was_allowed() -> None:
    connection = TritonConnection(URL, timeout_s=0.3)

    async def ask(_left_s: float) -> None:
        raise InferenceServerException("nobody", status="StatusCode.UNAVAILABLE")

    loop = asyncio.get_running_loop()
    start_s = loop.time()
    try:
        with pytest.raises(ServerUnavailableError, match="nobody"):
            await connection._persist("model", ask)
    finally:
        await connection.close()
    assert loop.time() - start_s < 5


def drawn_tree() -> dict[str, str | None]:
    """Each drawn class with the one above it."""
    lines = [line.strip("\n") for line in str(errors.__doc__).split("::")[1].splitlines() if line.strip()]
    parents: dict[str, str | None] = {}
    above: list[str] = []
    for line in lines:
        match = re.fullmatch(r" {4}((?:[│ ] {3})*)(?:[├└]── )?(\w+)(?: {2,}\S.*)?", line)
        assert match is not None, line
        depth = len(match[1]) // 4 + ("── " in line)
        parents[match[2]] = above[depth - 1] if depth else None
        above[depth:] = [match[2]]
    return parents


def test_the_drawn_tree_is_the_tree_there_is() -> None:
    classes = {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
    }
    real = {name: None if value is FashionCropError else value.__mro__[1].__name__ for name, value in classes.items()}
    assert drawn_tree() == real
    assert issubclass(FashionCropError, Exception)


def test_every_error_has_a_sentence_of_its_own() -> None:
    classes: list[Any] = [value for value in vars(errors).values() if inspect.isclass(value)]
    first_lines = [str(value.__doc__).splitlines()[0] for value in classes]
    assert len(set(first_lines)) == len(first_lines)
    assert all(line.endswith(".") for line in first_lines)


def test_errors_that_say_more_carry_it() -> None:
    fetch = FetchError("No.", url="https://example.com/a.jpg")
    assert fetch.url == "https://example.com/a.jpg"
    contract = errors.ContractError("No.", model="m", tensor="t", expected="FP32[1]", got="nothing")
    assert (contract.model, contract.tensor, contract.expected, contract.got) == ("m", "t", "FP32[1]", "nothing")
    assert str(contract) == "No."
