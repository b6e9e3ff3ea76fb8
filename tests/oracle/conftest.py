"""Servers on tiny and on full-size seeded weights, each beside transformers' own models on the same weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fashioncrop import Client
from fashioncrop._embedded.server import EmbeddedServer
from fashioncrop.model_repository import Role, engine_folder, prepare_repository, shipped_repository
from fashioncrop_export.exporting import Request, export
from fashioncrop_export.sources import default_cache
from original import Original, Pair
from tiny_models import tiny_checkpoints

_FIGURES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[_FIGURES]:
        terminalreporter.section("agreement with the original")
        for figure in config.stash[_FIGURES]:
            terminalreporter.write_line(figure)


@pytest.fixture
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the end of the report."""
    return pytestconfig.stash[_FIGURES]


def _serve(repository: Path, checkpoints: Path, state_folder: Path) -> Iterator[Pair]:
    with (
        EmbeddedServer(repository=repository, state_folder=state_folder) as server,
        Client(server.grpc_url, timeout_s=300) as client,
    ):
        yield Pair(client, Original(checkpoints), repository)


@pytest.fixture(scope="module")
def tiny(tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    prepare_repository(tiny_repository)
    checkpoints = tiny_checkpoints(tiny_repository) / "tiny"
    yield from _serve(tiny_repository, checkpoints, tmp_path_factory.mktemp("tiny-state"))


@pytest.fixture(scope="module")
def full(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The full architectures with random weights: those of `make demo` where they are there, else made here."""
    repository = shipped_repository()
    if not all(_is_random(repository, role) for role in Role):
        repository = pytestconfig.cache.mkdir("full-repository")
    export(Request(models="random", repository=repository, cache=default_cache()))
    yield from _serve(repository, default_cache() / "random", tmp_path_factory.mktemp("full-state"))


def _is_random(repository: Path, role: Role) -> bool:
    try:
        about = json.loads((engine_folder(repository, role) / "model.json").read_text())
    except OSError:
        return False
    return bool(about["source"] == "random")
