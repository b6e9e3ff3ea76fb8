"""From the FP32 engine to a TensorRT engine: what can be seen of it without a GPU."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from fake_tensorrt import make
from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import Role, engine_folder, prepare_repository, read_config
from fashioncrop.plans import FINGERPRINT_FILE, PLAN_FILE, Machine, problem
from fashioncrop_export.checkpoints import file_digest
from fashioncrop_export.identity import read_identity
from fashioncrop_export.photos.sources import PhotoFolder, PhotoSourceError, calibration_scenes
from fashioncrop_export.tensorrt_engines import exporting, library
from fashioncrop_export.tensorrt_engines.errors import EngineUnusableError, TensorRTError, TensorRTMissingError
from fashioncrop_export.tensorrt_engines.exporting import EngineRequest, export_engines
from fashioncrop_export.tensorrt_engines.files import GRAPH_FILE
from fashioncrop_export.tensorrt_engines.profiles import profiles_of
from fashioncrop_export.tensorrt_engines.running import PlanRunner

pytestmark = pytest.mark.export

H200 = Machine("NVIDIA H200", "9.0", None)
# The graph that is made fastest of those that are mixed.
ROLE = Role.IMAGE_EMBEDDER


@pytest.fixture
def request_for_one(tiny_repository: Path, tmp_path: Path) -> EngineRequest:
    """A repository with the tiny engines."""
    repository = tmp_path / "repository"
    prepare_repository(repository)
    for role in Role:
        shutil.copytree(engine_folder(tiny_repository, role), engine_folder(repository, role), dirs_exist_ok=True)
    return EngineRequest("tiny", repository, tmp_path / "cache", calibration_scenes(1), (ROLE,))


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Puts a TensorRT in place, and a GPU."""

    def put(version: str, machine: Machine = H200, **options: str) -> Any:  # noqa: ANN401 - a module
        module = make(version, **options)
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        monkeypatch.setattr(library, "this_machine", lambda: machine)
        return module

    return put


def folder_of(request: EngineRequest, role: Role = ROLE) -> Path:
    return engine_folder(request.repository, role)


@pytest.mark.parametrize(("version", "flag"), [("10.13.3.9.post1", 2), ("11.4.0.106", 1)])
def test_an_engine_is_built_with_its_fingerprint(
    request_for_one: EngineRequest, install: Callable[..., Any], version: str, flag: int
) -> None:
    module = install(version)
    told: list[str] = []
    (result,) = export_engines(request_for_one, lambda _role, words, _seconds: told.append(words))
    folder = folder_of(request_for_one)
    assert module.flags == [flag], "strongly typed"
    (config,) = module.configs
    assert config.limits["workspace"] > 0
    assert config.timing_cache is not None
    assert "building: Building Engine 1/2" in told
    assert any(words.startswith("calibrating: photo 1") for words in told)

    fingerprint = json.loads((folder / FINGERPRINT_FILE).read_text())
    assert result.status == "exported"
    assert result.fingerprint == fingerprint
    identity = read_identity(folder)
    assert identity is not None
    assert fingerprint["source_digest"] == identity.digest == file_digest(folder / "model.onnx")
    assert fingerprint["digest"] == file_digest(folder / PLAN_FILE)
    assert fingerprint["graph_digest"] == file_digest(folder / GRAPH_FILE)
    assert (fingerprint["gpu"], fingerprint["compute_capability"]) == ("NVIDIA H200", "9.0")
    assert version.startswith(fingerprint["tensorrt"] + ".")
    assert fingerprint["profiles"] == [{"image": [[1, 224, 224, 3], [8, 224, 224, 3], [16, 224, 224, 3]]}]
    assert fingerprint["precision"]["halved"]["MatMul"] > 0
    assert problem(folder, replace(H200, tensorrt=version)) is None
    assert str(request_for_one.repository) not in json.dumps(fingerprint)
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []
    (timings,) = request_for_one.cache.iterdir()
    assert timings.name == f"tensorrt-{fingerprint['tensorrt']}-9.0.timing"


