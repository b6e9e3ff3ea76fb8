"""What is up to date is left alone, and a failed export leaves what was there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import Role, engine_folder, prepare_repository, shipped_repository
from fashioncrop_export import making, validation
from fashioncrop_export.checkpoints import file_digest
from fashioncrop_export.errors import Difference, ParityError
from fashioncrop_export.exporting import Request, Stage, export
from fashioncrop_export.identity import is_variant_up_to_date, read_identity
from fashioncrop_export.variants import Variant
from tiny_models import tiny_checkpoints

pytestmark = pytest.mark.export

# The one that is exported fastest and has a tokeniser.
ROLE = Role.VOCABULARY_ENCODER
FILES = ["model.json", "model.onnx", "tokenizer.json"]


@pytest.fixture
def request_for_one(tiny_repository: Path, tmp_path: Path) -> Request:
    """A repository of its own in which `ROLE` is up to date."""
    repository = tmp_path / "repository"
    prepare_repository(repository)
    folder = engine_folder(repository, ROLE)
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy2(engine_folder(tiny_repository, ROLE) / name, folder / name)
    return Request(models="tiny", repository=repository, cache=tiny_checkpoints(tiny_repository), roles=(ROLE,))


def folder_of(request: Request) -> Path:
    return engine_folder(request.repository, ROLE)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_up_to_date_is_left_alone(request_for_one: Request) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in folder_of(request_for_one).iterdir()}
    (result,) = export(request_for_one)
    assert result.status == "up to date"
    assert before == {path.name: path.stat().st_mtime_ns for path in folder_of(request_for_one).iterdir()}


def test_knowing_that_needs_no_torch(request_for_one: Request) -> None:
    program = (
        "import sys; from pathlib import Path; from fashioncrop_export.exporting import Request, export\n"
        "from fashioncrop.model_repository import Role\n"
        f"request = Request('tiny', Path({str(request_for_one.repository)!r}), Path({str(request_for_one.cache)!r}), "
        f"(Role({ROLE.value!r}),))\n"
        "print(export(request)[0].status, 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "up to date False False"


def test_force_exports_again(request_for_one: Request) -> None:
    stages: list[Stage] = []
    forced = replace(request_for_one, force=True)
    (result,) = export(forced, lambda _role, stage: stages.append(stage))
    assert result.status == "exported"
    assert stages == ["checkpoint", "load", "export", "clean", "validate", "done"]
    assert sorted(contents(folder_of(forced))) == FILES


def edit_identity(key: str, value: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "model.json"
        content = json.loads(path.read_text())
        assert content[key] != value
        path.write_text(json.dumps({**content, key: value}))

    return edit


def spoil_engine(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"not a graph")


CHANGES: dict[str, Callable[[Path], object]] = {
    "other checkpoint": edit_identity("checkpoint_digests", {"model.safetensors": "sha256:0"}),
    "other configuration": edit_identity("config_digest", "sha256:0"),
    "other exporter": edit_identity("exporter", {"torch": "1.0"}),
    "other source": edit_identity("source", "random"),
    "other engine": spoil_engine,
    "no engine": lambda folder: (folder / "model.onnx").unlink(),
    "no tokeniser": lambda folder: (folder / "tokenizer.json").unlink(),
    "no identity": lambda folder: (folder / "model.json").unlink(),
    "damaged identity": lambda folder: (folder / "model.json").write_text('{"schema": 1'),
    "later schema": edit_identity("schema", 2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_made_from_something_else_is_exported_again(request_for_one: Request, change: str) -> None:
    folder = folder_of(request_for_one)
    CHANGES[change](folder)
    (result,) = export(request_for_one)
    assert result.status == "exported"
    assert sorted(contents(folder)) == FILES
    assert export(request_for_one)[0].status == "up to date"
    onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    "failure", [KeyboardInterrupt(), ParityError([Difference("m", "t", "1", "2")]), SystemExit(143), OSError("full")]
)
def test_a_failed_export_leaves_the_old_engine(
    request_for_one: Request, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    folder = folder_of(request_for_one)
    before = contents(folder)

    def fail(*_arguments: object) -> None:
        raise failure

    monkeypatch.setattr(validation, "validate", fail)
    expected = ModelFileError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected):
        export(replace(request_for_one, force=True))
    assert contents(folder) == before


def test_a_directory_is_exported_like_any_other_source(tiny_repository: Path, tmp_path: Path) -> None:
    directory = tiny_checkpoints(tiny_repository) / "tiny"
    request = Request(models=str(directory), repository=tmp_path, cache=tmp_path, roles=(Role.IMAGE_EMBEDDER,))
    (result,) = export(request)
    assert (result.status, result.identity.source, result.identity.trained) == ("exported", "directory", False)
    known = read_identity(engine_folder(tiny_repository, Role.IMAGE_EMBEDDER))
    assert known is not None
    assert result.identity.digest == known.digest
    assert str(tmp_path) not in json.dumps(result.identity.to_json())


def test_the_identity_says_what_was_made_from_what(tiny_repository: Path) -> None:
    cache = tiny_checkpoints(tiny_repository)
    for role in Role:
        folder = engine_folder(tiny_repository, role)
        identity = read_identity(folder)
        assert identity is not None
        content = json.loads((folder / "model.json").read_text())
        assert list(content) == [
            *("schema", "role", "name", "version", "source", "trained", "license", "domain"),
            *("variant", "digest", "source_digest", "checkpoint_digests", "config_digest", "exporter"),
            *("opset", "ir_version", "preprocessing", "parity"),
        ]
        assert (content["variant"], content["source_digest"]) == ("fp32", None)
        assert (content["schema"], content["role"], content["source"], content["trained"]) == (1, role, "tiny", False)
        assert "random weights" in content["name"]
        assert content["domain"] is None
        assert content["digest"] == file_digest(folder / "model.onnx")
        assert content["config_digest"] == file_digest(shipped_repository() / role / "config.pbtxt")
        family = next(path for path in (cache / "tiny").iterdir() if content["name"].startswith(_name_of(path)))
        for name, digest in content["checkpoint_digests"].items():
            assert digest == file_digest(family / name)
        assert "model.safetensors" in content["checkpoint_digests"]
        assert content["parity"]
        assert all(figure["relative"] <= figure["tolerance"] for figure in content["parity"])
        assert str(tiny_repository) not in json.dumps(content)


def _name_of(folder: Path) -> str:
    marker = json.loads((folder / "fashioncrop.json").read_text())
    return str(marker["name"])


@pytest.fixture
def request_for_int8(tiny_repository: Path, tmp_path: Path) -> Request:
    """A repository in which one model's fp32 engine is up to date."""
    role = Role.IMAGE_EMBEDDER
    prepare_repository(tmp_path / "repository")
    folder = engine_folder(tmp_path / "repository", role)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("model.json", "model.onnx"):
        shutil.copy2(engine_folder(tiny_repository, role) / name, folder / name)
    cache = tiny_checkpoints(tiny_repository)
    return Request("tiny", tmp_path / "repository", cache, (role,), variants=(Variant.INT8,))


