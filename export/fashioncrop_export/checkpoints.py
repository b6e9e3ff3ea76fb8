"""The layout in which every checkpoint comes, wherever it comes from, and the checks that need no torch.

::

    DIR/
    ├── grounding-dino/   vocabulary_encoder, garment_detector
    ├── clip/             image_embedder, text_embedder
    └── depth-anything/   depth_estimator

Each is a Hugging Face model folder: config.json, model.safetensors, preprocessor_config.json, tokeniser files. A folder
may say in `fashioncrop.json` what it is called, whether it was ever trained and on what; folders that this project
makes do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
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

Source: TypeAlias = Literal["full", "random", "tiny", "paperdoll", "directory"]


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
# Sizes that the repository's configurations fix. A narrower detector fills its text features up with zeros.
TEXT_WIDTH = 256
_CROP_SIDE = 224
_EMBEDDING_WIDTH = 512
# `torch.nn.GroupNorm(32, d_model)` behind the backbone.
_NORM_GROUPS = 32


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
        domain: what it was trained on, where that is less than photos in general; None where it is not.
    """

    family: Family
    folder: Path
    name: str
    revision: str | None
    source: Source
    trained: bool
    license: str
    domain: str | None = None

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of every file that matters, by file name."""
        files = {path.name: path for pattern in _IDENTITY_PATTERNS for path in self.folder.glob(pattern)}
        return {name: file_digest(files[name]) for name in sorted(files)}

    @property
    def version(self) -> str:
        """The hub's revision, elsewhere the first 12 digits of the weights' SHA-256."""
        return self.revision or self.digests[WEIGHTS_FILE].removeprefix("sha256:")[:12]

    @cached_property
    def has_half_weights(self) -> bool:
        """Whether weights are stored in fp16."""
        return any(tensor.get("dtype") == "F16" for tensor in _stored_tensors(self.folder / WEIGHTS_FILE).values())

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
    fallback = f"paperdoll {family}" if source == "paperdoll" else f"{directory.resolve().name}/{family}"
    return Checkpoint(
        family=family,
        folder=folder,
        name=str(marker.get("name", fallback)),
        revision=None,
        source=source,
        trained=bool(marker.get("trained", True)),
        license=str(marker.get("license", "unknown")),
        domain=str(marker["domain"]) if marker.get("domain") else None,
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
    unfit = list(_unfit(family, config))
    if unfit:
        raise ModelFileError(f"{folder / 'config.json'}: {'; '.join(unfit)}.")
    _check_weights(folder)
    if family is not Family.DEPTH_ANYTHING and not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelFileError(f"{folder} has no tokeniser: expected tokenizer.json or a vocabulary file.")


def _unfit(family: Family, config: Mapping[str, Any]) -> Iterator[str]:
    """What in config.json the graphs cannot take, a clause each.

    What transformers leaves out of config.json has its default, which is the published model's value.
    """
    if family is Family.CLIP:
        width = config.get("projection_dim", _EMBEDDING_WIDTH)
        if width != _EMBEDDING_WIDTH:
            yield f"expected projection_dim {_EMBEDDING_WIDTH}, got {width}"
        side = (config.get("vision_config") or {}).get("image_size", _CROP_SIDE)
        if side != _CROP_SIDE:
            yield f"expected image_size {_CROP_SIDE} in vision_config (the patches may be of any size), got {side}"
    if family is Family.GROUNDING_DINO:
        width = config.get("d_model", TEXT_WIDTH)
        if width not in range(_NORM_GROUPS, TEXT_WIDTH + 1, _NORM_GROUPS):
            yield f"expected d_model as a multiple of {_NORM_GROUPS} and at most {TEXT_WIDTH}, got {width}"
        for key, wanted in (("position_embedding_type", "sine"), ("two_stage", True)):
            if config.get(key, wanted) != wanted:
                yield f"expected {key} {wanted}, got {config[key]}"
        backbone = config.get("backbone_config") or {}
        if backbone.get("model_type", "swin") != "swin" or backbone.get("use_absolute_embeddings", False):
            yield "expected a Swin without absolute position embeddings as backbone_config"


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
    _stored_tensors(weights)


def _stored_tensors(weights: Path) -> dict[str, dict[str, Any]]:
    """The header of a complete safetensors file: each tensor's dtype, shape and place.

    https://github.com/huggingface/safetensors#format: u64 header length, JSON header, data.
    """
    size = weights.stat().st_size
    with weights.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        header = file.read(header_size) if header_size < size else b""
    try:
        tensors = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        end = max(entry["data_offsets"][1] for entry in tensors.values())
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelFileError(f"{weights} is not a safetensors file, or is truncated.") from error
    expected = 8 + header_size + end
    if size != expected:
        raise ModelFileError(f"{weights} is truncated or damaged: expected {expected} bytes, got {size}.")
    return tensors


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
