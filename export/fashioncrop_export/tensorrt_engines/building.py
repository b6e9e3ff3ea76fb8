"""From a graph to an engine, with the time it takes in sight."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from fashioncrop.plans import Machine
from fashioncrop_export.tensorrt_engines.errors import TensorRTError
from fashioncrop_export.tensorrt_engines.files import TIMING_CACHE_FILE
from fashioncrop_export.tensorrt_engines.profiles import Profile

# What the builder is at, steps done, steps in all, and seconds since it began.
OnStep: TypeAlias = Callable[[str, int, int, float], None]
_SHOWN_ERRORS = 3
_WORKSPACE_BYTES = 8 * 2**30


@dataclass(frozen=True)
class Built:
    """An engine.

    Attributes:
        plan: the serialised engine.
        seconds: how long it took.
    """

    plan: bytes
    seconds: float


def build_engine(
    tensorrt: Any,  # noqa: ANN401 - its Python package has no types
    graph: Path,
    profiles: Sequence[Profile],
    machine: Machine,
    cache: Path,
    on_step: OnStep,
) -> Built:
    """Build a strongly typed engine.

    Args:
        tensorrt: the module.
        graph: an ONNX file whose types are what the engine computes in; FP32 may become TF32.
        profiles: the shapes to build for.
        machine: what it is built on, which names the timing cache.
        cache: folder of the timing cache.
        on_step: called as the builder goes on; by threads of its own.

    Raises:
        TensorRTError: the graph is refused, or no engine came of it.
    """
    begin = time.monotonic()
    logger = _logger(tensorrt)
    try:
        builder = tensorrt.Builder(logger)
        flag = getattr(tensorrt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        network = builder.create_network(0 if flag is None else 1 << int(flag))
        parser = tensorrt.OnnxParser(network, logger)
        if not parser.parse_from_file(str(graph)):
            errors = [str(parser.get_error(place).desc()) for place in range(parser.num_errors)]
            raise TensorRTError(f"TensorRT {tensorrt.__version__} does not take {graph}: {_shown(errors)}")
        config = builder.create_builder_config()
        config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
        monitor = _monitor(tensorrt, begin, on_step)  # has to outlive the build
        config.progress_monitor = monitor
        for profile in profiles:
            _add(builder, config, profile)
        timings = cache / TIMING_CACHE_FILE.format(
            version=machine.tensorrt, compute_capability=machine.compute_capability
        )
        _read_timings(config, timings)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise TensorRTError(
                f"TensorRT {tensorrt.__version__} could not build an engine from {graph}: {_shown(logger.errors)}"
            )
        _write_timings(config, timings)
    except (TypeError, RuntimeError) as error:  # what its bindings raise where the library returns nothing
        raise TensorRTError(f"TensorRT {tensorrt.__version__} failed: {error}. {_shown(logger.errors)}") from error
    return Built(bytes(plan), time.monotonic() - begin)


def _add(builder: Any, config: Any, profile: Profile) -> None:  # noqa: ANN401 - as above
    made = builder.create_optimization_profile()
    for name, (low, usual, high) in profile.shapes.items():
        made.set_shape(name, low, usual, high)
    if config.add_optimization_profile(made) < 0:
        raise TensorRTError(f"TensorRT does not take the shapes {profile.to_json()}.")


def _read_timings(config: Any, path: Path) -> None:  # noqa: ANN401 - as above
    """Use what was measured before; a file of another device or version is left out, and overwritten later."""
    try:
        known = path.read_bytes()
    except OSError:
        known = b""
    cache = config.create_timing_cache(known)
    if not config.set_timing_cache(cache, ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def _write_timings(config: Any, path: Path) -> None:  # noqa: ANN401 - as above
    measured = config.get_timing_cache()
    if measured is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_bytes(bytes(measured.serialize()))
    beside.replace(path)


def _shown(errors: Sequence[str]) -> str:
    return "; ".join(errors[-_SHOWN_ERRORS:]) or "it did not say why"


def _logger(tensorrt: Any) -> Any:  # noqa: ANN401 - as above
    class Logger(tensorrt.ILogger):  # type: ignore[misc]
        """Keeps what went wrong; the rest is what a progress bar says better."""

        def __init__(self) -> None:
            tensorrt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401 - as above
            if severity in (tensorrt.ILogger.Severity.ERROR, tensorrt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)

    return Logger()


def _monitor(tensorrt: Any, begin: float, on_step: OnStep) -> Any:  # noqa: ANN401 - as above
    class Monitor(tensorrt.IProgressMonitor):  # type: ignore[misc]
        """Tells of every phase and step; TensorRT calls it from several threads."""

        def __init__(self) -> None:
            tensorrt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, _parent: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps
            on_step(phase_name, 0, num_steps, time.monotonic() - begin)

        def step_complete(self, phase_name: str, step: int) -> bool:
            on_step(phase_name, step + 1, self.steps.get(phase_name, step + 1), time.monotonic() - begin)
            return True

        def phase_finish(self, phase_name: str) -> None:
            self.steps.pop(phase_name, None)

    return Monitor()
