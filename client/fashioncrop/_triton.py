"""Talking to Triton over gRPC: tensors out and in, errors named, the interface checked on first use.

Beside this module only the embedded server's control and the configurations' protobuf import tritonclient.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import tritonclient.grpc.aio as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from fashioncrop._channel import channel_args, is_overload
from fashioncrop.errors import (
    CancelledError,
    ContractError,
    DeadlineError,
    FashionCropError,
    InputError,
    MissingModelError,
    ModelControlError,
    OptionError,
    OverloadedError,
    PhotoError,
    ServerFaultError,
    ServerUnavailableError,
    TryAgainError,
)
from fashioncrop.model_repository import read_config, shipped_repository
from fashioncrop.results import ServedModel

_T = TypeVar("_T")
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_LOAD_TIMEOUT_S = 300.0
_READY_TIMEOUT_S = 2.0
_DEAD_STUB = ("Stub process", "is not healthy", "shutting down")


class TritonConnection:
    """One gRPC channel to one server.

    Args:
        url: `host:port`.
        timeout_s: for each call, repeats included.
        headers: asked before each inference for what goes along as gRPC metadata, a trace's context for one.
    """

    def __init__(self, url: str, *, timeout_s: float, headers: Callable[[], Mapping[str, str]] = dict) -> None:
        self.url = url
        self._timeout_s = timeout_s
        self._headers = headers
        self._made: triton.InferenceServerClient | None = None
        self._is_closed = False
        self._checked: set[str] = set()

    @property
    def _client(self) -> triton.InferenceServerClient:
        """Made on first use, because a channel belongs to the event loop in which it is made."""
        if self._is_closed:
            raise RuntimeError("This client is closed; make another.")
        if self._made is None:
            self._made = triton.InferenceServerClient(self.url, channel_args=channel_args(self.url))
        return self._made

    async def close(self) -> None:
        """Close the channel."""
        self._is_closed = True
        if self._made is not None:
            await self._made.close()

    async def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> dict[str, NDArray[Any]]:
        """The named outputs of one request.

        A server that is not there, is full, or is reloading the model is asked again until `timeout_s` has passed.

        Raises:
            FashionCropError: one of its kinds; see `fashioncrop.errors`.
        """
        tensors = [_tensor(name, array) for name, array in inputs.items()]
        requested = [triton.InferRequestedOutput(name) for name in outputs]
        headers = dict(self._headers()) or None

        async def ask(left_s: float) -> dict[str, NDArray[Any]]:
            if model not in self._checked:
                await self._check(model, inputs, outputs, left_s)
            result = await self._client.infer(model, tensors, outputs=requested, headers=headers, client_timeout=left_s)
            return {name: result.as_numpy(name) for name in outputs}

        return await self._persist(model, ask)

    async def server_version(self) -> str:
        """The server's version, as Triton numbers it."""

        async def ask(left_s: float) -> str:
            return str((await self._client.get_server_metadata(client_timeout=left_s)).version)

        return await self._persist("", ask)

    async def check(self, model: str) -> None:
        """Compare every tensor of the server's model with the shipped configuration.

        Raises:
            ContractError: the first that differs.
        """
        config = read_config(shipped_repository(), model)

        async def ask(left_s: float) -> None:
            await self._check(model, [one.name for one in config.input], [one.name for one in config.output], left_s)

        await self._persist(model, ask)

    async def is_ready(self) -> bool:
        """Does the server answer, and does it call itself ready? Asked once, without patience."""
        try:
            return bool(await self._client.is_server_ready(client_timeout=_READY_TIMEOUT_S))
        except InferenceServerException:
            return False

    async def served_models(self) -> tuple[ServedModel, ...]:
        """Every model of the server's repository.

        Raises:
            ModelControlError: the server does not tell.
            FashionCropError: as `infer`.
        """

        async def ask(left_s: float) -> tuple[ServedModel, ...]:
            try:
                index = await self._client.get_model_repository_index(client_timeout=left_s)
            except InferenceServerException as error:
                if not _is_closed(error):
                    raise
                raise ModelControlError(f"{self.url} does not say which models it has: {error.message()}") from error
            loaded = await self._client.get_inference_statistics(client_timeout=left_s)
            memory = {
                one.name: sum(usage.byte_size for usage in one.memory_usage) if one.memory_usage else None
                for one in loaded.model_stats
            }
            return tuple(
                ServedModel(
                    name=one.name,
                    version=one.version or None,
                    state=one.state.lower() or "unavailable",
                    reason="" if one.state == "READY" else one.reason,
                    memory_bytes=memory.get(one.name),
                )
                for one in index.models
            )

        return await self._persist("", ask)

    async def load(self, model: str) -> None:
        """Load a model, or load it anew.

        Raises:
            ModelControlError: the server does not take such orders, or the model cannot be loaded.
        """
        await self._order(self._client.load_model(model, client_timeout=_LOAD_TIMEOUT_S), f"load {model}")

    async def unload(self, model: str) -> None:
        """Unload a model, once its requests have ended.

        Raises:
            ModelControlError: the server does not take such orders.
        """
        await self._order(self._client.unload_model(model, client_timeout=_LOAD_TIMEOUT_S), f"unload {model}")

    async def _order(self, call: Awaitable[None], what: str) -> None:
        """Once only: an order that was refused is refused again."""
        try:
            await call
        except InferenceServerException as error:
            raise ModelControlError(f"{self.url} did not {what}: {error.message()}") from error

    async def _persist(self, model: str, ask: Callable[[float], Awaitable[_T]]) -> _T:
        """Repeat what may succeed later, with growing pauses, inside `timeout_s`."""
        deadline_s = time.monotonic() + self._timeout_s
        pause_s = _FIRST_PAUSE_S
        refused: FashionCropError | None = None
        while True:
            try:
                return await ask(max(deadline_s - time.monotonic(), 0.001))
            except InferenceServerException as raised:
                error = await self._named(raised, model)
                left_s = deadline_s - time.monotonic()
                repeatable = isinstance(error, TryAgainError) and not isinstance(error, DeadlineError | CancelledError)
                if isinstance(error, DeadlineError) and refused is not None:
                    error = refused  # why it was asked again says more than that time ran out meanwhile
                if not repeatable or left_s <= pause_s:
                    raise error from raised
                refused = error
            # Spread out, so that clients turned away together do not come back together.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - not a secret
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _named(self, error: InferenceServerException, model: str) -> FashionCropError:
        """Triton's error as one of ours."""
        status, words = str(error.status()).removeprefix("StatusCode."), str(error.message())
        if "unknown model" in words or status == "NOT_FOUND":
            if await self._is_in_repository(model):
                return ServerUnavailableError(
                    f"{self.url} has the model {model} but is not serving it just now: {words}"
                )
            return MissingModelError(
                f"{self.url} has no model {model}. Is its model repository fashioncrop's? ({words})"
            )
        return _by_status(status, words, self.url, self._timeout_s)

    async def _is_in_repository(self, model: str) -> bool:
        try:
            index = await self._client.get_model_repository_index(client_timeout=2)
        except InferenceServerException:  # model control may be closed to clients
            return False
        return any(entry.name == model for entry in index.models)

    async def _check(self, model: str, inputs: Any, outputs: Sequence[str], left_s: float) -> None:  # noqa: ANN401
        config = read_config(shipped_repository(), model)
        metadata = await self._client.get_model_metadata(model, client_timeout=left_s)
        for names, declared, served in (
            (set(inputs), config.input, metadata.inputs),
            (set(outputs), config.output, metadata.outputs),
        ):
            have = {one.name: f"{one.datatype}{list(one.shape)}" for one in served}
            for entry in declared:
                batch = [-1] if config.max_batch_size > 0 else []
                expected = f"{_datatype(entry.data_type, config)}{[*batch, *entry.dims]}"
                got = have.get(entry.name, "nothing")
                if entry.name in names and got != expected:
                    raise ContractError(
                        f"{self.url}: the tensor {entry.name} of the model {model} must be {expected}; the server has "
                        f"{got}. Server and client are of different versions: update the older.",
                        model=model,
                        tensor=entry.name,
                        expected=expected,
                        got=got,
                    )
        self._checked.add(model)


