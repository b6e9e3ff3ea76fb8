"""How long each stage of a request took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Milliseconds by stage; stages may overlap and may be entered from several threads, each its own stage."""

    def __init__(self) -> None:
        self.started_s = time.perf_counter()
        self._stages_ms: dict[str, float] = {}

    def waited(self) -> None:
        """What has passed so far was stage `queue`: waiting for a free worker."""
        self._stages_ms["queue"] = (time.perf_counter() - self.started_s) * 1000

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the block as stage `name`."""
        start_s = time.perf_counter()
        try:
            yield
        finally:
            self._stages_ms[name] = (time.perf_counter() - start_s) * 1000

    def timings_ms(self) -> dict[str, float]:
        """Each finished stage, and `total` since the stopwatch was made."""
        total_ms = (time.perf_counter() - self.started_s) * 1000
        return {name: round(value, 3) for name, value in {**self._stages_ms, "total": total_ms}.items()}
