"""Makes the engines of a repository: first every graph, which needs no GPU, then every engine, which does."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
import onnxruntime

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import Role, engine_folder, read_config
from fashioncrop.plans import SCHEMA, Machine, problem
from fashioncrop_export.checkpoints import file_digest
from fashioncrop_export.identity import ENGINE_FILE, ModelIdentity
from fashioncrop_export.photos.feeds import Feed, Feeder
from fashioncrop_export.photos.sources import PhotoSource
from fashioncrop_export.tensorrt_engines.building import build_engine
from fashioncrop_export.tensorrt_engines.calibration import calibration_feeds
from fashioncrop_export.tensorrt_engines.errors import TensorRTError, TensorRTMissingError
from fashioncrop_export.tensorrt_engines.files import FINGERPRINT_FILE, GRAPH_FILE, PLAN_FILE
from fashioncrop_export.tensorrt_engines.library import load_tensorrt, machine_with
from fashioncrop_export.tensorrt_engines.mixed_precision import WHOLLY_FP32, mix_precision
from fashioncrop_export.tensorrt_engines.parser_rules import parser_problems
from fashioncrop_export.tensorrt_engines.plain_graph import make_plain
from fashioncrop_export.tensorrt_engines.profiles import profiles_of
from fashioncrop_export.tensorrt_engines.ranges import largest_magnitudes

# The role, what is going on, and seconds since it began; no words when it is done.
Progress: TypeAlias = Callable[[Role, str, float], None]
_MADE_FROM, _PRECISION = "fashioncrop.made_from", "fashioncrop.precision"
_SHOWN_PROBLEMS = 5


@dataclass(frozen=True)
class EngineRequest:
    """What to build.

    Attributes:
        models: as `--models` was given, for the sentence that says how to build again.
        repository: holds the FP32 engines.
        cache: where TensorRT's timings are kept.
        calibration: photos to see how large values become.
        roles: which models.
        force: build even what is up to date.
    """

    models: str
    repository: Path
    cache: Path
    calibration: PhotoSource
    roles: tuple[Role, ...] = tuple(Role)
    force: bool = False


@dataclass(frozen=True)
class ExportedEngine:
    """What became of one role.

    Attributes:
        role: the model.
        status: whether it was built or found up to date.
        seconds: how long it took.
        fingerprint: the content of `model.tensorrt.json`.
    """

    role: Role
    status: Literal["exported", "up to date"]
    seconds: float
    fingerprint: dict[str, Any]


def export_engines(
    request: EngineRequest, progress: Progress = lambda _role, _words, _seconds: None
) -> list[ExportedEngine]:
    """Write graphs and engines beside the FP32 engines, each at once.

    Raises:
        ModelFileError: an FP32 engine is missing, or a file cannot be written.
        TensorRTError: TensorRT is missing, or does not take a graph. The graphs that were written stay.
    """
    feeder = Feeder(request.repository)
    for role in request.roles:
        _make_graph(request, role, feeder, progress)
    try:
        tensorrt = load_tensorrt()
        machine = machine_with(tensorrt)
    except TensorRTMissingError as error:
        raise TensorRTMissingError(
            f"{error} The graphs are ready ({GRAPH_FILE} of {', '.join(request.roles)}); only the engines are missing."
        ) from error
    return [_make_engine(request, role, feeder, tensorrt, machine, progress) for role in request.roles]


def _make_graph(request: EngineRequest, role: Role, feeder: Feeder, progress: Progress) -> None:
    begin = time.monotonic()
    folder = engine_folder(request.repository, role)
    made_from = _made_from(feeder.identity(role), request.calibration, role)
    if not request.force and _metadata(folder / GRAPH_FILE).get(_MADE_FROM) == made_from:
        return
    progress(role, "calibrating", 0.0)
    model = onnx.load(str(folder / ENGINE_FILE))
    make_plain(model)
    last: list[Feed] = []

    def feeds() -> Iterator[Feed]:
        every = calibration_feeds(role, request.calibration, feeder, request.repository)
        for place, feed in enumerate(every, start=1):
            progress(role, f"calibrating: photo {place}", time.monotonic() - begin)
            last[:] = [feed]
            yield feed

    largest = {} if role in WHOLLY_FP32 else largest_magnitudes(model, feeds())
    progress(role, "mixing precision", time.monotonic() - begin)
    precision = mix_precision(model, role, largest)
    problems = parser_problems(model)
    if problems:
        raise TensorRTError(
            f"TensorRT's parser would not take {role}: {'; '.join(problems[:_SHOWN_PROBLEMS])}"
            f"{f' and {len(problems) - _SHOWN_PROBLEMS} more' if len(problems) > _SHOWN_PROBLEMS else ''}."
        )
    onnx.helper.set_model_props(model, {_MADE_FROM: made_from, _PRECISION: json.dumps(asdict(precision))})
    with _beside(folder) as beside:
        path = beside / GRAPH_FILE
        onnx.save(model, str(path))
        for feed in last:
            _check_finite(role, path, feed)
        os.replace(path, folder / GRAPH_FILE)  # noqa: PTH105 - the atomic one, by its own name
    progress(role, "", time.monotonic() - begin)


def _made_from(identity: ModelIdentity, calibration: PhotoSource, role: Role) -> str:
    """Everything that decides what the graph is."""
    digest = hashlib.sha256(identity.digest.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    if role not in WHOLLY_FP32:
        for photo in calibration:
            digest.update(photo.name.encode() + b"\0" + photo.image.tobytes())
    return f"sha256:{digest.hexdigest()}"


def _metadata(path: Path) -> dict[str, str]:
    """What was written into a graph about itself; nothing where it cannot be read."""
    try:
        model = onnx.load(str(path))
    except Exception:  # noqa: BLE001 - protobuf's own errors for damage, OSError for absence: it is made again
        return {}
    return {entry.key: entry.value for entry in model.metadata_props}


def _check_finite(role: Role, path: Path, feed: Feed) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    for name, value in zip(names, session.run(None, dict(feed)), strict=True):
        if not np.isfinite(value).all():
            raise TensorRTError(f"{role}.{name} is not finite in mixed precision; please report this.")


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A folder on the same disk, gone afterwards; a full disk is named."""
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as beside:
            yield Path(beside)
    except OSError as error:
        raise ModelFileError(f"{folder} cannot be written: {error}.") from error


