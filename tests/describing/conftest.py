"""What tests of descriptions share: crops, scripted endpoints, and describers that do not wait."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from fashioncrop.describing import Budget, CropToDescribe, Describer, DescriberSettings, PriceTable
from scripted_answers import Step
from scripted_openai import ScriptedOpenAI

KEY = "sk-planted-4Wq9ZkT2vXb7Lr1N"


@pytest.fixture(scope="session")
def jpeg() -> Callable[..., bytes]:
    """An image file of one colour: `jpeg(width, height, rgb)`."""

    def make(width: int = 60, height: int = 90, rgb: tuple[int, int, int] = (200, 60, 40)) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (width, height), rgb).save(file, "JPEG")
        return file.getvalue()

    return make


@pytest.fixture(scope="session")
def crops(jpeg: Callable[..., bytes]) -> Callable[..., list[CropToDescribe]]:
    """Crops with ids that are not their numbers on the sheet: `crops("shirt", "skirt")` have 10 and 11."""

    def make(*phrases: str) -> list[CropToDescribe]:
        return [CropToDescribe(10 + place, phrase, jpeg()) for place, phrase in enumerate(phrases)]

    return make


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedOpenAI]]:
    """A running scripted endpoint: `serve(step, step, default=step)`."""
    with contextlib.ExitStack() as stack:

        def start(*script: Step, default: Step | None = None) -> ScriptedOpenAI:
            return stack.enter_context(ScriptedOpenAI(script, default=default))

        yield start


class Pauses:
    """Stands in for `asyncio.sleep` and remembers what it was asked."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        """Do not wait."""
        self.seconds.append(seconds)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def describer(pauses: Pauses) -> AsyncIterator[Callable[..., Describer]]:
    """A describer of a scripted endpoint that does not wait: `describer(server, detail="high", ...)`."""
    async with contextlib.AsyncExitStack() as stack:

        def make(
            server: ScriptedOpenAI,
            *,
            prices: PriceTable | None = None,
            budget: Budget | None = None,
            waits: bool = False,
            **settings: Any,  # noqa: ANN401 - of DescriberSettings
        ) -> Describer:
            chosen = DescriberSettings(**{"base_url": server.url, "api_key": KEY, "timeout_s": 20.0, **settings})
            made = Describer(chosen, prices=prices, budget=budget)
            stack.push_async_callback(made.close)
            if not waits:
                vars(made._endpoint)["_sleep"] = pauses
            return made

        yield make


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Wait until something that a server's thread brings about is so."""

    async def wait(is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not is_so():  # noqa: ASYNC110 - another thread cannot set an event of this loop
                await asyncio.sleep(0.01)

    return wait
