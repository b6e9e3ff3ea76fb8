"""DINO-X, asked quickly: settings, photos and objects for tests."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

from PIL import Image
from pydantic import SecretStr

from fashioncrop.dinox import CloudDetections, DinoX, DinoXSettings
from scripted_dinox import (
    ScriptedDinoX,
)


def picture(width: int = 60, height: int = 40, format_: str = "PNG", **options: Any) -> bytes:  # noqa: ANN401
    file = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 150)).save(file, format_, **options)
    return file.getvalue()


PHOTO = picture()


def settings(service: ScriptedDinoX, **more: Any) -> DinoXSettings:  # noqa: ANN401
    quick: dict[str, Any] = {"poll_interval_s": 0.01, "timeout_s": 10, "request_timeout_s": 5, "max_retries": 1}
    return DinoXSettings(api_key=SecretStr(service.key), base_url=service.url, **{**quick, **more})


async def detect(
    service: ScriptedDinoX,
    vocabulary: list[str] | None = None,
    photo: bytes = PHOTO,
    **more: Any,  # noqa: ANN401
) -> CloudDetections:
    async with DinoX(settings(service, **more)) as dinox:
        return await dinox.detect(photo, vocabulary or ["shirt", "pants"])


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110 - it happens in another thread
            await asyncio.sleep(0.01)


def one(category: str = "shirt", box: Any = (10, 5, 30, 35), score: Any = 0.9) -> dict[str, Any]:  # noqa: ANN401
    return {"category": category, "bbox": list(box), "score": score}