def _datatype(data_type: int, config: Any) -> str:  # noqa: ANN401 - a protobuf message
    name = type(config.input[0]).DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[data_type].name
    return "BYTES" if name == "TYPE_STRING" else str(name).removeprefix("TYPE_")


def _by_status(status: str, words: str, url: str, timeout_s: float) -> FashionCropError:  # noqa: PLR0911 - a table
    if status == "INVALID_ARGUMENT":
        return PhotoError(words) if words.startswith("The photo") else OptionError(words)
    if status == "DEADLINE_EXCEEDED":
        return DeadlineError(f"{url} gave no answer within {timeout_s:g} s. Allow more time, or send less at once.")
    if status == "CANCELLED":
        return CancelledError(words)
    if is_overload(words):
        return OverloadedError(words)
    if status == "UNAVAILABLE" or any(phrase in words for phrase in _DEAD_STUB):
        return ServerUnavailableError(
            f"{url} does not answer just now: {words}. Is the server up? See: fashioncrop status"
        )
    if status in {"RESOURCE_EXHAUSTED", "OUT_OF_RANGE"}:
        return InputError(f"The request is too large for {url}: {words}")
    return ServerFaultError(f"{url} failed ({status}): {words}")


def _is_closed(error: InferenceServerException) -> bool:
    """Does the server not take this kind of call from anybody, or not without a key?"""
    return "not allowed" in str(error.message()) or "restricted" in str(error.message())


def _tensor(name: str, array: NDArray[Any]) -> triton.InferInput:
    datatype = "BYTES" if array.dtype == np.object_ else np_to_triton_dtype(array.dtype)
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor
