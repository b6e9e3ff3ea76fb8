"""Exports roles one after the other: what is up to date is left alone, and a new engine replaces the old at once."""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import Role, engine_folder, prepare_repository, read_config
from fashioncrop_export import shipped
from fashioncrop_export.checkpoints import FAMILY_OF_ROLE, Checkpoint, Family
from fashioncrop_export.identity import (
    ModelIdentity,
    is_up_to_date,
    is_variant_up_to_date,
    read_identity,
    replace_engine,
)
from fashioncrop_export.sources import find_checkpoint
from fashioncrop_export.variants import Variant

if TYPE_CHECKING:
    from fashioncrop_export.graph_plan import GraphPlan
    from fashioncrop_export.originals import Originals


Stage: TypeAlias = Literal[
    "checkpoint", "load", "export", "clean", "quantise", "validate", "done", "up to date", "installed"
]
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
        variants: which to make beside fp32. Of these, int8 is made here, for the roles that have a configuration for
            it; TensorRT's are made from what is there then (`tensorrt_engines`).
    """

    models: str
    repository: Path
    cache: Path
    roles: tuple[Role, ...] = tuple(Role)
    revisions: Mapping[Family, str] | None = None
    force: bool = False
    variants: tuple[Variant, ...] = ()


@dataclass(frozen=True)
class Exported:
    """What became of one role.

    Attributes:
        role: the model.
        status: whether it was exported, found up to date, or copied from what comes with the project.
        seconds: how long it took.
        identity: the engine's `model.json`.
        variant: of the role's engines.
    """

    role: Role
    status: Literal["exported", "up to date", "installed"]
    seconds: float
    identity: ModelIdentity
    variant: Variant = Variant.FP32


def export(request: Request, progress: Progress = lambda _role, _stage: None) -> list[Exported]:
    """Export the requested roles.

    Raises:
        ModelFileError: a checkpoint, a configuration or the repository is not what it has to be.
        DownloadError: the hub cannot be reached or does not have the checkpoint.
        ParityError: a graph is not what it has to be; the engines written before it stay.
    """
    prepare_repository(request.repository)
    originals = _LoadedWhenNeeded()
    results = []
    for family, roles in _by_family(request.roles):
        progress(roles[0], "checkpoint")
        checkpoint = find_checkpoint(request.models, family, request.cache, request.revisions or {})
        for role in roles:
            results.append(_export_role(role, checkpoint, originals, request, progress))
            if Variant.INT8 in request.variants and (request.repository / role / Variant.INT8.config_file).is_file():
                results.append(_export_int8(role, checkpoint, originals, request, progress))
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


class _LoadedWhenNeeded:
    """The original models. torch and transformers take seconds to import: not before something has to be exported."""

    def __init__(self) -> None:
        self._originals: Originals | None = None

    def plan(self, role: Role, checkpoint: Checkpoint) -> GraphPlan:
        """Prepare the role's export."""
        from fashioncrop_export.originals import Originals  # noqa: PLC0415

        if self._originals is None:
            self._originals = Originals()
        plan: GraphPlan = importlib.import_module(f"fashioncrop_export.{role}").plan(checkpoint, self._originals)
        return plan


def _export_role(
    role: Role, checkpoint: Checkpoint, originals: _LoadedWhenNeeded, request: Request, progress: Progress
) -> Exported:
    start = time.monotonic()
    read_config(request.repository, role)
    there = None if request.force else _without_export(role, checkpoint, request.repository)
    if there is not None:
        status, identity = there
        progress(role, status)
        return Exported(role, status, time.monotonic() - start, identity)
    with _beside(role, request.repository) as beside:
        progress(role, "load")
        plan = originals.plan(role, checkpoint)
        from fashioncrop_export.making import make_fp32  # noqa: PLC0415 - now that it is loaded anyway

        identity = make_fp32(plan, checkpoint, request.repository, beside, lambda stage: progress(role, stage))
    progress(role, "done")
    return Exported(role, "exported", time.monotonic() - start, identity)


def _export_int8(
    role: Role, checkpoint: Checkpoint, originals: _LoadedWhenNeeded, request: Request, progress: Progress
) -> Exported:
    """Make the int8 engine of the fp32 engine that is there, whether exported or installed."""
    start = time.monotonic()
    folder, config = engine_folder(request.repository, role), request.repository / role / Variant.INT8.config_file
    known = read_identity(folder, Variant.INT8)
    if not request.force and known is not None and is_variant_up_to_date(folder, Variant.INT8, config):
        progress(role, "up to date")
        return Exported(role, "up to date", time.monotonic() - start, known, Variant.INT8)
    with _beside(role, request.repository, Variant.INT8) as beside:
        progress(role, "load")
        plan = originals.plan(role, checkpoint)
        from fashioncrop_export.making import make_int8  # noqa: PLC0415 - as in _export_role

        identity = make_int8(plan, checkpoint, request.repository, beside, lambda stage: progress(role, stage))
    progress(role, "done")
    return Exported(role, "exported", time.monotonic() - start, identity, Variant.INT8)


@contextmanager
def _beside(role: Role, repository: Path, variant: Variant = Variant.FP32) -> Iterator[Path]:
    """A folder for an engine's new files, which replace the old ones when the block ends well."""
    folder = engine_folder(repository, role)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as beside:
            yield Path(beside)
            replace_engine(role, Path(beside), folder, variant)
    except OSError as error:
        raise ModelFileError(f"{folder} cannot be written: {error}.") from error