def test_what_is_up_to_date_is_left_alone_and_what_is_not_is_built_again(
    request_for_one: EngineRequest, install: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = install("10.13.3.9")
    export_engines(request_for_one)
    graph = folder_of(request_for_one) / GRAPH_FILE
    written = graph.stat().st_mtime_ns
    (again,) = export_engines(request_for_one)
    assert (again.status, len(module.configs), graph.stat().st_mtime_ns) == ("up to date", 1, written)

    (forced,) = export_engines(replace(request_for_one, force=True))
    assert (forced.status, len(module.configs)) == ("exported", 2)

    newer = install("10.14.0.1")
    written = graph.stat().st_mtime_ns
    (other,) = export_engines(request_for_one)
    assert (other.status, len(newer.configs)) == ("exported", 1)
    assert graph.stat().st_mtime_ns == written, "the graph depends on no TensorRT"

    (folder_of(request_for_one) / PLAN_FILE).write_bytes(b"half")
    assert export_engines(request_for_one)[0].status == "exported"

    monkeypatch.setattr(exporting, "_made_from", lambda *_: "something else")
    export_engines(request_for_one)
    assert graph.stat().st_mtime_ns > written


def test_timings_of_another_gpu_are_measured_again(request_for_one: EngineRequest, install: Callable[..., Any]) -> None:
    module = install("10.13.3.9")
    request_for_one.cache.mkdir()
    kept = request_for_one.cache / "tensorrt-10.13.3-9.0.timing"
    kept.write_bytes(b"of another")
    export_engines(request_for_one)
    assert module.configs[0].refused_cache
    assert kept.read_bytes() == b"timings"


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        ("parse", r"TensorRT 10\.13\.3 does not take .*model\.tensorrt\.onnx: node 0 is not supported"),
        ("build", r"could not build an engine from .*: out of memory"),
        ("builder", r"TensorRT 10\.13\.3 failed: pybind11::init\(\): factory function returned nullptr"),
    ],
)
def test_what_tensorrt_says_is_told(
    request_for_one: EngineRequest, install: Callable[..., Any], fails: str, words: str
) -> None:
    install("10.13.3", fails=fails)
    with pytest.raises(TensorRTError, match=words):
        export_engines(request_for_one)
    assert not (folder_of(request_for_one) / PLAN_FILE).exists()


