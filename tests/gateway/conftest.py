"""A gateway that all tests of a module may ask, over a client of no server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway_world import Gateway


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
