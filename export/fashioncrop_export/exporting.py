"""Exports roles one after the other: what is up to date is left alone, and a new engine replaces the old at once."""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import Role, engine_folder, prepare_repository, read_config
from fashioncrop_export.checkpoints import FAMILY_OF_ROLE, Checkpoint, Family, file_digest
from fashioncrop_export.identity import (
    ENGINE_FILE,
    IDENTITY_FILE,
    TOKENIZER_FILE,
    ModelIdentity,
    exporter_versions,
    is_up_to_date,
    read_identity,
)
from fashioncrop_export.sources import find_checkpoint

if TYPE_CHECKING:
    from fashioncrop_export.originals import Originals


Stage: TypeAlias = Literal["checkpoint", "load", "export", "clean", "validate", "done", "up to date"]
# The role, what begins, and nothing else: who shows it takes the time.
Progress: TypeAlias = Callable[[Role, Stage], None]

_ROLES_WITH_TOKENIZER = frozenset({Role.VOCABULARY_ENCODER, Role.TEXT_EMBEDDER})


@dataclass(frozen=True)
class Request:
    """What to export where.

    Attributes:
        models: `full`, `random`, `tiny` or a directory.
        repository: the Triton model repository to write into.
        cache: where random weights are kept.
        roles: which models; those that share a checkpoint are exported together.
        revisions: hub revisions that replace the pinned ones.
        force: export even what is up to date.
    """

    models: str
    repository: Path
    cache: Path
    roles: tuple[Role, ...] = tuple(Role)
    revisions: Mapping[Family, str] | None = None
    force: bool = False


@dataclass(frozen=True)
class Exported:
    """What became of one role.

    Attributes:
        role: the model.
        status: whether it was exported or found up to date.
        seconds: how long it took.
        identity: the engine's `model.json`.
    """

    role: Role
    status: Literal["exported", "up to date"]
    seconds: float
    identity: ModelIdentity


def export(request: Request, progress: Progress = lambda _role, _stage: None) -> list[Exported]:
    """Export the requested roles.

    Raises:
        ModelFileError: a checkpoint, a configuration or the repository is not what it has to be.
        DownloadError: the hub cannot be reached or does not have the checkpoint.
        ParityError: a graph is not what it has to be; the engines written before it stay.
    """
    prepare_repository(request.repository)
    originals: Originals | None = None
    results = []
    for family, roles in _by_family(request.roles):
        progress(roles[0], "checkpoint")
        checkpoint = find_checkpoint(request.models, family, request.cache, request.revisions or {})
        for role in roles:
            start = time.monotonic()
            folder = engine_folder(request.repository, role)
            config = request.repository / role / "config.pbtxt"
            read_config(request.repository, role)
            needs_tokenizer = role in _ROLES_WITH_TOKENIZER
            known = read_identity(folder)
            if (
                not request.force
                and known is not None
                and is_up_to_date(folder, checkpoint, config, needs_tokenizer=needs_tokenizer)
            ):
                progress(role, "up to date")
                results.append(Exported(role, "up to date", time.monotonic() - start, known))
                continue
            if originals is None:
                originals = _originals()
            identity = _export_role(role, checkpoint, originals, request.repository, progress)
            progress(role, "done")
            results.append(Exported(role, "exported", time.monotonic() - start, identity))
    return results


def _by_family(roles: Iterable[Role]) -> list[tuple[Family, list[Role]]]:
    grouped: dict[Family, list[Role]] = {}
    for role in roles:
        grouped.setdefault(FAMILY_OF_ROLE[role], []).append(role)
    return list(grouped.items())


def _originals() -> Originals:
    # torch and transformers take seconds to import: not before it is known that something has to be exported.
    from fashioncrop_export.originals import Originals  # noqa: PLC0415

    return Originals()


def _export_role(
    role: Role, checkpoint: Checkpoint, originals: Originals, repository: Path, progress: Progress
) -> ModelIdentity:
    import onnx  # noqa: PLC0415 - see _originals

    from fashioncrop_export.onnx_graph import clean, opset_of, trace  # noqa: PLC0415
    from fashioncrop_export.originals import tokenizer_of  # noqa: PLC0415
    from fashioncrop_export.validation import validate  # noqa: PLC0415

    folder = engine_folder(repository, role)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as beside:
            engine = Path(beside) / ENGINE_FILE
            progress(role, "load")
            plan = importlib.import_module(f"fashioncrop_export.{role}").plan(checkpoint, originals)
            progress(role, "export")
            model = trace(plan)
            progress(role, "clean")
            clean(plan, model)
            onnx.save(model, str(engine))
            progress(role, "validate")
            figures = validate(plan, engine, read_config(repository, role))
            identity = ModelIdentity(
                role=role.value,
                name=checkpoint.name,
                version=checkpoint.version,
                source=checkpoint.source,
                trained=checkpoint.trained,
                license=checkpoint.license,
                digest=file_digest(engine),
                checkpoint_digests=checkpoint.digests,
                config_digest=file_digest(repository / role / "config.pbtxt"),
                exporter=exporter_versions(),
                opset=opset_of(model),
                ir_version=model.ir_version,
                preprocessing=dict(plan.preprocessing),
                parity=[figure.to_json() for figure in figures],
            )
            written = [ENGINE_FILE]
            if role in _ROLES_WITH_TOKENIZER:
                tokenizer_of(checkpoint).save(str(Path(beside) / TOKENIZER_FILE))
                written.insert(0, TOKENIZER_FILE)
            content = json.dumps(identity.to_json(), indent=2) + "\n"
            (Path(beside) / IDENTITY_FILE).write_text(content, encoding="utf-8")
            # The identity last: an interruption between two of these leaves one that no longer fits its engine, and
            # the next export starts over.
            for name in (*written, IDENTITY_FILE):
                os.replace(Path(beside) / name, folder / name)  # noqa: PTH105 - the atomic one, by its own name
    except OSError as error:
        raise ModelFileError(f"{folder} cannot be written: {error}.") from error
    return identity