def test_an_int8_engine_lies_beside_the_usual_one_with_an_identity_of_its_own(request_for_int8: Request) -> None:
    stages: list[Stage] = []
    usual, int8 = export(request_for_int8, lambda _role, stage: stages.append(stage))
    assert (usual.status, usual.variant) == ("up to date", Variant.FP32)
    assert (int8.status, int8.variant) == ("exported", Variant.INT8)
    assert stages == ["checkpoint", "up to date", "load", "quantise", "validate", "done"]
    folder = engine_folder(request_for_int8.repository, Role.IMAGE_EMBEDDER)
    assert sorted(contents(folder)) == ["model.int8.json", "model.int8.onnx", "model.json", "model.onnx"]
    identity = read_identity(folder, Variant.INT8)
    assert identity == int8.identity
    assert identity.digest == file_digest(folder / "model.int8.onnx") != usual.identity.digest
    assert identity.source_digest == usual.identity.digest
    assert identity.config_digest == file_digest(folder.parent / "configs" / "int8.pbtxt")
    assert (identity.name, identity.version) == (usual.identity.name, usual.identity.version)
    assert [result.status for result in export(request_for_int8)] == ["up to date", "up to date"]


INT8_CHANGES: dict[str, Callable[[Path], object]] = {
    "engine": lambda folder: (folder / "model.int8.onnx").write_bytes(b"not a graph"),
    "no engine": lambda folder: (folder / "model.int8.onnx").unlink(),
    "no identity": lambda folder: (folder / "model.int8.json").unlink(),
    "the other's identity": lambda folder: shutil.copy2(folder / "model.json", folder / "model.int8.json"),
    "configuration": lambda folder: (folder.parent / "configs" / "int8.pbtxt").write_text("# other\n"),
}


