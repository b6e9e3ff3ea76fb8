"""The gateway's page in Chromium: who answers it, and what everybody does on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page

from fashioncrop._sources import Photo
from fashioncrop.reporting import ReportEntry
from fashioncrop.results import Analysis
from gateway_world import FakeClient, Gateway
from report_samples import drawn

Open = Callable[..., Page]
WIDE, NARROW = (1280, 900), (360, 740)
DRAWN = drawn()


class Artist(FakeClient):
    """Answers as if it had looked at one drawn photo, whatever it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.entry: ReportEntry | None = DRAWN

    async def analyze_photo(self, photo: Photo, **options: Any) -> Analysis:  # noqa: ANN401
        if self.entry is None or "boxes_xyxy" in options:
            return await super().analyze_photo(photo, **options)
        await self._ask("analyze", **options)
        return self.entry.analysis


def rest(gateway: Gateway) -> None:
    """Forget what was asked before, and answer as at first."""
    fake: Any = gateway.fake
    fake.__class__ = Artist
    fake.asked.clear()
    fake.error, fake.pause_s, fake.entry = None, 0.0, DRAWN


def choose(page: Page, data: bytes = DRAWN.photo) -> None:
    page.set_input_files("#file", {"name": "my photo.jpg", "mimeType": "image/jpeg", "buffer": data})


def look(page: Page) -> None:
    page.get_by_role("button", name="Find the garments").click()
    page.wait_for_selector("#result .card")


def asked(gateway: Gateway) -> dict[str, Any]:
    """The options of the last question to the server."""
    return gateway.fake.asked[-1][1]