def test_without_tensorrt_the_graphs_are_made_all_the_same(
    request_for_one: EngineRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(TensorRTMissingError, match="TensorRT is not installed") as raised:
        export_engines(request_for_one)
    assert "nvcr.io/nvidia/tensorrt:YY.MM-py3" in str(raised.value)
    assert "The graphs are ready (model.tensorrt.onnx of image_embedder)" in str(raised.value)
    assert (folder_of(request_for_one) / GRAPH_FILE).is_file()
    assert not (folder_of(request_for_one) / PLAN_FILE).exists()


@pytest.mark.parametrize("version", ["8.6.1", "10.12.0.36"])
def test_a_tensorrt_that_is_too_old_is_named(install: Callable[..., Any], version: str) -> None:
    install(version)
    with pytest.raises(TensorRTMissingError, match=rf"TensorRT {version} is too old: 10\.13 or later"):
        library.load_tensorrt()


def test_without_a_gpu_the_sentence_says_where_to_go(
    request_for_one: EngineRequest, install: Callable[..., Any]
) -> None:
    install("10.13.3", Machine(None, None, None))
    with pytest.raises(
        TensorRTMissingError, match="builds and runs engines on an NVIDIA GPU, and the driver shows none"
    ):
        export_engines(request_for_one)


def test_an_engine_of_another_gpu_is_not_run(request_for_one: EngineRequest, install: Callable[..., Any]) -> None:
    install("10.13.3.9")
    export_engines(request_for_one)
    install("10.13.3.9", Machine("NVIDIA L4", "8.9", None))
    with pytest.raises(EngineUnusableError, match=r"was built for NVIDIA H200 .* Build it again on this machine: fash"):
        PlanRunner(folder_of(request_for_one))
    # ... and one for this machine is, as far as it goes: torch here has no CUDA.
    install("10.13.3.9")
    with pytest.raises(EngineUnusableError, match="cannot use the GPU"):
        PlanRunner(folder_of(request_for_one))


def test_a_full_disk_leaves_no_engine_that_could_be_loaded(
    request_for_one: EngineRequest, install: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("10.13.3.9")
    export_engines(request_for_one)
    before = {path.name: path.read_bytes() for path in folder_of(request_for_one).iterdir()}

    def full(_path: Path, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ModelFileError, match=r"cannot be written: .*No space left on device"):
        exporting.write_engine(folder_of(request_for_one), b"new", {})
    assert {path.name: path.read_bytes() for path in folder_of(request_for_one).iterdir()} == before


def test_an_interruption_between_engine_and_fingerprint_is_told(
    request_for_one: EngineRequest, install: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("10.13.3.9")
    export_engines(request_for_one)
    moved: list[str] = []
    replacing = os.replace

    def interrupted(source: Path, target: Path) -> None:
        if moved:
            raise KeyboardInterrupt
        moved.append(Path(target).name)
        replacing(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        exporting.write_engine(folder_of(request_for_one), b"another engine", {"schema": 1})
    assert moved == [PLAN_FILE]
    sentence = problem(folder_of(request_for_one), replace(H200, tensorrt="10.13.3"))
    assert sentence is not None
    assert "it may be half written" in sentence


def test_calibration_needs_photos(tmp_path: Path) -> None:
    with pytest.raises(PhotoSourceError, match="holds no photos"):
        PhotoFolder(tmp_path)
    with pytest.raises(PhotoSourceError, match="There is no folder"):
        PhotoFolder(tmp_path / "nothing")


def test_an_engine_needs_the_fp32_one_first(request_for_one: EngineRequest) -> None:
    (folder_of(request_for_one) / "model.json").unlink()
    with pytest.raises(ModelFileError, match=r"has no engine that this version wrote. Run: fashioncrop-export"):
        export_engines(request_for_one)


def test_calibration_photos_decide_what_the_graph_is(request_for_one: EngineRequest, tmp_path: Path) -> None:
    identity = read_identity(folder_of(request_for_one))
    assert identity is not None
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(photos / "a.png")
    one = exporting._made_from(identity, PhotoFolder(photos), ROLE)
    assert one == exporting._made_from(identity, PhotoFolder(photos), ROLE)
    Image.fromarray(np.ones((8, 8, 3), np.uint8)).save(photos / "a.png")
    assert one != exporting._made_from(identity, PhotoFolder(photos), ROLE)
    text = exporting._made_from(identity, PhotoFolder(photos), Role.TEXT_EMBEDDER)
    assert text == exporting._made_from(identity, calibration_scenes(1), Role.TEXT_EMBEDDER), "looks at no photo"


@pytest.mark.parametrize("role", Role)
def test_profiles_hold_every_shape_that_the_pipeline_sends(role: Role, tiny_repository: Path) -> None:
    folder = engine_folder(tiny_repository, role)
    identity = read_identity(folder)
    assert identity is not None
    config = read_config(tiny_repository, role)
    found = profiles_of(onnx.load(folder / "model.onnx"), role, config, identity.preprocessing)
    for profile in found:
        assert set(profile.shapes) == {entry.name for entry in config.input}
        for low, usual, high in profile.shapes.values():
            assert all(least <= often <= most for least, often, most in zip(low, usual, high, strict=True))
            assert (low[0], high[0]) == (1, config.max_batch_size)
    if role in (Role.GARMENT_DETECTOR, Role.DEPTH_ESTIMATOR):
        from fashioncrop_export.photos.pipeline_code import depth_size_hw, detector_size_hw  # noqa: PLC0415

        size = detector_size_hw if role is Role.GARMENT_DETECTOR else depth_size_hw
        for wanted in ((4000, 3000), (3000, 4000), (640, 480), (100, 100), (1000, 260), (1080, 1920)):
            shape = (1, *size(wanted, identity.preprocessing), 3)
            assert any(
                all(
                    a <= b <= c
                    for a, b, c in zip(profile.shapes["image"][0], shape, profile.shapes["image"][2], strict=True)
                )
                for profile in found
            ), (wanted, shape)


def test_a_graph_that_is_not_its_configurations_has_no_profile(tiny_repository: Path) -> None:
    identity = read_identity(engine_folder(tiny_repository, ROLE))
    assert identity is not None
    model = onnx.load(engine_folder(tiny_repository, ROLE) / "model.onnx")
    with pytest.raises(ModelFileError, match=r"the graph's inputs .'image'. are not those of its configuration"):
        profiles_of(model, ROLE, read_config(tiny_repository, Role.TEXT_EMBEDDER), identity.preprocessing)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "rows"
    with pytest.raises(ModelFileError, match=r"image_embedder\.image: nobody knows how long its free axes rows may be"):
        profiles_of(model, ROLE, read_config(tiny_repository, ROLE), identity.preprocessing)
