"""What is said of many numbers: percentiles, medians with their spread, ratios by round, growth over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MS = 1000
_WINDOW = 5
"""Growth compares the first with the last of so many equal windows."""


@dataclass(frozen=True)
class Latencies:
    """How long answers took, in milliseconds.

    A percentile is the smallest time that at least so many of the answers did not exceed: one that was measured, never
    one between two. With fewer than 100 answers p99 is therefore the slowest of them.

    Attributes:
        p50_ms: half of the answers took no longer.
        p95_ms: 95 of 100.
        p99_ms: 99 of 100.
        most_ms: the slowest.
        answers: how many there were.
    """

    p50_ms: float
    p95_ms: float
    p99_ms: float
    most_ms: float
    answers: int


@dataclass(frozen=True)
class Spread:
    """A number that was measured in several rounds.

    Attributes:
        median: of the rounds.
        least: of the rounds.
        most: of the rounds.
        rounds: how many there were.
    """

    median: float
    least: float
    most: float
    rounds: int

    def __str__(self) -> str:
        """`2.31 (2.28 to 2.40)`; without the brackets where there was one round."""
        if self.rounds == 1:
            return shown(self.median)
        return f"{shown(self.median)} ({shown(self.least)} to {shown(self.most)})"


def shown(value: float) -> str:
    """Three digits that matter, and never an exponent: `0.123`, `12.3`, `1234`."""
    if value == 0:
        return "0"
    digits = max(2 - int(np.floor(np.log10(abs(value)))), 0)
    return f"{value:.{min(digits, 6)}f}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` (0 to 1) of them do not exceed.

    Raises:
        ValueError: there are none, or one is not finite.
    """
    return float(np.quantile(_finite(values), share, method="inverted_cdf"))


def latencies(seconds: Sequence[float]) -> Latencies:
    """Percentiles of times in seconds.

    Raises:
        ValueError: as `percentile`.
    """
    p50, p95, p99, most = (round(percentile(seconds, share) * _MS, 3) for share in (0.5, 0.95, 0.99, 1.0))
    return Latencies(p50, p95, p99, most, len(seconds))


def spread(values: Sequence[float]) -> Spread:
    """Median and extremes.

    Raises:
        ValueError: as `percentile`.
    """
    finite = _finite(values)
    return Spread(float(np.median(finite)), float(finite.min()), float(finite.max()), len(finite))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """How many times theirs ours is, round by round: what slows the machine for a while slows both.

    Raises:
        ValueError: there are no rounds, not as many of both, or one of theirs is not above 0.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"rounds must come in pairs; there are {len(ours)} of ours and {len(theirs)} of theirs")
    if any(value <= 0 for value in theirs):
        raise ValueError("what is compared with must be above 0")
    return spread([one / other for one, other in zip(ours, theirs, strict=True)])


def growth(values: Sequence[float]) -> float:
    """By what share the last fifth of a series lies above its first fifth, medians compared; below 0 where it fell.

    Medians, so that one sample taken at a busy moment says nothing.

    Raises:
        ValueError: there are fewer than five values, one is not finite, or the first fifth is not above 0.
    """
    finite = _finite(values)
    if len(finite) < _WINDOW:
        raise ValueError(f"growth needs at least {_WINDOW} values; there are {len(finite)}")
    window = len(finite) // _WINDOW
    first, last = float(np.median(finite[:window])), float(np.median(finite[-window:]))
    if first <= 0:
        raise ValueError("growth is a share of the first values, which must be above 0")
    return last / first - 1


def _finite(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    array = np.asarray(values, np.float64).reshape(-1)
    if not len(array):
        raise ValueError("there is nothing to summarise")
    if not np.isfinite(array).all():
        raise ValueError("a number that is not finite cannot be summarised")
    return array
