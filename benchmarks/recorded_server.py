"""A model server that gives recorded answers: what it has not heard yet it passes on, everything else it knows."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from tritonclient.grpc import service_pb2_grpc

_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class RecordedServer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # no types are published
    """Answers after a fixed time.

    Attributes:
        answer_s: the time.
        asked: requests for an inference so far.
        passed_on: how many of them the real server answered.
    """

    def __init__(self, real_url: str) -> None:
        """Nothing is known yet.

        Args:
            real_url: gRPC address of the server that is passed on to.
        """
        self.answer_s = 0.0
        self.asked = self.passed_on = 0
        self._channel = grpc.aio.insecure_channel(real_url, options=_OPTIONS)
        self._real = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._known: dict[bytes, Any] = {}
        self._to_scatter = 0
        self._chance = random.Random(1)  # noqa: S311 - not a secret

    def scatter(self, clients: int) -> None:
        """Let the next requests wait up to twice as long: or all who begin together would come together for ever."""
        self._to_scatter = clients

    async def ModelInfer(self, request: Any, _context: object) -> Any:  # noqa: ANN401, N802 - Triton's names
        """One inference."""
        self.asked += 1
        key = hashlib.blake2b(
            b"".join([*request.raw_input_contents, *(output.name.encode() for output in request.outputs)])
        ).digest()
        if key not in self._known:
            self.passed_on += 1
            self._known[key] = await self._real.ModelInfer(request)
        else:
            first = self._to_scatter > 0
            self._to_scatter -= first
            await asyncio.sleep(self.answer_s * (1 + (self._chance.random() if first else 0.0)))
        return self._known[key]

    async def ModelMetadata(self, request: Any, _context: object) -> Any:  # noqa: ANN401, N802
        """The real server's."""
        return await self._real.ModelMetadata(request)

    async def ServerReady(self, request: Any, _context: object) -> Any:  # noqa: ANN401, N802
        """The real server's."""
        return await self._real.ServerReady(request)

    async def close(self) -> None:
        """Close the way to the real server."""
        await self._channel.close()


@asynccontextmanager
async def recorded(real_url: str) -> AsyncIterator[tuple[RecordedServer, str]]:
    """The server and its gRPC address, for as long as the block lasts."""
    answers = RecordedServer(real_url)
    server = grpc.aio.server(options=_OPTIONS)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(answers, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield answers, f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=None)
        await answers.close()