def _make_engine(
    request: EngineRequest,
    role: Role,
    feeder: Feeder,
    tensorrt: Any,  # noqa: ANN401 - its Python package has no types
    machine: Machine,
    progress: Progress,
) -> ExportedEngine:
    begin = time.monotonic()
    folder = engine_folder(request.repository, role)
    graph = folder / GRAPH_FILE
    identity = feeder.identity(role)
    model = onnx.load(str(graph))
    profiles = profiles_of(model, role, read_config(request.repository, role), identity.preprocessing)
    precision = {entry.key: entry.value for entry in model.metadata_props}[_PRECISION]
    del model
    expected = {"graph_digest": file_digest(graph), "profiles": [profile.to_json() for profile in profiles]}
    known = _fingerprint(folder)
    if not request.force and problem(folder, machine) is None and {key: known.get(key) for key in expected} == expected:
        return ExportedEngine(role, "up to date", time.monotonic() - begin, known)

    def on_step(phase: str, done: int, steps: int, seconds: float) -> None:
        progress(role, f"building: {phase} {done}/{steps}", seconds)

    progress(role, "building", 0.0)
    built = build_engine(tensorrt, graph, profiles, machine, request.cache, on_step)
    fingerprint = {
        "schema": SCHEMA,
        "role": role.value,
        "models": request.models,
        "name": identity.name,
        "version": identity.version,
        "trained": identity.trained,
        "digest": f"sha256:{hashlib.sha256(built.plan).hexdigest()}",
        "source_digest": identity.digest,
        **expected,
        "gpu": machine.gpu,
        "compute_capability": machine.compute_capability,
        "tensorrt": machine.tensorrt,
        "precision": json.loads(precision),
        "seconds": round(built.seconds, 1),
    }
    write_engine(folder, built.plan, fingerprint)
    progress(role, "", time.monotonic() - begin)
    return ExportedEngine(role, "exported", time.monotonic() - begin, fingerprint)


def write_engine(folder: Path, plan: bytes, fingerprint: dict[str, Any]) -> None:
    """Write engine and fingerprint beside what is there, then put them in its place, the fingerprint last.

    An interruption between the two leaves an engine that its fingerprint does not tell of, which nobody serves.

    Raises:
        ModelFileError: the disk is full, or the folder cannot be written.
    """
    with _beside(folder) as beside:
        (beside / PLAN_FILE).write_bytes(plan)
        (beside / FINGERPRINT_FILE).write_text(json.dumps(fingerprint, indent=2) + "\n", encoding="utf-8")
        for name in (PLAN_FILE, FINGERPRINT_FILE):
            os.replace(beside / name, folder / name)  # noqa: PTH105 - as above


def _fingerprint(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / FINGERPRINT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
