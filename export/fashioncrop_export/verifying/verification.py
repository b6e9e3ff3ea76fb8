"""Verifies the engines of a repository against the checkpoint that they were made from."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import Role, engine_folder
from fashioncrop_export.checkpoints import FAMILY_OF_ROLE, Checkpoint, Family, file_digest
from fashioncrop_export.identity import read_identity
from fashioncrop_export.originals import Originals
from fashioncrop_export.photos.feeds import Feeder
from fashioncrop_export.photos.sources import PhotoSource
from fashioncrop_export.sources import find_checkpoint
from fashioncrop_export.tensorrt_engines.errors import EngineUnusableError
from fashioncrop_export.tensorrt_engines.files import GRAPH_FILE, PLAN_FILE
from fashioncrop_export.tensorrt_engines.running import PlanRunner, check_usable
from fashioncrop_export.variants import Variant
from fashioncrop_export.verifying.comparing import Original, compare, steps
from fashioncrop_export.verifying.gates import Engine, bounds
from fashioncrop_export.verifying.precision import require_pycocotools
from fashioncrop_export.verifying.report import Figure, PublishedFigure, Report, Skipped
from fashioncrop_export.verifying.runners import OnnxRunner, Runner

FILES = {
    Engine.FP32: Variant.FP32.engine_file,
    Engine.INT8: Variant.INT8.engine_file,
    Engine.MIXED: GRAPH_FILE,
    Engine.TENSORRT: PLAN_FILE,
}
_ENGINES_OF = {
    Variant.FP32: (Engine.FP32,),
    Variant.INT8: (Engine.INT8,),
    Variant.TENSORRT: (Engine.MIXED, Engine.TENSORRT),
}
# Role, engine ("original" while only the original runs), photos done, photos in all.
Progress: TypeAlias = Callable[[Role, int, int], None]


@dataclass(frozen=True)
class Verification:
    """What to verify.

    Attributes:
        models: the checkpoint that the engines were made from: `full`, `random`, `tiny`, `paperdoll` or a directory.
        repository: holds the engines.
        cache: where random weights are kept.
        photos: what to look at.
        roles: which models.
        variants: which of their engines; an empty tuple is every one that is there.
        revisions: hub revisions that replace the pinned ones.
    """

    models: str
    repository: Path
    cache: Path
    photos: PhotoSource
    roles: tuple[Role, ...] = tuple(Role)
    variants: tuple[Variant, ...] = ()
    revisions: Mapping[Family, str] | None = None


def verify_engines(
    wanted: Verification,
    progress: Progress = lambda _role, _done, _total: None,
    published: Callable[[Mapping[Role, Checkpoint]], Iterable[PublishedFigure]] = lambda _checkpoints: (),
) -> Report:
    """Compare every engine with the original, a role at a time.

    Args:
        wanted: what to verify.
        progress: called while it goes on.
        published: compares with figures that others published of these checkpoints; called last.

    Raises:
        ModelFileError: an engine is missing, or was made from another checkpoint.
        DeploymentError: pycocotools is missing, and the photos' truths are known.
    """
    if wanted.photos.has_truths and Role.GARMENT_DETECTOR in wanted.roles:
        require_pycocotools()
    feeder = Feeder(wanted.repository)
    originals = Originals()
    checkpoints: dict[Family, Checkpoint] = {}
    models: dict[Role, dict[str, Any]] = {}
    figures: list[Figure] = []
    skipped: list[Skipped] = []
    for role in sorted(wanted.roles, key=list(Role).index):
        family = FAMILY_OF_ROLE[role]
        if family not in checkpoints:
            checkpoints[family] = find_checkpoint(wanted.models, family, wanted.cache, wanted.revisions or {})
        checkpoint = checkpoints[family]
        identity = feeder.identity(role)
        _check_same(wanted.repository, role, feeder, checkpoint)
        models[role] = {
            "name": identity.name,
            "version": identity.version,
            "trained": identity.trained,
            "digest": identity.digest,
        }
        folder = engine_folder(wanted.repository, role)
        engines, left_out = _engines(role, folder, wanted.variants)
        if Engine.INT8 in engines:
            _check_int8(folder, identity.digest)
        skipped.extend(left_out)
        total, done = steps(role, len(engines), wanted.photos, feeder), 0

        def tick(role: Role = role, total: int = total) -> None:
            nonlocal done
            done += 1
            progress(role, done, total)

        def open_engine(engine: Engine, role: Role = role, folder: Path = folder) -> Runner:
            if engine is Engine.TENSORRT:
                return PlanRunner(folder)
            return OnnxRunner(folder / FILES[engine], tell_choice=role is Role.GARMENT_DETECTOR)

        progress(role, 0, total)
        original = Original(checkpoint, originals, role)
        for engine, values in compare(original, engines, open_engine, wanted.photos, feeder, tick):
            judged = bounds(role, engine, trained=identity.trained)
            measures = [*values, *(measure for measure in judged if measure not in values)]
            figures.extend(Figure(role, engine, one, values.get(one), judged.get(one)) for one in measures)
    by_role = {role: checkpoints[FAMILY_OF_ROLE[role]] for role in models}
    return Report(
        photos=wanted.photos.name,
        count=len(wanted.photos),
        models=models,
        figures=figures,
        skipped=skipped,
        published=tuple(published(by_role)),
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _check_same(repository: Path, role: Role, feeder: Feeder, checkpoint: Checkpoint) -> None:
    identity, folder = feeder.identity(role), engine_folder(repository, role)
    made_from, here = identity.checkpoint_digests, checkpoint.digests
    differing = sorted(name for name in {*made_from, *here} if made_from.get(name) != here.get(name))
    if differing:
        raise ModelFileError(
            f"{folder} was made from {identity.name} ({identity.version}); {checkpoint.name} ({checkpoint.version}) "
            f"differs in {', '.join(differing)}. Verify with the --models that it was exported with, or export again."
        )
    engine = folder / FILES[Engine.FP32]
    if engine.is_file() and file_digest(engine) != identity.digest:
        raise ModelFileError(f"{engine} is not the engine that model.json tells of. Run: fashioncrop-export --force")


def _check_int8(folder: Path, source_digest: str) -> None:
    known, engine = read_identity(folder, Variant.INT8), folder / FILES[Engine.INT8]
    if known is None or (known.source_digest, known.digest) != (source_digest, file_digest(engine)):
        raise ModelFileError(
            f"{engine} was not made from the model.onnx beside it. Run: fashioncrop-export --variant {Variant.INT8}"
        )


def _why_no_plan(folder: Path) -> str | None:
    """Why the engine beside a graph for TensorRT cannot be verified here; None where it can."""
    if not (folder / PLAN_FILE).is_file():
        return f"There is no {PLAN_FILE} yet, only the graph that it is built from."
    try:
        check_usable(folder)
    except EngineUnusableError as error:
        return str(error)
    return None


def _engines(role: Role, folder: Path, variants: tuple[Variant, ...]) -> tuple[list[Engine], list[Skipped]]:
    """Which of a role's engines can be verified here, and why the others cannot."""
    engines: list[Engine] = []
    skipped: list[Skipped] = []
    for variant in variants or tuple(Variant):
        there = [engine for engine in _ENGINES_OF[variant] if (folder / FILES[engine]).is_file()]
        reason = _why_no_plan(folder) if there and variant is Variant.TENSORRT else None
        if reason is not None:
            skipped.append(Skipped(role, Engine.TENSORRT, reason))
        engines.extend(engine for engine in there if engine is not Engine.TENSORRT or reason is None)
        config = folder.parent / variant.config_file
        if not there and variants and config.is_file():
            raise ModelFileError(
                f"{folder} has no {variant} engine ({variant.engine_file}). Run: fashioncrop-export --variant {variant}"
            )
    return engines, skipped
