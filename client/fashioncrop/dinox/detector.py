"""DINO-X itself: a photo and a vocabulary in, boxes out."""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from fashioncrop.dinox.answers import CloudDetections, TaskResult, merged, read_result
from fashioncrop.dinox.photo import SentPhoto, prepare
from fashioncrop.dinox.prompts import Prompt, prompts
from fashioncrop.dinox.service import Service
from fashioncrop.dinox.settings import DinoXSettings
from fashioncrop.errors import DeadlineError, ServerFaultError

_POLL_GROWTH = 1.5
_UNDER_WAY = frozenset({"triggering", "waiting", "running"})


class DinoX:
    """Asks one account's service, any number of photos at a time; for one event loop.

    >>> async with DinoX(DinoXSettings(api_key=SecretStr("..."))) as dinox:  # doctest: +SKIP
    ...     found = await dinox.detect(photo, ["shirt", "pants"])
    """

    def __init__(self, settings: DinoXSettings, *, ssl_context: ssl.SSLContext | None = None) -> None:
        """Nothing is sent yet.

        Args:
            settings: the account, the model, the limits.
            ssl_context: which certificates are trusted; None is the system's.
        """
        self._settings = settings
        self._service = Service(settings, ssl_context)
        self._slots = asyncio.Semaphore(settings.max_concurrency)

    def __repr__(self) -> str:
        return f"DinoX({self._settings.shown_url}, {self._settings.model})"

    @property
    def shown_url(self) -> str:
        """The service's address as it may be shown."""
        return self._settings.shown_url

    @property
    def identity(self) -> str:
        """Service, model and what shapes its boxes: it changes whenever the answers may."""
        asked = self._settings
        return json.dumps(
            [self._settings.shown_url, asked.model, asked.score_threshold, asked.iou_threshold, asked.max_side_px]
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._service.close()

    async def detect(self, photo: bytes, vocabulary: Sequence[str]) -> CloudDetections:
        """Find what the vocabulary names. Each part of a long vocabulary is a task of its own, and is paid as one.

        Args:
            photo: the encoded file, with or without EXIF orientation.
            vocabulary: phrases, one garment each. Full stops in them become spaces.

        Returns:
            Boxes in pixels of the upright photo, as `AnalyzeOptions` takes them.

        Raises:
            PhotoError: the photo cannot be decoded, or is too large for the service.
            OptionError: the vocabulary is empty or not a list of phrases; `base_url` redirects; the model is unknown.
            CredentialError: the token is refused, or its account has no quota left.
            OverloadedError: the service takes no more at the moment.
            ServerUnavailableError: it cannot be reached or is down.
            DeadlineError: it does not answer, or the task is not done, in time.
            ServerFaultError: the task failed, or the answer is not what the service documents.
        """
        limits = self._settings
        parts = prompts(vocabulary, max_phrases=limits.max_prompt_phrases, max_characters=limits.max_prompt_characters)
        sent = await asyncio.to_thread(prepare, photo, max_side_px=limits.max_side_px)
        return merged(await self._all_or_none([(part, sent) for part in parts]), model=limits.model)

    async def _all_or_none(self, works: Sequence[tuple[Prompt, SentPhoto]]) -> list[TaskResult]:
        """Run the tasks side by side; the first that fails ends the others."""
        tasks = [asyncio.create_task(self._run(prompt, sent)) for prompt, sent in works]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, prompt: Prompt, sent: SentPhoto) -> TaskResult:
        async with self._slots:
            limit_s = self._settings.timeout_s
            task = None
            until_s = asyncio.get_running_loop().time() + limit_s
            body = await asyncio.to_thread(self._body, prompt, sent)
            try:
                async with asyncio.timeout_at(until_s):
                    task = await self._service.create_task(body, uuid.uuid4().hex, until_s=until_s)
                    result = await self._result(task, until_s=until_s)
            except TimeoutError:
                what = f"task {task} was not done" if task else "took no task"
                raise DeadlineError(
                    f"DINO-X ({self._settings.shown_url}): {what} within {limit_s:g} s. Try again, or allow more time "
                    "with timeout_s."
                ) from None
        return read_result(task, result, prompt, sent)

    def _body(self, prompt: Prompt, sent: SentPhoto) -> bytes:
        document: dict[str, Any] = {
            "model": self._settings.model,
            "image": sent.data_url,
            "prompt": {"type": "text", "text": prompt.text},
            "targets": ["bbox"],
            "bbox_threshold": self._settings.score_threshold,
            "iou_threshold": self._settings.iou_threshold,
        }
        return json.dumps(document).encode("ascii")

    async def _result(self, task: str, *, until_s: float) -> object:
        """Ask until the task is done."""
        pause_s = self._settings.poll_interval_s
        while True:
            await asyncio.sleep(pause_s)
            state = await self._service.task_state(task, until_s=until_s)
            status = state.get("status")
            if status == "success":
                return state.get("result")
            if status == "failed":
                reason = self._service.quoted(state.get("error")) or "it gives no reason"
                raise ServerFaultError(
                    f"DINO-X's task {task} failed: {reason}. Try again, with a smaller photo perhaps."
                )
            if status not in _UNDER_WAY:
                raise ServerFaultError(
                    f"DINO-X's task {task} has the status {self._service.quoted(status) or 'none'}, which this client "
                    "does not know. Look for a newer fashioncrop."
                )
            pause_s = min(pause_s * _POLL_GROWTH, self._settings.max_poll_interval_s)
