"""Is what is nearer found nearer? Only drawn scenes know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection_measures import share
from truths import Layers, Truth

HELD = frozenset({"bag", "umbrella"})
"""Nouns of what a person holds before the body."""
TOLD_APART = 0.05
"""Of the scene's depth from far (0) to near (1): about what a coat lies before a shirt. Garments nearer to each other
than this have no order that anybody could see."""


@dataclass(frozen=True)
class DepthOrder:
    """What came of one scene.

    Attributes:
        held_before_person: whether all that is held came out nearer than who holds it; None where nothing is held.
        person_before_background: whether everybody came out nearer than the background; None where there is none.
        boxes_right: pairs of garments whose answered medians (over boxes) have the right order.
        outlines_right: pairs of garments whose medians over their pixels have the right order.
        pairs: pairs of garments that have an order.
    """

    held_before_person: bool | None
    person_before_background: bool | None
    boxes_right: int
    outlines_right: int
    pairs: int


def depth_order(
    depth: NDArray[np.float32], layers: Layers, truths: Sequence[Truth], answered: Mapping[int, float]
) -> DepthOrder:
    """Compare a scene's depths with the truth.

    Args:
        depth: float32 [height, width], what was found, laid over the scene; larger is nearer.
        layers: the scene's own.
        truths: the scene's garments.
        answered: by index of the truth, `depth.median` of the garment in an answer to the true boxes.
    """
    background = layers.people == 0
    behind = float(np.median(depth[background])) if background.any() else None
    held = [index for index, truth in enumerate(truths) if truth.noun in HELD]
    bodies = {
        number: _median(depth, (layers.people == number) & ~np.isin(layers.labels, [index + 1 for index in held]))
        for number in sorted({int(number) for number in np.unique(layers.people)} - {0})
    }
    persons = [body for body in bodies.values() if body is not None]
    outlines = _medians(depth, layers, len(truths))
    before = [
        outlines[index] > body
        for index in held
        if index in outlines and (body := bodies.get(layers.wearers[index] + 1)) is not None
    ]
    pairs = _ordered_pairs(_medians(layers.depth, layers, len(truths)))
    return DepthOrder(
        held_before_person=all(before) if before else None,
        person_before_background=all(body > behind for body in persons) if persons and behind is not None else None,
        boxes_right=sum(near in answered and far in answered and answered[near] > answered[far] for near, far in pairs),
        outlines_right=sum(outlines[near] > outlines[far] for near, far in pairs),
        pairs=len(pairs),
    )


def _ordered_pairs(true: Mapping[int, float]) -> list[tuple[int, int]]:
    """Nearer and farther of each two garments that can be told apart, by indices of truths."""
    return [
        (one, other) if true[one] > true[other] else (other, one)
        for one, other in combinations(true, 2)
        if abs(true[one] - true[other]) > TOLD_APART
    ]


def _medians(depth: NDArray[np.float32], layers: Layers, count: int) -> dict[int, float]:
    """Median over each garment's pixels, by index of its truth."""
    medians = ((index, _median(depth, layers.labels == index + 1)) for index in range(count))
    return {index: median for index, median in medians if median is not None}


def _median(depth: NDArray[np.float32], where: NDArray[np.bool_]) -> float | None:
    return float(np.median(depth[where])) if where.any() else None


def depth_figures(many: Iterable[DepthOrder]) -> dict[str, Any]:
    """Shares of scenes and pairs as JSON values."""
    scenes = list(many)
    holding = [one for one in scenes if one.held_before_person is not None and one.person_before_background is not None]
    standing = [one for one in scenes if one.person_before_background is not None]
    pairs = sum(one.pairs for one in scenes)
    return {
        "scenes": len(scenes),
        "scenes_with_held": len(holding),
        "held_person_background": share(
            sum(bool(one.held_before_person and one.person_before_background) for one in holding), len(holding)
        ),
        "held_before_person": share(sum(bool(one.held_before_person) for one in holding), len(holding)),
        "person_before_background": share(sum(bool(one.person_before_background) for one in standing), len(standing)),
        "pairs": pairs,
        "garment_pairs_right_by_boxes": share(sum(one.boxes_right for one in scenes), pairs),
        "garment_pairs_right_by_outlines": share(sum(one.outlines_right for one in scenes), pairs),
    }
