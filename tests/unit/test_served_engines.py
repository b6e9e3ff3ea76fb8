"""An answer names the engine that the server loaded, not the one that usually serves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tritonclient.grpc import model_config_pb2

from fashioncrop.model_repository import Role, read_config, shipped_repository
from identity import read_engine
from served_engines import config_name_of_server, served_file

ROLE = "image_embedder"
INT8 = b"int8 weights"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One model with an int8 engine beside the usual one."""
    folder = tmp_path / ROLE / "1"
    folder.mkdir(parents=True)
    about = {"role": ROLE, "name": "clip", "version": "1", "digest": "sha256:usual", "source": "full", "trained": True}
    (folder / "model.json").write_text(json.dumps(about))
    (folder / "model.int8.onnx").write_bytes(INT8)
    (folder / "model.int8.json").write_text(json.dumps({"source_digest": "sha256:usual"}))
    (tmp_path / ROLE / "configs").mkdir()
    (tmp_path / ROLE / "configs" / "int8.pbtxt").write_text('default_model_filename: "model.int8.onnx"\n')
    return tmp_path


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["/opt/tritonserver/bin/tritonserver", "--model-config-name=int8", "--id=x"], "int8"),
        (["tritonserver", "--model-config-name", "int8"], "int8"),
        (["tritonserver", "--id=x"], ""),
        (["tritonserver", "--model-config-name="], ""),
        (["python3", "serve.py", "--model-config-name=int8"], None),
    ],
)
def test_the_servers_command_line_tells_the_configuration(tmp_path: Path, words: list[str], name: str | None) -> None:
    file = tmp_path / "cmdline"
    file.write_bytes("".join(f"{word}\0" for word in words).encode())
    assert config_name_of_server(file) == name


def test_here_no_server_is_the_parent(tmp_path: Path) -> None:
    assert config_name_of_server() is None
    assert config_name_of_server(tmp_path / "missing") is None


def test_another_variant_has_a_digest_of_its_own(repository: Path) -> None:
    usual, int8 = read_engine(repository, ROLE), read_engine(repository, ROLE, "int8")
    assert (usual.identity["digest"], usual.identity["variant"]) == ("sha256:usual", "")
    digest = f"sha256:{hashlib.sha256(INT8).hexdigest()}"
    assert (int8.identity["digest"], int8.identity["variant"]) == (digest, "int8")
    assert int8.identity["name"] == usual.identity["name"]


def test_a_model_without_that_configuration_is_served_as_usual(repository: Path) -> None:
    assert read_engine(repository, ROLE, "tensorrt").identity == read_engine(repository, ROLE).identity


def test_a_variant_of_an_engine_that_was_replaced_is_refused(repository: Path) -> None:
    path = repository / ROLE / "1" / "model.json"
    path.write_text(path.read_text().replace("sha256:usual", "sha256:new"))
    assert read_engine(repository, ROLE).identity["digest"] == "sha256:new"
    with pytest.raises(ValueError, match=r"made of another model\.onnx .*; run fashioncrop-export with its --variant"):
        read_engine(repository, ROLE, "int8")


def test_a_variant_that_is_missing_is_named(repository: Path) -> None:
    (repository / ROLE / "1" / "model.int8.onnx").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.int8\.onnx cannot be read .*; run fashioncrop-export"):
        read_engine(repository, ROLE, "int8")


def test_without_a_server_above_several_engines_are_one_too_many(repository: Path) -> None:
    with pytest.raises(ValueError, match=r"several engines, .* Remove model\.int8\.onnx"):
        read_engine(repository, ROLE, None)
    (repository / ROLE / "1" / "model.int8.onnx").unlink()
    assert read_engine(repository, ROLE, None).identity == read_engine(repository, ROLE).identity


@pytest.mark.parametrize("path", sorted(shipped_repository().glob("*/configs/*.pbtxt")), ids=lambda path: path.stem)
def test_file_names_are_read_as_triton_reads_them(path: Path) -> None:
    model, name = path.parents[1], path.stem
    config: model_config_pb2.ModelConfig = read_config(shipped_repository(), Role(model.name), name)
    assert served_file(model, name) == config.default_model_filename != "model.onnx"
