from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from depth_measures import DepthOrder, depth_figures, depth_order
from truths import Layers, Truth

BOX = (0.0, 0.0, 1.0, 1.0)
NOUNS = ("shirt", "bag", "scarf")
LABELS = np.asarray([[0, 0, 0, 0], [0, 1, 2, 0], [0, 1, 3, 0]], np.uint8)
PEOPLE = (LABELS > 0).astype(np.uint8)
TRUTHS = tuple(Truth(0, BOX, noun=noun) for noun in NOUNS)


def depth(background: float, shirt: float, bag: float, scarf: float) -> NDArray[np.float32]:
    return np.asarray([background, shirt, bag, scarf], np.float32)[LABELS]


TRUE = depth(0.1, 0.6, 0.9, 0.7)
LAYERS = Layers(TRUE, LABELS, PEOPLE, (0, 0, 0))


def test_the_truth_itself_is_right() -> None:
    order = depth_order(TRUE * 30 + 5, LAYERS, TRUTHS, {0: 6.0, 1: 9.0, 2: 7.0})
    assert order == DepthOrder(True, True, boxes_right=3, outlines_right=3, pairs=3)


def test_the_other_way_round_is_wrong() -> None:
    order = depth_order(-TRUE, LAYERS, TRUTHS, {0: -6.0, 1: -9.0, 2: -7.0})
    assert order == DepthOrder(False, False, boxes_right=0, outlines_right=0, pairs=3)
    flat = depth_order(np.zeros_like(TRUE), LAYERS, TRUTHS, dict.fromkeys(range(3), 0.0))
    assert flat == DepthOrder(False, False, boxes_right=0, outlines_right=0, pairs=3)


def test_each_step_is_told_apart() -> None:
    assert depth_order(depth(0.1, 0.6, 0.5, 0.6), LAYERS, TRUTHS, {}).held_before_person is False
    assert depth_order(depth(0.1, 0.6, 0.5, 0.6), LAYERS, TRUTHS, {}).person_before_background is True
    assert depth_order(depth(0.7, 0.6, 0.9, 0.6), LAYERS, TRUTHS, {}).held_before_person is True
    assert depth_order(depth(0.7, 0.6, 0.9, 0.6), LAYERS, TRUTHS, {}).person_before_background is False


def test_what_is_held_is_not_the_person() -> None:
    # The bag is most of what belongs to the person: with it in their median the person would be before the background.
    labels = np.asarray([[2, 2, 2, 2, 2, 1, 0]], np.uint8)
    layers = Layers(np.zeros(labels.shape, np.float32), labels, (labels > 0).astype(np.uint8), (0, 0))
    found = np.asarray([0.5, 0.2, 0.9], np.float32)[labels]
    order = depth_order(found, layers, TRUTHS[:2], {})
    assert (order.held_before_person, order.person_before_background) == (True, False)


def test_a_held_thing_is_compared_with_who_holds_it() -> None:
    labels = np.asarray([[1, 2, 3, 0]], np.uint8)
    people = np.asarray([[1, 2, 2, 0]], np.uint8)
    truths = [Truth(0, BOX, noun=noun) for noun in ("shirt", "coat", "umbrella")]
    found = np.asarray([[0.9, 0.4, 0.6, 0.1]], np.float32)  # behind the other person, before the own
    layers = Layers(found, labels, people, (0, 1, 1))
    assert depth_order(found, layers, truths, {}).held_before_person is True
    others = Layers(found, labels, people, (0, 1, 0))
    assert depth_order(found, others, truths, {}).held_before_person is False


def test_garments_at_one_distance_have_no_order() -> None:
    layers = Layers(depth(0.1, 0.6, 0.9, 0.64), LABELS, PEOPLE, (0, 0, 0))
    assert depth_order(TRUE, layers, TRUTHS, {}).pairs == 2


def test_nothing_held_and_nobody() -> None:
    shirts = [Truth(0, BOX, noun="shirt")] * 3
    assert depth_order(TRUE, LAYERS, shirts, {}).held_before_person is None
    empty = Layers(TRUE, np.zeros_like(LABELS), np.zeros_like(PEOPLE), ())
    assert depth_order(TRUE, empty, (), {}) == DepthOrder(None, None, 0, 0, 0)
    everywhere = Layers(TRUE, LABELS, np.ones_like(PEOPLE), (0, 0, 0))
    assert depth_order(TRUE, everywhere, TRUTHS, {}).person_before_background is None


def test_figures() -> None:
    figures = depth_figures(
        [
            DepthOrder(True, True, boxes_right=1, outlines_right=3, pairs=4),
            DepthOrder(True, False, boxes_right=0, outlines_right=0, pairs=0),
            DepthOrder(None, True, boxes_right=1, outlines_right=0, pairs=4),
        ]
    )
    assert figures == {
        "scenes": 3,
        "scenes_with_held": 2,
        "held_person_background": 0.5,
        "held_before_person": 1.0,
        "person_before_background": pytest.approx(2 / 3),
        "pairs": 8,
        "garment_pairs_right_by_boxes": 0.25,
        "garment_pairs_right_by_outlines": 0.375,
    }