def test_an_int8_engine_of_something_else_is_made_again(request_for_int8: Request) -> None:
    folder = engine_folder(request_for_int8.repository, Role.IMAGE_EMBEDDER)
    _, first = export(request_for_int8)
    config = (folder.parent / "configs" / "int8.pbtxt").read_bytes()
    for change, spoil in INT8_CHANGES.items():
        spoil(folder)
        # What a request does first would put the shipped configuration back.
        is_current = is_variant_up_to_date(folder, Variant.INT8, folder.parent / "configs" / "int8.pbtxt")
        assert not is_current, change
        (folder.parent / "configs" / "int8.pbtxt").write_bytes(config)
        usual, int8 = export(request_for_int8)
        assert usual.status == "up to date"
        assert int8.status == ("up to date" if change == "configuration" else "exported"), change
        assert int8.identity.digest == first.identity.digest


def test_an_int8_engine_of_another_fp32_engine_is_made_again(request_for_int8: Request) -> None:
    folder = engine_folder(request_for_int8.repository, Role.IMAGE_EMBEDDER)
    export(request_for_int8)
    content = json.loads((folder / "model.int8.json").read_text())
    (folder / "model.int8.json").write_text(json.dumps({**content, "source_digest": "sha256:0"}))
    assert [result.status for result in export(request_for_int8)] == ["up to date", "exported"]


def test_an_int8_engine_that_answers_something_else_is_not_written(
    request_for_int8: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    def coarse(model: onnx.ModelProto, _exact: object) -> onnx.ModelProto:
        broken = onnx.ModelProto.FromString(model.SerializeToString())
        for tensor in broken.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2:
                rounded = np.sign(onnx.numpy_helper.to_array(tensor))
                tensor.CopyFrom(onnx.numpy_helper.from_array(rounded, tensor.name))
        return broken

    monkeypatch.setattr(making, "quantise", coarse)
    with pytest.raises(ParityError, match=r"image_embedder\.embedding: expected values within 0\.1 "):
        export(request_for_int8)
    folder = engine_folder(request_for_int8.repository, Role.IMAGE_EMBEDDER)
    assert sorted(contents(folder)) == ["model.json", "model.onnx"]


def test_a_model_without_an_int8_configuration_has_no_such_variant(request_for_one: Request) -> None:
    (result,) = export(replace(request_for_one, variants=(Variant.INT8,)))
    assert result.variant is Variant.FP32
    assert sorted(contents(folder_of(request_for_one))) == FILES
    config = request_for_one.repository / ROLE / "configs" / "int8.pbtxt"
    config.parent.mkdir(exist_ok=True)
    config.write_text((request_for_one.repository / ROLE / "config.pbtxt").read_text())
    with pytest.raises(ModelFileError, match=f"asks for an int8 engine of {ROLE}, and there is none"):
        export(replace(request_for_one, variants=(Variant.INT8,)))


def test_preprocessing_is_the_checkpoints_own(tiny_repository: Path) -> None:
    def preprocessing(role: Role) -> object:
        return json.loads((engine_folder(tiny_repository, role) / "model.json").read_text())["preprocessing"]

    assert preprocessing(Role.GARMENT_DETECTOR) == {"shortest_edge": 224, "longest_edge": 373, "resample": "bilinear"}
    assert preprocessing(Role.IMAGE_EMBEDDER) == {
        "shortest_edge": 224,
        "crop_hw": [224, 224],
        "resample": "bicubic",
    }
    assert preprocessing(Role.DEPTH_ESTIMATOR) == {
        "height": 126,
        "width": 126,
        "keep_aspect_ratio": True,
        "multiple_of": 14,
        "resample": "bicubic",
    }
    assert preprocessing(Role.VOCABULARY_ENCODER) == {
        "max_tokens": 256,
        "tokenizer": "tokenizer.json",
        "lowercase": True,
    }
    assert preprocessing(Role.TEXT_EMBEDDER) == {"max_tokens": 77, "tokenizer": "tokenizer.json"}
