"""How each contender is asked: one photo's file out, one `Answer` back, over the contender's own protocol.

Nothing more than a caller needs: the documents are parsed, crops and vectors are arrays and bytes in the end.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Protocol

import httpcore2
import numpy as np
import tritonclient.grpc.aio as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from contender_answers import Answer
from fashioncrop._channel import channel_args
from fashioncrop.errors import ServerFaultError

_OK = 200
_OUTPUTS = ("analysis", "crops", "embeddings")


class Asks(Protocol):
    """A contender's client; any number of photos at a time."""

    async def ask(self, photo: bytes) -> Answer:
        """Every garment of one photo."""

    async def close(self) -> None:
        """Close the connection."""


class TritonAsks:
    """A pipeline on Triton, over gRPC.

    Args:
        url: `host:port`.
        model: the pipeline's name.
        score_threshold: see the pipeline's configuration.
        max_garments: likewise.
    """

    def __init__(self, url: str, model: str, *, score_threshold: float, max_garments: int) -> None:
        self._url = url
        self._made: triton.InferenceServerClient | None = None
        self._model = model
        self._options = [
            _tensor("score_threshold", np.asarray([score_threshold], np.float32)),
            _tensor("max_garments", np.asarray([max_garments], np.int32)),
        ]
        self._outputs = [triton.InferRequestedOutput(name) for name in _OUTPUTS]

    async def ask(self, photo: bytes) -> Answer:
        """See `Asks`.

        Raises:
            ServerFaultError: there is no answer.
        """
        image = np.empty(1, np.object_)
        image[0] = photo
        try:
            result = await self._client().infer(
                self._model, [_tensor("image", image), *self._options], outputs=self._outputs
            )
        except InferenceServerException as error:
            raise ServerFaultError(f"{self._model} gave no answer ({error.status()}): {error.message()}") from error
        analysis = json.loads(result.as_numpy("analysis")[0])
        crops = tuple(bytes(one) for one in result.as_numpy("crops"))
        return _answer(analysis["garments"], np.asarray(result.as_numpy("embeddings"), np.float32), crops)

    async def close(self) -> None:
        """See `Asks`."""
        if self._made is not None:
            await self._made.close()

    def _client(self) -> triton.InferenceServerClient:
        """Made on first use, because a channel belongs to the event loop in which it is made."""
        if self._made is None:
            self._made = triton.InferenceServerClient(self._url, channel_args=channel_args(self._url))
        return self._made


class HttpAsks:
    """The usual service, over HTTP.

    Args:
        url: `http://host:port`.
        score_threshold: as for `TritonAsks`.
        max_garments: likewise.
        timeout_s: how long one answer may take.
    """

    def __init__(self, url: str, *, score_threshold: float, max_garments: int, timeout_s: float) -> None:
        self._pool = httpcore2.AsyncConnectionPool(max_connections=64)
        self._url = f"{url}/analyze?score_threshold={score_threshold}&max_garments={max_garments}"
        self._timeout = {"timeout": {"connect": 10.0, "read": timeout_s, "write": timeout_s, "pool": timeout_s}}

    async def ask(self, photo: bytes) -> Answer:
        """See `Asks`.

        Raises:
            ServerFaultError: there is no answer.
        """
        try:
            response = await self._pool.request("POST", self._url, content=photo, extensions=self._timeout)
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
            raise ServerFaultError(f"The usual service gave no answer: {type(error).__name__}: {error}") from error
        if response.status != _OK:
            raise ServerFaultError(f"The usual service answered {response.status}: {response.content[:200]!r}")
        garments = json.loads(response.content)["garments"]
        embeddings = np.asarray([garment["embedding"] for garment in garments], np.float32)
        crops = tuple(base64.b64decode(garment["crop_jpeg"]) for garment in garments)
        return _answer(garments, embeddings.reshape(len(garments), -1), crops)

    async def close(self) -> None:
        """See `Asks`."""
        await self._pool.aclose()


def _answer(garments: list[dict[str, Any]], embeddings: NDArray[np.float32], crops: tuple[bytes, ...]) -> Answer:
    return Answer(
        boxes_xyxy=np.asarray([garment["box_xyxy"] for garment in garments], np.float32).reshape(-1, 4),
        scores=np.asarray([garment["score"] for garment in garments], np.float32),
        phrases=tuple(garment["phrase"] for garment in garments),
        depth_medians=np.asarray([garment["depth"]["median"] for garment in garments], np.float32),
        embeddings=embeddings,
        crops=crops,
    )


def _tensor(name: str, array: NDArray[Any]) -> triton.InferInput:
    datatype = "BYTES" if array.dtype == np.object_ else np_to_triton_dtype(array.dtype)
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor
