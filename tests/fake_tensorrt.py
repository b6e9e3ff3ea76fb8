"""TensorRT's Python interface as far as this project uses it, without a GPU behind it.

Names, arguments and answers are those of the bindings 10.13.3 and 11.4.0 (their docstrings); an engine is the graph's
digest and its profiles. What a real TensorRT makes of a graph cannot be seen here.
"""

# ruff: noqa: ANN401 - the real one has no types either
from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any


class Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2


class ILogger:
    Severity: type[IntEnum] = Severity

    def log(self, severity: IntEnum, message: str) -> None:
        raise NotImplementedError


class IProgressMonitor:
    pass


@dataclass
class Profile:
    shapes: dict[str, tuple[Sequence[int], ...]] = field(default_factory=dict)

    def set_shape(self, name: str, low: Sequence[int], usual: Sequence[int], high: Sequence[int]) -> None:
        self.shapes[name] = (low, usual, high)


@dataclass
class Config:
    """What a build was asked for."""

    limits: dict[str, int] = field(default_factory=dict)
    profiles: list[Profile] = field(default_factory=list)
    progress_monitor: Any = None
    timing_cache: Any = None
    refused_cache: bool = False

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.limits[pool] = size

    def add_optimization_profile(self, profile: Profile) -> int:
        if any(
            low > high for shapes in profile.shapes.values() for low, high in zip(shapes[0], shapes[2], strict=True)
        ):
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, content: bytes) -> Any:
        return SimpleNamespace(content=content, serialize=lambda: b"timings")

    def set_timing_cache(self, cache: Any, *, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache.content not in (b"", b"timings"):
            self.refused_cache = True
            return False
        self.timing_cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self.timing_cache


def make(version: str, *, fails: str = "") -> Any:  # noqa: C901 - a module is many small things
    """The module `tensorrt` of a version.

    Args:
        version: as `tensorrt.__version__`.
        fails: `parse`, `build` or `builder`: what goes wrong.
    """
    configs: list[Config] = []
    flags: list[int] = []

    class OnnxParser:
        def __init__(self, network: Any, logger: ILogger) -> None:
            self.network, self.logger = network, logger
            self.num_errors = 0

        def parse_from_file(self, path: str) -> bool:
            self.network.graph = Path(path).read_bytes()
            self.num_errors = int(fails == "parse")
            return fails != "parse"

        def get_error(self, place: int) -> Any:
            return SimpleNamespace(desc=lambda: f"node {place} is not supported")

    class Builder:
        def __init__(self, logger: ILogger) -> None:
            if fails == "builder":
                raise TypeError("pybind11::init(): factory function returned nullptr")
            self.logger = logger

        def create_network(self, flag: int) -> Any:
            flags.append(flag)
            return SimpleNamespace(graph=b"")

        def create_builder_config(self) -> Config:
            configs.append(Config())
            return configs[-1]

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: Any, config: Config) -> bytes | None:
            monitor = config.progress_monitor
            monitor.phase_start("Building Engine", None, 2)
            assert monitor.step_complete("Building Engine", 0)
            monitor.phase_finish("Building Engine")
            if fails == "build":
                self.logger.log(Severity.WARNING, "something is slow")
                self.logger.log(Severity.ERROR, "out of memory")
                return None
            shapes = [profile.shapes for profile in config.profiles]
            return json.dumps([hashlib.sha256(network.graph).hexdigest(), shapes]).encode()

    module: Any = ModuleType("tensorrt")
    module.__version__ = version
    module.ILogger, module.IProgressMonitor = ILogger, IProgressMonitor
    module.OnnxParser, module.Builder = OnnxParser, Builder
    module.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
    # EXPLICIT_BATCH is gone in 11; STRONGLY_TYPED is still there and without effect.
    numbers = {"STRONGLY_TYPED": 0} if version.startswith("11") else {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}
    module.NetworkDefinitionCreationFlag = SimpleNamespace(**numbers)
    module.configs, module.flags = configs, flags
    return module
