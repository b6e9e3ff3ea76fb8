"""The layout in which every checkpoint comes, wherever it comes from, and the checks that need no torch.

::

    DIR/
    ├── grounding-dino/   vocabulary_encoder, garment_detector
    ├── clip/             image_embedder, text_embedder
    └── depth-anything/   depth_estimator

Each is a Hugging Face model folder: config.json, model.safetensors, preprocessor_config.json, tokeniser files. A folder
may say in `fashioncrop.json` what it is called and whether it was ever trained; folders that this project makes do.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import Role

MARKER_FILE = "fashioncrop.json"
WEIGHTS_FILE = "model.safetensors"
# What a checkpoint's identity is made of; everything else in a folder is left alone.
_IDENTITY_PATTERNS = ("*.json", "*.txt", "*.safetensors")
# Unpickling runs code from the file.
_PICKLE_PATTERNS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json")

Source: TypeAlias = Literal["full", "random", "tiny", "directory"]


class Family(StrEnum):
    """The three checkpoints; the value is the folder's name."""

    GROUNDING_DINO = "grounding-dino"
    CLIP = "clip"
    DEPTH_ANYTHING = "depth-anything"


FAMILY_OF_ROLE = {
    Role.VOCABULARY_ENCODER: Family.GROUNDING_DINO,
    Role.GARMENT_DETECTOR: Family.GROUNDING_DINO,
    Role.IMAGE_EMBEDDER: Family.CLIP,
    Role.TEXT_EMBEDDER: Family.CLIP,
    Role.DEPTH_ESTIMATOR: Family.DEPTH_ANYTHING,
}
# The exported graphs are written for these architectures; the values are `model_type` in config.json.
_MODEL_TYPES = {
    Family.GROUNDING_DINO: "grounding-dino",
    Family.CLIP: "clip",
    Family.DEPTH_ANYTHING: "depth_anything",
}
# Widths that the repository's configurations fix: (key in config.json, value).
_INTERFACE_WIDTHS = {Family.GROUNDING_DINO: ("d_model", 256), Family.CLIP: ("projection_dim", 512)}


@dataclass(frozen=True)
class Checkpoint:
    """One family's folder and where it came from.

    Attributes:
        family: which of the three.
        folder: holds the files.
        name: the model's public name.
        revision: the hub's commit, None elsewhere.
        source: which `--models` it is.
        trained: False for random weights.
        license: SPDX identifier, or "unknown".
    """

    family: Family
    folder: Path
    name: str
    revision: str | None
    source: Source
    trained: bool
    license: str

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of every file that matters, by file name."""
        files = {path.name: path for pattern in _IDENTITY_PATTERNS for path in self.folder.glob(pattern)}
        return {name: file_digest(files[name]) for name in sorted(files)}

    @property
    def version(self) -> str:
        """The hub's revision, elsewhere the first 12 digits of the weights' SHA-256."""
        return self.revision or self.digests[WEIGHTS_FILE].removeprefix("sha256:")[:12]

    def read_json(self, name: str) -> dict[str, Any]:
        """Parse one of the folder's JSON files.

        Raises:
            ModelFileError: the file is missing or is no JSON object.
        """
        return _read_json(self.folder / name)


def file_digest(path: Path) -> str:
    """`sha256:` and the hexadecimal digest of the file.

    Raises:
        ModelFileError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error


def directory_checkpoint(directory: Path, family: Family, *, source: Source = "directory") -> Checkpoint:
    """The family's folder inside `directory`, checked.

    Raises:
        ModelFileError: the folder is missing, incomplete or of another model.
    """
    folder = directory / family
    if not folder.is_dir():
        expected = ", ".join(f"{each.value}/" for each in Family)
        raise ModelFileError(f"{directory} has no folder {family.value}/; a checkpoint directory holds {expected}.")
    check_folder(folder, family)
    marker = _read_json(folder / MARKER_FILE) if (folder / MARKER_FILE).is_file() else {}
    fallback = f"{directory.resolve().name}/{family.value}"
    return Checkpoint(
        family=family,
        folder=folder,
        name=str(marker.get("name", fallback)),
        revision=None,
        source=source,
        trained=bool(marker.get("trained", True)),
        license=str(marker.get("license", "unknown")),
    )


def check_folder(folder: Path, family: Family) -> None:
    """Refuse what cannot be this family's checkpoint, without loading it.

    Raises:
        ModelFileError: says what was expected and what is there.
    """
    config = _read_json(folder / "config.json")
    expected, got = _MODEL_TYPES[family], config.get("model_type")
    if got != expected:
        raise ModelFileError(
            f"{folder / 'config.json'} is of another model: expected model_type {expected}, got {got}."
        )
    if family in _INTERFACE_WIDTHS:
        key, width = _INTERFACE_WIDTHS[family]
        # What transformers leaves out of config.json has its default, and the default of both is the right one.
        if config.get(key, width) != width:
            raise ModelFileError(f"{folder / 'config.json'}: expected {key} {width}, got {config[key]}.")
    _check_weights(folder)
    if family is not Family.DEPTH_ANYTHING and not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelFileError(f"{folder} has no tokeniser: expected tokenizer.json or a vocabulary file.")


def _check_weights(folder: Path) -> None:
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        pickles = sorted(path.name for pattern in _PICKLE_PATTERNS for path in folder.glob(pattern))
        if pickles:
            raise ModelFileError(
                f"{folder} has only pickled weights ({', '.join(pickles)}), which run code when they are loaded; "
                f"convert them to {WEIGHTS_FILE} on a machine that may run it."
            )
        raise ModelFileError(f"{folder} has no {WEIGHTS_FILE}.")
    size = weights.stat().st_size
    with weights.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        header = file.read(header_size) if header_size < size else b""
    # https://github.com/huggingface/safetensors#format: u64 header length, JSON header, data.
    try:
        tensors = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        end = max(entry["data_offsets"][1] for entry in tensors.values())
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelFileError(f"{weights} is not a safetensors file, or is truncated.") from error
    expected = 8 + header_size + end
    if size != expected:
        raise ModelFileError(f"{weights} is truncated or damaged: expected {expected} bytes, got {size}.")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ModelFileError(f"{path} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ModelFileError(f"{path} is not a JSON object.")
    return content
