"""Where a server is full: found in a sweep of clients, and in a sweep of request rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NEARLY = 0.95
"""A server is full from the first point that reaches this share of the most that was measured; and a rate is held
where this share of it was answered."""


@dataclass(frozen=True)
class Point:
    """One point of a sweep.

    Attributes:
        offered: clients, or requests a second.
        per_second: answers.
        p50_ms: half of the answers took no longer.
        p99_ms: 99 of 100.
    """

    offered: float
    per_second: float
    p50_ms: float
    p99_ms: float


def saturation(points: Sequence[Point]) -> Point:
    """The fewest clients with which (nearly) as much is answered as with any number.

    Raises:
        ValueError: there are no points.
    """
    if not points:
        raise ValueError("a sweep without points has no saturation")
    most = max(point.per_second for point in points)
    return min((point for point in points if point.per_second >= NEARLY * most), key=lambda point: point.offered)


def held(points: Sequence[Point]) -> Point | None:
    """The highest rate up to which every rate of the sweep was (nearly) answered; None where not even the lowest was.

    What lies above a rate that was not held does not count: it was held by luck.
    """
    best = None
    for point in sorted(points, key=lambda point: point.offered):
        if point.per_second < NEARLY * point.offered:
            break
        best = point
    return best
