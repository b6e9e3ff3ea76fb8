"""What Triton counts of each model: how many requests, and where their time went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from fashioncrop._channel import channel_args
from fashioncrop.errors import ServerUnavailableError

_NS_TO_MS = 1e-6


@dataclass(frozen=True)
class ModelTimes:
    """Sums over the requests that one model has answered.

    Attributes:
        requests: answered.
        failed: not answered.
        request_ms: from a request's arrival in the server to its answer.
        queue_ms: waiting for the model.
        infer_ms: inside the model (of a Python-based backend: in its process, the way there and back included).
    """

    requests: int
    failed: int
    request_ms: float
    queue_ms: float
    infer_ms: float

    def since(self, before: ModelTimes) -> ModelTimes:
        """What was added since `before`."""
        return ModelTimes(
            self.requests - before.requests,
            self.failed - before.failed,
            self.request_ms - before.request_ms,
            self.queue_ms - before.queue_ms,
            self.infer_ms - before.infer_ms,
        )


class Statistics:
    """Asks one server; for one event loop.

    Args:
        url: gRPC `host:port`.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = triton.InferenceServerClient(url, channel_args=channel_args(url))

    async def read(self) -> dict[str, ModelTimes]:
        """By model.

        Raises:
            ServerUnavailableError: the server does not answer.
        """
        try:
            answer = await self._client.get_inference_statistics()
        except InferenceServerException as error:
            raise ServerUnavailableError(f"{self._url} does not tell its statistics: {error.message()}") from error
        return {one.name: _times(one.inference_stats) for one in answer.model_stats}

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


def difference(after: Mapping[str, ModelTimes], before: Mapping[str, ModelTimes]) -> dict[str, ModelTimes]:
    """What was added to each model between two readings."""
    return {name: times.since(before[name]) for name, times in after.items() if name in before}


def _times(stats: Any) -> ModelTimes:  # noqa: ANN401 - a protobuf message
    return ModelTimes(
        requests=int(stats.success.count),
        failed=int(stats.fail.count),
        request_ms=stats.success.ns * _NS_TO_MS,
        queue_ms=stats.queue.ns * _NS_TO_MS,
        infer_ms=stats.compute_infer.ns * _NS_TO_MS,
    )
