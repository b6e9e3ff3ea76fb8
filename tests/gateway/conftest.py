"""A gateway that all tests of a module may ask, over a client of no server, and a browser that opens its page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from gateway_world import Gateway
from page_world import WIDE, Open


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway"), rate_limit="1000000/minute") as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_asked(request: pytest.FixtureRequest) -> None:
    """Forget what the tests before have asked."""
    if "gateway" in request.fixturenames:
        running: Gateway = request.getfixturevalue("gateway")
        running.fake.asked.clear()
        running.fake.error, running.fake.pause_s, running.fake.ready = None, 0.0, True


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of this module only: a running Playwright keeps an event loop that other tests' loops would meet."""
    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if path is None:
        pytest.fail("These tests look at the page in Chromium, and none is installed. Run: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, own: Gateway) -> Iterator[Open]:
    """Open the page of the module's `own`; fails on a complaint of it, a dialog, or a request to anywhere else."""
    trouble: list[str] = []
    contexts: list[BrowserContext] = []

    def open_(*, size: tuple[int, int] = WIDE, gateway: Gateway = own, key: str | None = "", **options: Any) -> Page:  # noqa: ANN401
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce", accept_downloads=True, **options
        )
        contexts.append(context)
        page = context.new_page()

        def complains(message: ConsoleMessage) -> None:
            if "the server responded with a status of" not in message.text:
                trouble.append(f"console: {message.text}")

        def asks(request: Request) -> None:
            if not request.url.startswith((gateway.url, "data:", "blob:")):
                trouble.append(f"request: {request.url}")

        page.on("console", complains)
        page.on("request", asks)
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.on("dialog", lambda dialog: trouble.append(f"dialog: {dialog.message}"))
        page.goto(f"{gateway.url}/ui")
        if key is not None:
            page.get_by_label("Key").fill(key or gateway.key)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert trouble == []
