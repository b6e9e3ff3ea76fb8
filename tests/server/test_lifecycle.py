"""Starting, looking at and stopping the server, and every way in which a start can fail."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import onnx
import psutil
import pytest
from tritonclient import grpc

from fashioncrop import Client
from fashioncrop._embedded import server as embedded
from fashioncrop._embedded.server import EmbeddedServer
from fashioncrop._embedded.state import Phase, ServerState, StateFolder
from fashioncrop._embedded.supervisor import MODELS
from fashioncrop.errors import (
    ContractError,
    EmbeddedServerError,
    FashionCropError,
    MissingModelError,
    ServerUnavailableError,
)
from fashioncrop.model_repository import Role, engine_folder

pytestmark = [pytest.mark.server, pytest.mark.export]


def test_a_start_shows_its_progress_and_leaves_every_model_ready(repository: Path, tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    seen: list[ServerState] = []
    state = embedded.start(repository=repository, state_folder=folder, on_progress=seen.append)
    try:
        assert [one.phase for one in seen][-1] is Phase.READY
        assert any("loading" in one.models.values() for one in seen)
        assert state.models == dict.fromkeys(MODELS, "ready")
        for url in (f"{state.http_url}/v2/health/ready", state.metrics_url):
            with urllib.request.urlopen(url) as response:  # noqa: S310 - loopback
                assert response.status == 200
        assert folder.running() == state
        assert any("successfully loaded" in line for line in embedded.last_lines(folder, count=1000))
        with pytest.raises(EmbeddedServerError, match=re.escape(state.grpc_url)):
            embedded.start(repository=repository, state_folder=folder)
        assert folder.running() == state, "the refused start has not touched it"
        prefix = next(word for word in psutil.Process(state.server_pid).cmdline() if "shm-region-prefix-name" in word)
        regions = list(Path("/dev/shm").glob(f"{prefix.rpartition('=')[2]}*"))  # noqa: S108 - Triton's place
        family = [psutil.Process(state.server_pid), *psutil.Process(state.server_pid).children()]
    finally:
        assert embedded.stop(folder)
    assert folder.running() is None
    assert folder.read() is not None
    assert not any(process.is_running() for process in family)
    assert regions, "this is where they were"
    assert not any(path.exists() for path in regions)
    assert not embedded.stop(folder), "stopping twice is no error"


def test_two_starts_at_one_moment_leave_one_server(repository: Path, tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")

    def begin(_: int) -> str:
        try:
            embedded.start(repository=repository, state_folder=folder)
        except EmbeddedServerError as error:
            return str(error)
        return "started"

    try:
        with ThreadPoolExecutor(2) as pool:
            outcomes = sorted(pool.map(begin, range(2)))
        assert outcomes.count("started") == 1
        assert any("running already" in outcome or "Another server" in outcome for outcome in outcomes)
    finally:
        embedded.stop(folder)


def test_a_taken_port_is_named_and_the_usual_ones_are_replaced(repository: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedServerError, match=f"Port {port} .* is taken"):
            embedded.start(repository=repository, ports=(port, 1, 2), state_folder=StateFolder(tmp_path / "state"))


def test_a_repository_without_engines_is_refused_before_anything_starts(repository: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(repository, tmp_path / "bare"))
    (engine_folder(bare, Role.DEPTH_ESTIMATOR) / "model.json").unlink()
    with pytest.raises(EmbeddedServerError, match=r"no engine for depth_estimator\. Make them: fashioncrop-export"):
        embedded.start(repository=bare, state_folder=StateFolder(tmp_path / "state"))
    with pytest.raises(FashionCropError, match="fashioncrop-export"):
        embedded.start(repository=tmp_path / "nowhere", state_folder=StateFolder(tmp_path / "state"))


def spoil_bytes(repository: Path) -> None:
    (engine_folder(repository, Role.IMAGE_EMBEDDER) / "model.onnx").write_bytes(b"not a graph")


def spoil_missing(repository: Path) -> None:
    (engine_folder(repository, Role.IMAGE_EMBEDDER) / "model.onnx").unlink()


def spoil_foreign(repository: Path) -> None:
    target = engine_folder(repository, Role.IMAGE_EMBEDDER) / "model.onnx"
    shutil.copy(engine_folder(repository, Role.DEPTH_ESTIMATOR) / "model.onnx", target)


def spoil_name(repository: Path) -> None:
    config = repository / Role.IMAGE_EMBEDDER / "config.pbtxt"
    config.write_text(config.read_text().replace('name: "embedding"', 'name: "vector"'))


def spoil_width(repository: Path) -> None:
    config = repository / Role.IMAGE_EMBEDDER / "config.pbtxt"
    config.write_text(config.read_text().replace("dims: [ 512 ]", "dims: [ 768 ]"))


def spoil_type(repository: Path) -> None:
    config = repository / Role.IMAGE_EMBEDDER / "config.pbtxt"
    config.write_text(config.read_text().replace("TYPE_UINT8", "TYPE_FP32"))


def spoil_parameter(repository: Path) -> None:
    config = repository / Role.IMAGE_EMBEDDER / "config.pbtxt"
    config.write_text(config.read_text().replace("intra_op_thread_count", "intra_op_threads"))


def spoil_output(repository: Path) -> None:
    """A graph whose output has another name: what a foreign export looks like."""
    path = engine_folder(repository, Role.IMAGE_EMBEDDER) / "model.onnx"
    model = onnx.load(path)
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == "embedding":
                node.output[index] = "308"
    model.graph.output[0].name = "308"
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_bytes, "not a model that ONNX Runtime"),
        (spoil_missing, "model.onnx|no version|failed to load"),
        (spoil_foreign, "output embedding is declared, but the graph has depth"),
        (spoil_name, "output vector is declared, but the graph has embedding"),
        (spoil_width, r"\[-1, 768\], but the graph has \[-1, 512\]"),
        (spoil_type, "TYPE_FP32, but the graph has tensor.uint8"),
        (spoil_parameter, "intra_op_threads are unknown"),
        (spoil_output, "the graph has 308"),
    ],
)
def test_a_spoilt_model_fails_the_start_with_its_name_and_the_fault(
    own_repository: Path, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(own_repository)
    folder = StateFolder(tmp_path / "state")
    with pytest.raises(EmbeddedServerError, match="image_embedder") as caught:
        embedded.start(repository=own_repository, state_folder=folder)
    assert re.search(words, str(caught.value)), str(caught.value)
    assert folder.running() is None, "a failed start leaves nothing behind"


def test_a_pipeline_without_its_tokeniser_or_identity_says_what_to_run(own_repository: Path, tmp_path: Path) -> None:
    path = engine_folder(own_repository, Role.GARMENT_DETECTOR) / "model.json"
    about = json.loads(path.read_text())
    about["role"] = "somebody_else"
    path.write_text(json.dumps(about))
    with pytest.raises(EmbeddedServerError, match=r"fashion_pipeline.*describes somebody_else.*fashioncrop-export"):
        embedded.start(repository=own_repository, state_folder=StateFolder(tmp_path / "state"))


def test_a_killed_supervisor_takes_its_server_along_and_does_not_block_the_next(
    repository: Path, tmp_path: Path
) -> None:
    folder = StateFolder(tmp_path / "state")
    state = embedded.start(repository=repository, state_folder=folder)
    server = psutil.Process(state.server_pid)
    os.kill(state.supervisor_pid, signal.SIGKILL)
    server.wait(10)
    assert folder.running() is None
    again = embedded.start(repository=repository, state_folder=folder)
    assert again.supervisor_pid != state.supervisor_pid
    assert embedded.stop(folder)


def test_nobody_at_the_address_and_a_server_without_the_pipeline_are_told_apart(
    own_repository: Path, start: Callable[[Path], EmbeddedServer], photographs: dict[str, bytes]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    begun_s = time.monotonic()
    with Client(address, timeout_s=1.5) as client, pytest.raises(ServerUnavailableError, match=re.escape(address)):
        client.analyze(photographs["coffee"])
    assert time.monotonic() - begun_s < 10

    server = start(own_repository)
    supervisor = psutil.Process(server.state.supervisor_pid if server.state else 0)
    supervisor.suspend()  # or it would load again what this test unloads
    try:
        with grpc.InferenceServerClient(server.grpc_url) as control, Client(server.grpc_url, timeout_s=3) as client:
            control.unload_model("depth_estimator")
            with pytest.raises(ServerUnavailableError, match="depth_estimator"):
                client.analyze(photographs["coffee"])
            control.unload_model("fashion_pipeline")
            with pytest.raises(ServerUnavailableError, match="has the model fashion_pipeline but is not serving it"):
                client.analyze(photographs["coffee"])
            shutil.move(own_repository / "fashion_pipeline", own_repository.parent / "aside")
            with pytest.raises(MissingModelError, match="no model fashion_pipeline"):
                client.analyze(photographs["coffee"])
            shutil.move(own_repository.parent / "aside", own_repository / "fashion_pipeline")
    finally:
        supervisor.resume()


def test_a_server_of_another_version_is_told_by_the_tensor_that_differs(
    own_repository: Path, start: Callable[[Path], EmbeddedServer], photographs: dict[str, bytes]
) -> None:
    config = own_repository / "fashion_pipeline" / "config.pbtxt"
    text = config.read_text()
    declared = """name: "embeddings"
    data_type: TYPE_FP32
    dims: [ -1, 512 ]"""
    assert text.count(declared) == 1
    config.write_text(text.replace(declared, declared.replace("512", "768")))
    server = start(own_repository)
    with Client(server.grpc_url, timeout_s=20) as client:
        words = r"embeddings .* must be FP32\[-1, 512\]; the server has FP32\[-1, 768\]"
        with pytest.raises(ContractError, match=words) as caught:
            client.analyze(photographs["coffee"])
        assert (caught.value.model, caught.value.tensor) == ("fashion_pipeline", "embeddings")
        with pytest.raises(ContractError):
            client.check()
        client.analyze(photographs["coffee"], embeddings=False)  # which needs nothing that differs


def test_a_stop_is_honoured_while_a_model_loads(own_repository: Path, tmp_path: Path) -> None:
    model = own_repository / "fashion_pipeline" / "1" / "model.py"
    code = model.read_text()
    assert "        config = json.loads(" in code
    model.write_text(
        code.replace(
            "        config = json.loads(", "        __import__('time').sleep(90)\n        config = json.loads("
        )
    )
    folder = StateFolder(tmp_path / "state")
    begun_s = time.monotonic()
    with pytest.raises(EmbeddedServerError, match="not ready within 8 s"):
        embedded.start(repository=own_repository, state_folder=folder, timeout_s=8)
    assert time.monotonic() - begun_s < 30
    assert folder.running() is None
    state = folder.read()
    assert state is not None
    assert state.phase is Phase.STOPPED


def test_paths_with_spaces_and_a_proxy_are_no_obstacle(
    own_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photographs: dict[str, bytes]
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    spaced = own_repository.rename(tmp_path / "my models; $HOME")
    monkeypatch.chdir(tmp_path)
    with (
        EmbeddedServer(repository=spaced, state_folder=Path("my state")) as server,
        Client(server.grpc_url, timeout_s=30) as client,
    ):
        assert client.analyze(photographs["coffee"], max_garments=1).photo.width == 600
        assert server.state_folder.folder == tmp_path / "my state"


def test_two_starts_at_the_same_ports_leave_one_server(repository: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:  # three free ports
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = (sockets[0].getsockname()[1], sockets[1].getsockname()[1], sockets[2].getsockname()[1])
    folders = [StateFolder(tmp_path / name) for name in ("one", "other")]

    def begin(folder: StateFolder) -> str:
        try:
            embedded.start(repository=repository, ports=ports, state_folder=folder)
        except EmbeddedServerError as error:
            return str(error)
        return "started"

    try:
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(begin, folders))
        assert outcomes.count("started") == 1
        assert any("taken" in outcome for outcome in outcomes)
        state = folders[outcomes.index("started")].running()
        assert state is not None
        assert state.repairs == 0
    finally:
        for folder in folders:
            embedded.stop(folder)
