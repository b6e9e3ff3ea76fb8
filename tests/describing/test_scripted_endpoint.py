"""The scripted endpoint runs by itself too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fashioncrop.describing import CropToDescribe, Describer, DescriberSettings

SCRIPT = Path(__file__).parents[1] / "scripted_openai.py"


async def test_it_answers_whoever_asks(crops: Callable[..., list[CropToDescribe]]) -> None:
    with subprocess.Popen([sys.executable, str(SCRIPT), "--port", "0"], stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            async with Describer(DescriberSettings(base_url=url)) as describer:
                described = await describer.describe(crops("shirt", "skirt"))
            assert [one.type for one in described.descriptions.values()] == ["shirt", "skirt"]
            assert described.usage.dollars is not None
        finally:
            process.terminate()
