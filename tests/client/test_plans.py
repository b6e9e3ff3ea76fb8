"""Whether a TensorRT engine fits a machine is said in one sentence, with the command that builds it again."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fashioncrop import plans
from fashioncrop._doctor import Outcome, examine
from fashioncrop._embedded import server as embedded
from fashioncrop._embedded.state import StateFolder
from fashioncrop.errors import EmbeddedServerError
from fashioncrop.model_repository import Role, engine_folder, prepare_repository
from fashioncrop.plans import FINGERPRINT_FILE, PLAN_FILE, Machine, problem

H200 = Machine("NVIDIA H200", "9.0", "10.13.3")
AGAIN = "Build it again on this machine: fashioncrop-export --models full --variant tensorrt --only garment_detector"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An engine with its fingerprint, built on an H200."""
    folder = tmp_path / "repository" / "garment_detector" / "1"
    folder.mkdir(parents=True)
    (folder / PLAN_FILE).write_bytes(b"engine")
    (folder / "model.json").write_text(json.dumps({"digest": "sha256:graph"}))
    about = {
        "schema": 1,
        "models": "full",
        "digest": f"sha256:{hashlib.sha256(b'engine').hexdigest()}",
        "source_digest": "sha256:graph",
        "gpu": "NVIDIA H200",
        "compute_capability": "9.0",
        "tensorrt": "10.13.3",
    }
    (folder / FINGERPRINT_FILE).write_text(json.dumps(about))
    return folder


def edit(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / FINGERPRINT_FILE
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


@pytest.mark.parametrize(
    "machine",
    [
        H200,
        Machine("NVIDIA H200", "9.0", "10.13.3.9.post1"),
        Machine("NVIDIA H200", "9.0", None),  # the host: TensorRT is in the image
        Machine(None, None, "10.13.3"),
        Machine(None, None, None),
    ],
)
def test_an_engine_fits_where_nothing_contradicts(folder: Path, machine: Machine) -> None:
    assert problem(folder, machine) is None


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (Machine("NVIDIA L4", "8.9", "10.13.3"), "here are NVIDIA L4 (compute capability 8.9) and TensorRT 10.13.3"),
        (Machine("NVIDIA H100", "9.0", "10.13.3"), "here are NVIDIA H100 (compute capability 9.0) and"),
        (Machine("NVIDIA H200", "9.0", "11.1.0"), "and TensorRT 11.1.0"),
        (Machine(None, None, "10.14.1"), "here are no GPU and TensorRT 10.14.1"),
    ],
)
def test_another_gpu_or_tensorrt_is_one_sentence_and_a_command(folder: Path, machine: Machine, words: str) -> None:
    sentence = problem(folder, machine)
    assert sentence is not None
    assert "was built for NVIDIA H200 (compute capability 9.0) and TensorRT 10.13.3, and " in sentence
    assert words in sentence
    assert sentence.endswith(f". {AGAIN}")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "half written": (lambda folder: (folder / PLAN_FILE).write_bytes(b"engi"), "it may be half written"),
    "another export": (
        lambda folder: (folder / "model.json").write_text('{"digest": "sha256:other"}'),
        "was built from another export than the model.onnx beside it",
    ),
    "no export": (lambda folder: (folder / "model.json").unlink(), "was built from another export"),
    "a later schema": (edit(schema=2), "was built by another version of fashioncrop"),
    "no fingerprint": (lambda folder: (folder / FINGERPRINT_FILE).unlink(), f"has no {FINGERPRINT_FILE} beside it"),
    "a damaged one": (lambda folder: (folder / FINGERPRINT_FILE).write_text("{"), f"has no {FINGERPRINT_FILE} beside"),
    "one that lacks something": (lambda folder: (folder / FINGERPRINT_FILE).write_text("[]"), "so it is not trusted"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_engine_that_is_not_what_its_fingerprint_tells_of_is_not_served(folder: Path, fault: str) -> None:
    change, words = FAULTS[fault]
    change(folder)
    sentence = problem(folder, H200)
    assert sentence is not None
    assert words in sentence
    assert "fashioncrop-export --models " in sentence
    assert "--variant tensorrt --only garment_detector" in sentence


def test_this_machine_says_what_it_has_and_never_fails() -> None:
    machine = plans.this_machine()
    assert (machine.gpu is None) == (machine.compute_capability is None)


def test_the_file_alone_is_a_command_for_the_image(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package: in NVIDIA's image there is none."""
    command = [sys.executable, "-I", "-S", plans.__file__]
    repository = folder.parents[1]
    told = subprocess.run([*command, repository], capture_output=True, text=True, check=False)
    assert told.stdout.startswith("garment_detector: ")
    assert told.stderr == ""
    empty = subprocess.run([*command, repository / "garment_detector"], capture_output=True, text=True, check=False)
    assert (empty.returncode, empty.stdout) == (0, f"{repository / 'garment_detector'} holds no model.plan.\n")
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2

    def answered(machine: Machine) -> int:
        monkeypatch.setattr(plans, "this_machine", lambda: machine)
        return plans.main([str(repository)])

    assert answered(H200) == 0
    assert answered(Machine("NVIDIA L4", "8.9", "10.13.3")) == 1
    assert answered(Machine(None, None, "10.13.3")) == 1
    assert answered(Machine("NVIDIA H200", "9.0", None)) == 1


@pytest.mark.parametrize(
    ("machine", "outcome", "words"),
    [
        (H200, Outcome.WELL, "1 are whole and built for NVIDIA H200"),
        (Machine("NVIDIA L4", "8.9", None), Outcome.WRONG, AGAIN),
        (Machine(None, None, None), Outcome.WARNING, "whether they fit is not known here"),
    ],
)
def test_the_doctor_looks_at_engines(
    folder: Path, monkeypatch: pytest.MonkeyPatch, machine: Machine, outcome: Outcome, words: str
) -> None:
    monkeypatch.setattr(plans, "this_machine", lambda: machine)
    (finding,) = [one for one in examine(None, folder.parents[1]) if one.subject == "TensorRT engines"]
    assert finding.outcome is outcome
    assert words in finding.words


def test_the_doctor_says_nothing_of_engines_that_nobody_built(tmp_path: Path) -> None:
    assert not [one for one in examine(None, tmp_path) if one.subject == "TensorRT engines"]


@pytest.mark.server
def test_the_embedded_server_does_not_begin_with_what_it_cannot_serve(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    prepare_repository(repository)
    for role in Role:
        folder = engine_folder(repository, role)
        folder.mkdir(parents=True, exist_ok=True)  # git keeps no empty folders
        (folder / "model.json").write_text("{}")
    state = StateFolder(tmp_path / "state")
    with pytest.raises(
        EmbeddedServerError, match=r"has no TensorRT, which configs/tensorrt\.pbtxt ask for: serve these"
    ):
        embedded.start(repository=repository, config_name="tensorrt", state_folder=state)
    with pytest.raises(
        EmbeddedServerError, match=r"model\.tensorrt\.onnx does not exist, and configs/onnxruntime-tenso"
    ):
        embedded.start(repository=repository, config_name="onnxruntime-tensorrt", state_folder=state)
    assert not state.folder.exists()
