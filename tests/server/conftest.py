"""A real embedded Triton with tiny seeded models, one for all tests that leave it whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fashioncrop import Client, EmbeddedServer
from fashioncrop.model_repository import prepare_repository


@pytest.fixture(scope="session")
def repository(tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny repository with this checkout's configurations and pipeline."""
    copy = tmp_path_factory.mktemp("served") / "repository"
    shutil.copytree(tiny_repository, copy)
    prepare_repository(copy)
    return copy


@pytest.fixture
def own_repository(repository: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(repository, tmp_path / "repository"))


@pytest.fixture(scope="session")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """For tests that only ask."""
    with EmbeddedServer(repository=repository, state_folder=tmp_path_factory.mktemp("state")) as running:
        yield running
        state = running.state
        assert state is not None
        assert state.repairs == 0, "the client's patience must not hide a crash"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Path], EmbeddedServer]]:
    """Start a server of a test's own; stopped at its end."""
    running: list[EmbeddedServer] = []

    def begin(repository: Path) -> EmbeddedServer:
        one = EmbeddedServer(repository=repository, state_folder=tmp_path / f"state-{len(running)}")
        one.__enter__()
        running.append(one)
        return one

    yield begin
    for one in running:
        one.__exit__(None, None, None)


@pytest.fixture(scope="session")
def client(server: EmbeddedServer) -> Iterator[Client]:
    with Client(server.grpc_url, timeout_s=60) as connected:
        yield connected
