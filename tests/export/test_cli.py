"""The command: data on stdout, words on stderr, and what its exit code says."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from PIL import Image

import fake_tensorrt
from fashioncrop.model_repository import Role, engine_folder
from fashioncrop.plans import Machine
from fashioncrop_export import cli, exporting
from fashioncrop_export.errors import Difference, ParityError
from fashioncrop_export.tensorrt_engines import library
from tiny_models import tiny_checkpoints

pytestmark = pytest.mark.export


class Command:
    """Runs the command in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.setattr(signal, "signal", lambda *_: None)

    def __call__(self, *arguments: str | Path) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["fashioncrop-export", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = self._capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def tiny(tiny_repository: Path) -> list[str | Path]:
    return ["--models", "tiny", "--repository", tiny_repository, "--cache", tiny_checkpoints(tiny_repository)]


def test_json_has_every_model_with_its_identity(
    command: Command, tiny: list[str | Path], tiny_repository: Path
) -> None:
    code, out, err = command(*tiny, "--json")
    results = json.loads(out)
    assert code == 0
    assert [result["role"] for result in results] == [role.value for role in Role]
    for result in results:
        assert result["status"] == "up to date"
        path = engine_folder(tiny_repository, Role(result["role"])) / "model.json"
        assert result["identity"] == json.loads(path.read_text())
    assert [line.split(": ")[1] for line in err.splitlines()] == ["up to date"] * 5


def test_text_is_a_line_a_model(command: Command, tiny: list[str | Path]) -> None:
    code, out, _ = command(*tiny, "--only", "image_embedder", "--only", "text_embedder")
    assert code == 0
    assert [line.split("\t")[:2] for line in out.splitlines()] == [
        ["image_embedder", "up to date"],
        ["text_embedder", "up to date"],
    ]


def test_an_export_says_where_its_time_went(command: Command, tiny: list[str | Path], tmp_path: Path) -> None:
    tiny[3] = tmp_path
    code, out, err = command(*tiny, "--only", "image_embedder")
    assert code == 0
    assert out.startswith("image_embedder\texported\t")
    for stage in ("load", "export", "clean", "validate"):
        assert f"{stage} " in err


def test_a_named_error_is_its_sentence_and_exit_code_1(command: Command, tmp_path: Path) -> None:
    code, out, err = command("--models", tmp_path, "--repository", tmp_path / "repository")
    assert (code, out) == (1, "")
    (sentence,) = err.splitlines()
    assert sentence.startswith(f"{tmp_path} has no folder grounding-dino/; a checkpoint directory holds ")


def test_every_difference_is_a_line_of_its_own(
    command: Command, tiny: list[str | Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    differences = [Difference("image_embedder", "image", "axis 1 free", "fixed at 224")] * 2

    def fail(*_arguments: object) -> NoReturn:
        raise ParityError(differences)

    monkeypatch.setattr(exporting, "_export_role", fail)
    code, out, err = command(*tiny, "--force", "--only", "image_embedder")
    assert (code, out) == (1, "")
    assert err.splitlines() == ["image_embedder.image: expected axis 1 free, got fixed at 224"] * 2


def test_a_repository_that_cannot_be_written_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = command("--models", "tiny", "--repository", tmp_path / "file")
    assert code == 1
    assert err.startswith(f"The model repository {tmp_path / 'file'} cannot be written")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--models", "tiny", "--only", "fashion_pipeline"],
        ["--models", "tiny", "--unknown"],
        ["--models", "full", "--revision", "clip"],
        ["--models", "full", "--revision", "bert=main"],
        ["--models", "tiny", "--revision", "clip=main"],
        ["--models", "tiny", "--variant", "fp8"],
        ["--models", "tiny", "--calibration", "photos"],
    ],
)
def test_wrong_usage_is_exit_code_2(command: Command, arguments: list[str]) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert "Usage:" in err


def test_without_tensorrt_its_graph_is_written_and_the_rest_is_said(
    command: Command, tiny: list[str | Path], tiny_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    shutil.copytree(tiny_repository, tmp_path / "repository")
    tiny[3] = tmp_path / "repository"
    code, out, err = command(*tiny, "--only", "image_embedder", "--variant", "tensorrt")
    assert (code, out) == (1, "")
    assert "image_embedder: tensorrt done in " in err
    assert "TensorRT is not installed" in err.splitlines()[-1]
    folder = engine_folder(tmp_path / "repository", Role.IMAGE_EMBEDDER)
    assert (folder / "model.tensorrt.onnx").is_file()
    assert not (folder / "model.plan").exists()


def test_an_engine_has_its_fingerprint_in_json(
    command: Command, tiny: list[str | Path], tiny_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt.make("11.1.0.106"))
    monkeypatch.setattr(library, "this_machine", lambda: Machine("NVIDIA H200", "9.0", None))
    shutil.copytree(tiny_repository, tmp_path / "repository")
    tiny[3] = tmp_path / "repository"
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (32, 32), (200, 30, 30)).save(photos / "a.png")
    wanted: list[str | Path] = ["--only", "image_embedder", "--variant", "tensorrt", "--calibration", photos]
    code, out, _ = command(*tiny, *wanted, "--json")
    assert code == 0
    exported, engine = json.loads(out)
    assert (exported["role"], engine["role"], engine["variant"]) == ("image_embedder", "image_embedder", "tensorrt")
    path = engine_folder(tmp_path / "repository", Role.IMAGE_EMBEDDER) / "model.tensorrt.json"
    assert engine["fingerprint"] == json.loads(path.read_text())
    code, out, _ = command(*tiny, *wanted)
    assert [line.split("\t")[1] for line in out.splitlines()] == ["up to date", "tensorrt up to date"]


def test_a_calibration_folder_without_photos_is_named(command: Command, tiny: list[str | Path], tmp_path: Path) -> None:
    wanted: list[str | Path] = ["--only", "image_embedder", "--variant", "tensorrt", "--calibration", tmp_path]
    code, out, err = command(*tiny, *wanted)
    assert (code, out) == (1, "")
    assert f"The folder {tmp_path} holds no photos" in err


def test_help_names_every_option(command: Command) -> None:
    code, out, _ = command("--help")
    assert code == 0
    options = ("--models", "--only", "--repository", "--cache", "--revision", "--force", "--json")
    for option in (*options, "--variant", "--calibration", "fashioncrop-export verify"):
        assert option in out
    assert "full|random|tiny|paperdoll|DIR" in out
