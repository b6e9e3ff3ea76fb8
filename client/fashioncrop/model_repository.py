"""Where the Triton model repository is, and what its configurations declare.

A model's interface (tensor names, types, dims, batch) is written once, in its `config.pbtxt`; export, client and tests
read it here, through Triton's own protobuf.
"""

from __future__ import annotations

import os
import shutil
from enum import StrEnum
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from fashioncrop.errors import ModelFileError

PIPELINE = "fashion_pipeline"
_INSIDE_WHEEL = Path(__file__).parent / "_model_repository"


class Role(StrEnum):
    """The models that are written by export; the value is the folder's and the model's name."""

    VOCABULARY_ENCODER = "vocabulary_encoder"
    GARMENT_DETECTOR = "garment_detector"
    IMAGE_EMBEDDER = "image_embedder"
    TEXT_EMBEDDER = "text_embedder"
    DEPTH_ESTIMATOR = "depth_estimator"


def shipped_repository() -> Path:
    """The repository that came with this package: the checkout's own, or the copy inside an installed wheel."""
    return _INSIDE_WHEEL if _INSIDE_WHEEL.is_dir() else Path(__file__).parents[2] / "model_repository"


def default_repository() -> Path:
    """Where engines are written and served from when nobody says otherwise.

    In a checkout the repository itself; for an installed package, whose own folder may not be writable,
    `$XDG_DATA_HOME/fashioncrop/model_repository`.
    """
    if not _INSIDE_WHEEL.is_dir():
        return shipped_repository()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "fashioncrop" / "model_repository"


def prepare_repository(repository: Path) -> None:
    """Copy the configurations and the pipeline's code into `repository`, unless it is the shipped one.

    What is there already is overwritten, so that an updated package never serves an older pipeline; engines stay.

    Raises:
        ModelFileError: `repository` cannot be written.
    """
    shipped = shipped_repository()
    if repository.resolve() == shipped.resolve():
        return
    try:
        shutil.copytree(
            shipped,
            repository,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("*.onnx", "*.onnx.data", "*.plan", "*.json", "__pycache__"),
        )
    except OSError as error:
        raise ModelFileError(f"The model repository {repository} cannot be written: {error}.") from error


def engine_folder(repository: Path, role: Role) -> Path:
    """Where the role's engine, `model.json` and tokeniser are: version 1, the only one that export writes."""
    return repository / role / "1"


def read_config(repository: Path, model: str, config_name: str = "") -> model_config_pb2.ModelConfig:
    """Parse the model's configuration.

    Args:
        repository: the model repository.
        model: its name.
        config_name: prefer `configs/<config_name>.pbtxt` where it exists, as Triton's `--model-config-name` does.

    Raises:
        ModelFileError: the file is missing or is not a model configuration.
    """
    path = repository / model / "configs" / f"{config_name}.pbtxt"
    if not config_name or not path.is_file():
        path = repository / model / "config.pbtxt"
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}. Is {repository} a model repository?") from error
    except text_format.ParseError as error:
        raise ModelFileError(f"{path} is not a Triton model configuration: line {error}.") from error
