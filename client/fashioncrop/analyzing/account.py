"""What one photo took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fashioncrop.results import Cost, Usage


class Account:
    """Adds up what paid models took, and remembers whether anybody was asked at all.

    Attributes:
        asked: True once a model was asked, paid or the server's own.
        timings_ms: of what happened outside of the server, in milliseconds.
    """

    def __init__(self) -> None:
        self._usages: list[Usage] = []
        self.asked = False
        self.timings_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what takes place inside `with`."""
        start_s = time.perf_counter()
        try:
            yield
        finally:
            self.timings_ms[name] = round((time.perf_counter() - start_s) * 1000, 3)

    def add(self, usage: Usage) -> None:
        """Count what a paid model took for one purpose."""
        self.asked = True
        if usage.calls:
            self._usages.append(usage)

    def cost(self) -> Cost | None:
        """The sum, one entry a model; None where no paid model was asked."""
        if not self._usages:
            return None
        models = dict.fromkeys(usage.model for usage in self._usages)
        usages = tuple(_sum([usage for usage in self._usages if usage.model == model]) for model in models)
        return Cost(usages=usages, dollars=_dollars(usages))


def _sum(usages: Sequence[Usage]) -> Usage:
    return Usage(
        model=usages[0].model,
        calls=sum(usage.calls for usage in usages),
        input_tokens=sum(usage.input_tokens for usage in usages),
        cached_input_tokens=sum(usage.cached_input_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        dollars=_dollars(usages),
    )


def _dollars(usages: Sequence[Usage]) -> float | None:
    known = [usage.dollars for usage in usages if usage.dollars is not None]
    return sum(known) if len(known) == len(usages) else None
