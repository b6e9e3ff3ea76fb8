from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection_measures import Answered, Precision, Tally, average_precision, summed, tallies
from fashioncrop.results import Box
from truths import FoundBoxes, TrueBoxes, overlaps

Truths = Callable[..., TrueBoxes]
Founds = Callable[..., FoundBoxes]
A, B = (0.0, 0.0, 10.0, 20.0), (30.0, 5.0, 60.0, 45.0)


def boxes_of(rows: list[tuple[int, int, int, int]]) -> NDArray[np.float32]:
    """Corners from x, y, width, height."""
    return np.asarray([(x, y, x + width, y + height) for x, y, width, height in rows], np.float32).reshape(-1, 4)


@st.composite
def datasets(draw: st.DrawFn) -> list[TrueBoxes]:
    rows = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(1, 200), st.integers(1, 200))
    photos = draw(st.lists(st.lists(st.tuples(st.integers(0, 3), rows), max_size=6), min_size=1, max_size=5))
    return [
        TrueBoxes(
            boxes_of([row for _, row in photo]),
            np.asarray([category for category, _ in photo], np.int32),
            np.zeros(len(photo), np.bool_),
        )
        for photo in photos
    ]


def perfect(truth: TrueBoxes, seed: int) -> FoundBoxes:
    """Every truth found once, in a random order and with random scores."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(truth))
    return FoundBoxes(
        truth.boxes_xyxy[order], truth.categories[order], rng.uniform(0.1, 1, len(truth)).astype(np.float32)
    )


@given(datasets(), st.integers(0, 2**31))
def test_perfect_answers_score_one(dataset: list[TrueBoxes], seed: int) -> None:
    photos = [(truth, perfect(truth, seed)) for truth in dataset]
    overall, each = average_precision(photos, range(4))
    there = {int(category) for truth in dataset for category in truth.categories}
    for figures in [each[category] for category in there] + ([overall] if there else []):
        assert [figures.ap, figures.ap50, figures.ap75, figures.ar100] == pytest.approx([1] * 4)
    for category in set(range(4)) - there:
        assert each[category] == Precision(None, None, None, None, 0, 0)
    total = sum(summed(tallies(truth, found) for truth, found in photos).values(), Tally())
    assert total == Tally(right=sum(map(len, dataset)))
    assert overall.truths == overall.found == sum(map(len, dataset))


@given(datasets(), st.integers(0, 2**31))
def test_a_category_at_a_time_is_all_at_once(dataset: list[TrueBoxes], seed: int) -> None:
    rng = np.random.default_rng(seed)
    photos = []
    for truth in dataset:
        moved = truth.boxes_xyxy + rng.normal(0, 8, truth.boxes_xyxy.shape).astype(np.float32)
        moved = np.concatenate([np.minimum(moved[:, :2], moved[:, 2:]), np.maximum(moved[:, :2], moved[:, 2:]) + 1], 1)
        kept = np.concatenate([moved, moved[rng.random(len(moved)) < 0.5] + 1])
        found = FoundBoxes(
            kept.astype(np.float32),
            rng.integers(0, 4, len(kept)).astype(np.int32),
            rng.random(len(kept)).astype(np.float32),
        )
        photos.append((truth, found))
    if not any(map(len, dataset)):
        return
    overall, _ = average_precision(photos, range(4))
    assert [overall.ap, overall.ap50, overall.ap75, overall.ar100] == pytest.approx(whole(photos), abs=1e-12)


def whole(photos: list[Answered]) -> list[float]:
    """AP, AP50, AP75 and AR100 as COCO's own summary has them."""

    def entries(category: int, box: NDArray[np.float32], image: int) -> dict[str, Any]:
        x0, y0, x1, y1 = map(float, box)
        area = (x1 - x0) * (y1 - y0)
        return {
            "image_id": image,
            "category_id": category,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": area,
            "iscrowd": 0,
        }

    def coco(annotations: list[dict[str, Any]]) -> COCO:
        made = COCO()
        made.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(len(photos))],
            "categories": [{"id": category} for category in range(4)],
            "annotations": [{**one, "id": number} for number, one in enumerate(annotations, 1)],
        }
        made.createIndex()
        return made

    truths = [
        entries(int(category), box, image)
        for image, (truth, _) in enumerate(photos)
        for category, box in zip(truth.categories, truth.boxes_xyxy, strict=True)
    ]
    found = [
        {**entries(int(category), box, image), "score": float(score)}
        for image, (_, one) in enumerate(photos)
        for category, box, score in zip(one.categories, one.boxes_xyxy, one.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        judge = COCOeval(coco(truths), coco(found), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return [float(judge.stats[index]) for index in (0, 1, 2, 8)]


def ap50(truth: TrueBoxes, found: FoundBoxes, category: int = 0) -> float | None:
    return average_precision([(truth, found)], [category])[1][category].ap50


def test_swapped_coordinates_find_nothing(true_boxes: Truths, found_boxes: Founds) -> None:
    truth = true_boxes((0, B))
    assert ap50(truth, found_boxes((0, B, 0.9))) == pytest.approx(1)
    swapped = (B[1], B[0], B[3], B[2])
    as_xywh = (B[0], B[1], B[2] - B[0], B[3] - B[1])
    for wrong in (swapped, as_xywh):
        assert ap50(truth, found_boxes((0, wrong, 0.9))) == 0
        assert tallies(truth, found_boxes((0, wrong, 0.9)))[0] == Tally(wrong=1, missed=1)


def test_the_wrong_category_is_wrong_in_both(true_boxes: Truths, found_boxes: Founds) -> None:
    truth, found = true_boxes((0, A)), found_boxes((1, A, 0.9))
    overall, each = average_precision([(truth, found)], [0, 1])
    assert (each[0].ap, each[0].truths, each[0].found) == (0, 1, 0)
    assert (each[1].ap, each[1].truths, each[1].found) == (None, 0, 1)
    assert overall.ap == 0, "the mean is over categories that are there"
    assert tallies(truth, found) == {0: Tally(missed=1), 1: Tally(wrong=1)}


def test_a_garment_found_twice_is_once_wrong(true_boxes: Truths, found_boxes: Founds) -> None:
    truth = true_boxes((0, A), (0, B))
    found = found_boxes((0, A, 0.9), (0, A, 0.8), (0, B, 0.7))
    # Precision 1 up to recall 0.5, then 2/3: (51 * 1 + 50 * 2/3) / 101.
    assert ap50(truth, found) == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert tallies(truth, found)[0] == Tally(right=2, wrong=1)


def test_thresholds_of_overlap(true_boxes: Truths, found_boxes: Founds) -> None:
    found = found_boxes((0, (0.0, 0.0, 10.0, 12.0), 0.9))  # IoU 12 / 20 = 0.6 with A
    figures = average_precision([(true_boxes((0, A)), found)], [0])[1][0]
    assert figures.ap50 == pytest.approx(1)
    assert figures.ap75 == 0
    assert figures.ap == pytest.approx(0.3)  # 0.5, 0.55 and 0.6 of ten
    assert figures.ar100 == pytest.approx(0.3)
    assert tallies(true_boxes((0, A)), found)[0] == Tally(right=1)
    assert tallies(true_boxes((0, A)), found_boxes((0, (0.0, 0.0, 10.0, 9.0), 0.9)))[0] == Tally(wrong=1, missed=1)


def test_the_best_score_takes_what_it_fits_best(true_boxes: Truths, found_boxes: Founds) -> None:
    def high(pixels: float) -> Box:
        return (0.0, 0.0, 10.0, pixels)

    # 15 overlaps 9 by 0.6 and 20 by 0.75; 20 overlaps 9 by less than 0.5, so it has to choose first.
    truth = true_boxes((0, high(9)), (0, high(20)))
    assert tallies(truth, found_boxes((0, high(15), 0.5), (0, high(20), 0.9)))[0] == Tally(right=2)
    assert tallies(truth, found_boxes((0, high(15), 0.9), (0, high(20), 0.5)))[0] == Tally(right=1, wrong=1, missed=1)
    # 15 overlaps 11 by 0.73 and 20 by 0.75; 8 overlaps only 11.
    truth = true_boxes((0, high(11)), (0, high(20)))
    assert tallies(truth, found_boxes((0, high(15), 0.9), (0, high(8), 0.5)))[0] == Tally(right=2)


def test_overlaps_far_from_the_origin(true_boxes: Truths, found_boxes: Founds) -> None:
    truth = true_boxes((0, (100.0, 200.0, 110.0, 220.0)), (0, (0.0, 0.0, 1000.0, 1000.0)), crowds=[1])
    found = found_boxes((0, (105.0, 200.0, 115.0, 220.0), 0.9), (0, (995.0, 0.0, 1005.0, 10.0), 0.9))
    assert overlaps(found, truth) == pytest.approx(np.asarray([[1 / 3, 1.0], [0.0, 0.5]]))
    assert overlaps(found_boxes(), truth).shape == (0, 2)
    assert overlaps(found, true_boxes()).shape == (2, 0)


def test_photos_are_not_mixed(true_boxes: Truths, found_boxes: Founds) -> None:
    photos = [(true_boxes((0, A)), found_boxes((0, B, 0.9))), (true_boxes((0, B)), found_boxes((0, A, 0.9)))]
    assert average_precision(photos, [0])[0].ap50 == 0
    assert summed(tallies(truth, found) for truth, found in photos)[0] == Tally(wrong=2, missed=2)


def test_what_is_found_in_an_empty_photo_counts(true_boxes: Truths, found_boxes: Founds) -> None:
    photos = [(true_boxes((0, A)), found_boxes((0, A, 0.5))), (true_boxes(), found_boxes((0, A, 0.9)))]
    assert average_precision(photos, [0])[0].ap50 == pytest.approx(0.5)


def test_crowds_are_neither_missed_nor_wrong(true_boxes: Truths, found_boxes: Founds) -> None:
    crowd = (0.0, 0.0, 100.0, 100.0)
    truth = true_boxes((0, A), (0, crowd), crowds=[1])
    found = found_boxes((0, A, 0.9), (0, (50.0, 50.0, 60.0, 60.0), 0.95), (0, (200.0, 0.0, 210.0, 9.0), 0.3))
    assert tallies(truth, found)[0] == Tally(right=1, wrong=1)
    figures = average_precision([(truth, found)], [0])[1][0]
    assert figures.ap50 == pytest.approx(1)
    assert figures.truths == 1


def test_rates() -> None:
    tally = Tally(right=3, wrong=1, missed=2)
    assert (tally.precision, tally.recall) == (0.75, 0.6)
    assert tally.f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)
    assert (Tally(missed=1).precision, Tally(wrong=1).recall, Tally().f1) == (None, None, None)
    assert summed([{0: tally}, {0: tally, 1: Tally(wrong=1)}]) == {0: Tally(6, 2, 4), 1: Tally(wrong=1)}
