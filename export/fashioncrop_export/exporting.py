"""Exports roles one after the other: what is up to date is left alone, and a new engine replaces the old at once."""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import Role, engine_folder, prepare_repository, read_config
from fashioncrop_export import shipped
from fashioncrop_export.checkpoints import FAMILY_OF_ROLE, Checkpoint, Family, file_digest
from fashioncrop_export.identity import (
    ENGINE_FILE,
    TOKENIZER_FILE,
    ModelIdentity,
    exporter_versions,
    files_of,
    is_up_to_date,
    read_identity,
    replace_engine,
    write_identity,
)
from fashioncrop_export.sources import find_checkpoint

if TYPE_CHECKING:
    from fashioncrop_export.originals import Originals


Stage: TypeAlias = Literal["checkpoint", "load", "export", "clean", "validate", "done", "up to date", "installed"]
# The role, what begins, and nothing else: who shows it takes the time.
Progress: TypeAlias = Callable[[Role, Stage], None]


@dataclass(frozen=True)
class Request:
    """What to export where.

    Attributes:
        models: `full`, `random`, `tiny`, `paperdoll` or a directory.
        repository: the Triton model repository to write into.
        cache: where random weights are kept.
        roles: which models; those that share a checkpoint are exported together.
        revisions: hub revisions that replace the pinned ones.
        force: export even what is up to date or comes with the project.
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
        status: whether it was exported, found up to date, or copied from what comes with the project.
        seconds: how long it took.
        identity: the engine's `model.json`.
    """

    role: Role
    status: Literal["exported", "up to date", "installed"]
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
            read_config(request.repository, role)
            there = None if request.force else _without_export(role, checkpoint, request.repository)
            if there is not None:
                status, identity = there
                progress(role, status)
                results.append(Exported(role, status, time.monotonic() - start, identity))
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


def _without_export(
    role: Role, checkpoint: Checkpoint, repository: Path
) -> tuple[Literal["up to date", "installed"], ModelIdentity] | None:
    """Leave alone what is up to date, or copy what comes with the project; None where neither will do."""
    folder = engine_folder(repository, role)
    config = repository / role / "config.pbtxt"
    known = read_identity(folder)
    if known is not None and is_up_to_date(role, folder, checkpoint, config):
        return "up to date", known
    identity = shipped.fitting(role, checkpoint, config)
    if identity is None:
        return None
    if shipped.is_installed(role, identity, folder):
        return "up to date", identity
    shipped.install(role, identity, folder)
    return "installed", identity


def _originals() -> Originals:
    # torch and transformers take seconds to import: not before it is known that something has to be exported.
    from fashioncrop_export.originals import Originals  # noqa: PLC0415

    return Originals()


def _export_role(
    role: Role, checkpoint: Checkpoint, originals: Originals, repository: Path, progress: Progress
) -> ModelIdentity:
    import onnx  # noqa: PLC0415 - see _originals

    from fashioncrop_export.half_storage import store_in_half  # noqa: PLC0415
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
            if checkpoint.has_half_weights:
                store_in_half(model)
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
                domain=checkpoint.domain,
                digest=file_digest(engine),
                checkpoint_digests=checkpoint.digests,
                config_digest=file_digest(repository / role / "config.pbtxt"),
                exporter=exporter_versions(),
                opset=opset_of(model),
                ir_version=model.ir_version,
                preprocessing=dict(plan.preprocessing),
                parity=[figure.to_json() for figure in figures],
            )
            if TOKENIZER_FILE in files_of(role):
                tokenizer_of(checkpoint).save(str(Path(beside) / TOKENIZER_FILE))
            write_identity(identity, Path(beside))
            replace_engine(role, Path(beside), folder)
    except OSError as error:
        raise ModelFileError(f"{folder} cannot be written: {error}.") from error
    return identity
