"""`model.json`: what an engine was made from, so that every answer can name it and nothing is made twice."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fashioncrop_export.checkpoints import Checkpoint, Source, file_digest

IDENTITY_FILE = "model.json"
ENGINE_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
# Whose version changes what comes out of an export.
_PACKAGES = ("fashioncrop", "onnx", "onnxruntime", "tokenizers", "torch", "transformers")


class ModelIdentity(BaseModel):
    """The content of `model.json`.

    Attributes:
        schema_: version of this layout; `schema` in the file.
        role: the repository's model.
        name: the model's public name.
        version: the hub's revision, or a short digest of the weights.
        source: which `--models` it came from.
        trained: False for random weights, whose answers mean nothing.
        license: SPDX identifier of the weights, or "unknown".
        digest: of `model.onnx`.
        checkpoint_digests: of the files it was made from, by name.
        config_digest: of the `config.pbtxt` it was checked against.
        exporter: versions of the packages that made it, and the digest of this package's source.
        opset: of the graph.
        ir_version: of the file.
        preprocessing: what has to happen before the graph.
        parity: how close it was to the original, a dictionary a case and output.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal[1] = 1
    role: str
    name: str
    version: str
    source: Source
    trained: bool
    license: str
    digest: str
    checkpoint_digests: dict[str, str]
    config_digest: str
    exporter: dict[str, str]
    opset: int
    ir_version: int
    preprocessing: dict[str, Any]
    parity: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """The file's content."""
        content = self.model_dump()
        return {"schema": content.pop("schema_"), **content}


def read_identity(folder: Path) -> ModelIdentity | None:
    """The identity beside an engine, None where there is none that this version could have written."""
    try:
        content = json.loads((folder / IDENTITY_FILE).read_text(encoding="utf-8"))
        return ModelIdentity.model_validate({"schema_": content.pop("schema"), **content})
    except (OSError, ValueError, KeyError, AttributeError, TypeError, ValidationError):
        return None


def exporter_versions() -> dict[str, str]:
    """What an export depends on beside its checkpoint and configuration."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return {**{package: version(package) for package in _PACKAGES}, "export_source": f"sha256:{digest.hexdigest()}"}


def is_up_to_date(folder: Path, checkpoint: Checkpoint, config: Path, *, needs_tokenizer: bool) -> bool:
    """Whether the engine in `folder` is what an export from this checkpoint would write again."""
    identity = read_identity(folder)
    if identity is None or not (folder / ENGINE_FILE).is_file():
        return False
    if needs_tokenizer and not (folder / TOKENIZER_FILE).is_file():
        return False
    return (
        identity.checkpoint_digests == checkpoint.digests
        and identity.config_digest == file_digest(config)
        and identity.exporter == exporter_versions()
        and (identity.name, identity.version, identity.source)
        == (checkpoint.name, checkpoint.version, checkpoint.source)
        and identity.digest == file_digest(folder / ENGINE_FILE)
    )
