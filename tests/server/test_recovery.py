"""A killed process costs nobody more than time, and the service is whole again without a hand."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from fashioncrop import Client
from fashioncrop._embedded.server import EmbeddedServer
from fashioncrop._embedded.state import Phase, ServerState
from fashioncrop._embedded.supervisor import MODELS, _served_by
from fashioncrop.errors import FashionCropError, ServerFaultError
from fashioncrop.model_repository import Role, engine_folder

pytestmark = [pytest.mark.server, pytest.mark.export]

REQUESTS, CLIENTS = 100, 8
WITHIN_S = 30


def state_of(server: EmbeddedServer) -> ServerState:
    state = server.state
    assert state is not None
    return state


def kill(server: EmbeddedServer, victim: str) -> None:
    process = psutil.Process(state_of(server).server_pid)
    if victim != "tritonserver":
        process = next(child for child in process.children() if _served_by(child) == victim)
    process.kill()


@pytest.fixture(scope="module")
def mortal(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(repository=repository, state_folder=tmp_path_factory.mktemp("mortal")) as running:
        yield running


@pytest.mark.parametrize("victim", [*MODELS, "tritonserver"])
def test_a_kill_during_a_hundred_requests(mortal: EmbeddedServer, photographs: dict[str, bytes], victim: str) -> None:
    begun = threading.Semaphore(0)
    with Client(mortal.grpc_url, timeout_s=WITHIN_S - 1) as client:

        def ask(_: int) -> tuple[str, float]:
            begun.release()
            begun_s = time.monotonic()
            try:
                client.analyze(photographs["coffee"], max_garments=1, vocabulary=["hat", "shirt"])
                outcome = "answered"
            except FashionCropError as error:
                outcome = type(error).__name__
            return outcome, time.monotonic() - begun_s

        def kill_in_the_middle() -> None:
            for _ in range(REQUESTS // 4):
                begun.acquire()
            kill(mortal, victim)

        repairs = state_of(mortal).repairs
        killer = threading.Thread(target=kill_in_the_middle)
        killer.start()
        with ThreadPoolExecutor(CLIENTS) as pool:
            outcomes = list(pool.map(ask, range(REQUESTS)))
        killer.join()
        assert len(outcomes) == REQUESTS
        assert ServerFaultError.__name__ not in {outcome for outcome, _ in outcomes}
        assert max(seconds for _, seconds in outcomes) < WITHIN_S
        assert Counter(outcome for outcome, _ in outcomes)["answered"] >= REQUESTS // 2
        wait_until(lambda: state_of(mortal).repairs > repairs and state_of(mortal).phase is Phase.READY)
        assert state_of(mortal).problem is None
        assert client.analyze(photographs["coffee"], max_garments=2).garments is not None


def test_an_idle_service_is_repaired_too(
    own_repository: Path, start: Callable[[Path], EmbeddedServer], photographs: dict[str, bytes]
) -> None:
    server = start(own_repository)
    victim = next(
        child for child in psutil.Process(state_of(server).server_pid).children() if _served_by(child) == MODELS[0]
    )
    victim.kill()
    wait_until(lambda: state_of(server).repairs == 1 and state_of(server).phase is Phase.READY)
    assert state_of(server).server_pid is not None
    with Client(server.grpc_url, timeout_s=20) as client:
        assert client.analyze(photographs["coffee"], vocabulary=["hat"]).vocabulary == ("hat",)


def test_a_model_that_cannot_be_loaded_again_is_tried_until_it_can(
    own_repository: Path, start: Callable[[Path], EmbeddedServer], photographs: dict[str, bytes]
) -> None:
    server = start(own_repository)
    engine = engine_folder(own_repository, Role.IMAGE_EMBEDDER) / "model.onnx"
    aside = engine.rename(own_repository.parent / "aside.onnx")
    kill(server, Role.IMAGE_EMBEDDER)
    wait_until(lambda: state_of(server).repairs >= 3 and "image_embedder" in (state_of(server).problem or ""))
    assert state_of(server).phase is Phase.REPAIRING
    aside.rename(engine)
    wait_until(lambda: state_of(server).phase is Phase.READY)
    with Client(server.grpc_url, timeout_s=20) as client:
        assert client.analyze(photographs["coffee"], max_garments=1).garments


def wait_until(is_so: Callable[[], bool], within_s: float = 60) -> None:
    deadline_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline_s, "not repaired in time"
        time.sleep(0.1)
