"""Outlines: float64 [n, 2] of x, y; closed unless said otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Point = tuple[float, float]

_TURN = np.linspace(0, 2 * np.pi, 37)[:-1]
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)
_HALF_TURN = np.linspace(np.pi / 2, 3 * np.pi / 2, 9)
_SHARES = np.linspace(0, 1, 19)
_STEPS = np.arange(4)[:, None] / 4
# Catmull-Rom's basis at those steps, [step, neighbour].
_SPLINE = np.hstack(
    [
        -0.5 * _STEPS + _STEPS**2 - 0.5 * _STEPS**3,
        1 - 2.5 * _STEPS**2 + 1.5 * _STEPS**3,
        0.5 * _STEPS + 2 * _STEPS**2 - 1.5 * _STEPS**3,
        -0.5 * _STEPS**2 + 0.5 * _STEPS**3,
    ]
)


def polygon(*corners: Point) -> Points:
    """Straight from corner to corner."""
    return np.array(corners, np.float64)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Points:
    """Its sides along the axes."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float64)


def rounded(x0: float, y0: float, x1: float, y1: float, radius: float) -> Points:
    """A rectangle with round corners."""
    centres = np.array(
        [(x1 - radius, y1 - radius), (x0 + radius, y1 - radius), (x0 + radius, y0 + radius), (x1 - radius, y0 + radius)]
    )
    turns = (np.arange(4)[:, None] + np.linspace(0, 1, 5)[None]) * (np.pi / 2)
    arcs = np.stack([np.cos(turns), np.sin(turns)], axis=2) * radius
    return np.asarray((centres[:, None] + arcs).reshape(-1, 2))


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> Points:
    """Centre, half axes, and a turn in radians."""
    points = (_CIRCLE if max(rx, ry) > 0.03 else _CIRCLE[::2]) * (rx, ry)
    if angle:
        cos, sin = np.cos(angle), np.sin(angle)
        points = points @ np.array([[cos, sin], [-sin, cos]])
    return np.asarray(points + np.array([x, y]))


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> Points:
    """Part of an ellipse from angle to angle (radians, clockwise from the right), open."""
    turn = start + (end - start) * _SHARES
    return np.stack([x + rx * np.cos(turn), y + ry * np.sin(turn)], axis=1)


def curve(*points: Point) -> Points:
    """A smooth line through the points (Catmull-Rom), open."""
    line = np.array(points, np.float64)
    padded = np.vstack([2 * line[0] - line[1], line, 2 * line[-1] - line[-2]])
    return np.vstack([_spline(padded), line[-1:]])


def smooth(*points: Point) -> Points:
    """A smooth outline through the points (Catmull-Rom)."""
    line = np.array(points, np.float64)
    return _spline(np.vstack([line[-1:], line, line[:2]]))


def _spline(padded: Points) -> Points:
    neighbours = np.stack([padded[:-3], padded[1:-2], padded[2:-1], padded[3:]], axis=1)
    return np.asarray((_SPLINE[None] @ neighbours).reshape(-1, 2))


def symmetric(half: Points | Sequence[Point]) -> Points:
    """The outline whose right half, from the top to the bottom, is given; the axis is x = 0."""
    right = np.asarray(half, np.float64)
    return np.vstack([right, right[::-1] * (-1, 1)])


def capsule(start: Point, end: Point, start_radius: float, end_radius: float, *, flat_end: bool = False) -> Points:
    """A limb: from one circle to another, without the second's cap where `flat_end`."""
    along = np.arctan2(end[1] - start[1], end[0] - start[0])
    turn = _HALF_TURN + along
    first = np.stack([np.cos(turn), np.sin(turn)], axis=1) * start_radius + start
    turn = (turn[[-1, 0]] if flat_end else turn) + (0 if flat_end else np.pi)
    last = np.stack([np.cos(turn), np.sin(turn)], axis=1) * end_radius + end
    return np.vstack([first, last])


def between(start: Point, end: Point, share: float) -> Point:
    """The point at that share of the way."""
    return (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)
