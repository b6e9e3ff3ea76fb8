"""The service's two requests, asked until there is an answer or no sense in asking again."""

from __future__ import annotations

import asyncio
import random
import re
import ssl
from typing import Any

from fashioncrop.dinox.settings import DinoXSettings
from fashioncrop.dinox.transport import Transport
from fashioncrop.dinox.verdicts import Verdicts
from fashioncrop.errors import ServerFaultError

_CREATE = "/v2/task/dinox/detection"
_STATUS = "/v2/task_status/"
_TASK = re.compile(r"[A-Za-z0-9_-]{1,128}")
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0


class Service:
    """The service behind one address, for one event loop."""

    def __init__(self, settings: DinoXSettings, ssl_context: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._transport = Transport(settings, ssl_context)
        self._verdicts = Verdicts(settings)
        self._quiet_until_s = 0.0

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    def quoted(self, words: object) -> str:
        """Words of the service, fit to be shown."""
        return self._verdicts.quoted(words)

    async def create_task(self, body: bytes, idempotency_key: str, *, until_s: float) -> str:
        """Create a task and return its id.

        Args:
            body: JSON.
            idempotency_key: the same for each repetition, so that none makes a second task.
            until_s: when to give up, on the loop's clock.

        Raises:
            FashionCropError: see `DinoX.detect`.
        """
        headers = [("Content-Type", "application/json"), ("Idempotency-Key", idempotency_key)]
        data = await self._ask("POST", _CREATE, headers=headers, body=body, until_s=until_s)
        task = data.get("task_uuid")
        if not isinstance(task, str) or not _TASK.fullmatch(task):
            raise ServerFaultError(
                f"DINO-X ({self._settings.shown_url}) took the task but gave it no usable id. Look for a newer "
                "fashioncrop."
            )
        return task

    async def task_state(self, task: str, *, until_s: float) -> dict[str, Any]:
        """What the service says of a task: `status`, and `result` or `error`.

        Raises:
            FashionCropError: see `DinoX.detect`.
        """
        return await self._ask("GET", _STATUS + task, headers=[], body=b"", until_s=until_s)

    async def _ask(
        self, method: str, path: str, *, headers: list[tuple[str, str]], body: bytes, until_s: float
    ) -> dict[str, Any]:
        clock = asyncio.get_running_loop().time
        repetitions = 0
        while True:
            await asyncio.sleep(max(0.0, self._quiet_until_s - clock()))
            outcome = self._verdicts.read(await self._transport.send(method, path, headers=headers, body=body))
            if isinstance(outcome, dict):
                return outcome
            asked_s = outcome.retry_after_s
            # The spread keeps clients that were turned away together from coming back together.
            pause_s = min(_FIRST_PAUSE_S * 2**repetitions, _LONGEST_PAUSE_S) * random.uniform(0.75, 1.25)  # noqa: S311
            wait_s = pause_s if asked_s is None else asked_s
            is_last = repetitions >= self._settings.max_retries or wait_s > self._settings.max_wait_s
            if not outcome.repeatable or is_last or clock() + wait_s >= until_s:
                raise outcome.error
            if asked_s is not None:  # the other tasks of this account keep quiet too
                self._quiet_until_s = max(self._quiet_until_s, clock() + asked_s)
            repetitions += 1
            await asyncio.sleep(wait_s)
