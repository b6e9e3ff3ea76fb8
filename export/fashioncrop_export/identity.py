"""`model.json`: what an engine was made from, so that every answer can name it and nothing is made twice.

Each variant has one of its own beside its engine (`model.int8.json`), and so a digest of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fashioncrop.model_repository import Role
from fashioncrop_export.checkpoints import Checkpoint, Source, file_digest
from fashioncrop_export.variants import Variant

IDENTITY_FILE = Variant.FP32.identity_file
ENGINE_FILE = Variant.FP32.engine_file
TOKENIZER_FILE = "tokenizer.json"
_ROLES_WITH_TOKENIZER = frozenset({Role.VOCABULARY_ENCODER, Role.TEXT_EMBEDDER})
# Modules of this package that say where checkpoints come from and what the user reads, not what an engine is.
_WITHOUT_A_SAY = frozenset(
    {
        *("__main__.py", "cli.py", "errors.py", "hub.py", "quiet.py", "shipped.py", "sources.py"),
        *("random_detector.py", "random_weights.py", "small_tokenizers.py"),
    }
)
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
        domain: what it was trained on, where that is less than photos in general.
        variant: how it computes.
        digest: of the engine.
        source_digest: of the fp32 engine that another variant was made from.
        checkpoint_digests: of the files it was made from, by name.
        config_digest: of the configuration it was checked against.
        exporter: versions of the packages that made it, and as `export_source` the digest of this package's own.
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
    domain: str | None = None
    variant: Variant = Variant.FP32
    digest: str
    source_digest: str | None = None
    checkpoint_digests: dict[str, str]
    config_digest: str
    exporter: dict[str, str]
    opset: int
    ir_version: int
    preprocessing: dict[str, Any]
    parity: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """The file's content."""
        content = self.model_dump(mode="json")
        return {"schema": content.pop("schema_"), **content}


def read_identity(folder: Path, variant: Variant = Variant.FP32) -> ModelIdentity | None:
    """The identity beside an engine, None where there is none that this version could have written."""
    try:
        content = json.loads((folder / variant.identity_file).read_text(encoding="utf-8"))
        identity = ModelIdentity.model_validate({"schema_": content.pop("schema"), **content})
    except (OSError, ValueError, KeyError, AttributeError, TypeError, ValidationError):
        return None
    return identity if identity.variant is variant else None


def write_identity(identity: ModelIdentity, folder: Path) -> None:
    """Write `model.json`, or the variant's own, into `folder`."""
    content = json.dumps(identity.to_json(), indent=2) + "\n"
    (folder / identity.variant.identity_file).write_text(content, encoding="utf-8")


def files_of(role: Role, variant: Variant = Variant.FP32) -> tuple[str, ...]:
    """The names of an engine's files, its identity last. Other variants read the fp32 engine's tokeniser."""
    has_tokenizer = variant is Variant.FP32 and role in _ROLES_WITH_TOKENIZER
    return (*((TOKENIZER_FILE,) if has_tokenizer else ()), variant.engine_file, variant.identity_file)


def replace_engine(role: Role, new: Path, folder: Path, variant: Variant = Variant.FP32) -> None:
    """Move the files of an engine out of `new`, which is on the same disk, over those in `folder`.

    The identity goes last: an interruption between two of these leaves one that no longer fits its engine, and the next
    export starts over.
    """
    for name in files_of(role, variant):
        os.replace(new / name, folder / name)  # noqa: PTH105 - the atomic one, by its own name


def export_source() -> str:
    """Digest of the modules of this package that decide what an engine is."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.name not in _WITHOUT_A_SAY:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"sha256:{digest.hexdigest()}"


def exporter_versions() -> dict[str, str]:
    """What an export depends on beside its checkpoint and configuration; packages that are not here are left out."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**versions, "export_source": export_source()}


def is_whole(identity: ModelIdentity, folder: Path, checkpoint: Checkpoint) -> bool:
    """Whether `identity` is of this checkpoint, and the files in `folder` are all there and the engine is its own."""
    return (
        identity.checkpoint_digests == checkpoint.digests
        and (identity.name, identity.version, identity.source)
        == (checkpoint.name, checkpoint.version, checkpoint.source)
        and all((folder / name).is_file() for name in files_of(Role(identity.role)))
        and identity.digest == file_digest(folder / ENGINE_FILE)
    )


def is_up_to_date(role: Role, folder: Path, checkpoint: Checkpoint, config: Path) -> bool:
    """Whether the engine in `folder` is what an export from this checkpoint would write again."""
    identity = read_identity(folder)
    return (
        identity is not None
        and identity.role == role
        and identity.config_digest == file_digest(config)
        and identity.exporter == exporter_versions()
        and is_whole(identity, folder, checkpoint)
    )


def is_variant_up_to_date(folder: Path, variant: Variant, config: Path) -> bool:
    """Whether a variant's engine is what would be made again of the fp32 engine beside it, which is up to date."""
    identity, source = read_identity(folder, variant), read_identity(folder)
    return (
        identity is not None
        and source is not None
        and identity.source_digest == source.digest
        and identity.config_digest == file_digest(config)
        and identity.exporter == exporter_versions()
        and (folder / variant.engine_file).is_file()
        and identity.digest == file_digest(folder / variant.engine_file)
    )
