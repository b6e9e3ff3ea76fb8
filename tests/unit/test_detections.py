from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detections import SAME_PIXELS_IOU, Detections, from_queries, intersections, ious, selected, sigmoid, to_pixels
from vocabulary import Span


def detections(boxes: list[list[float]], scores: list[float], phrase_ids: list[int] | None = None) -> Detections:
    return Detections(
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(scores, np.float32),
        np.asarray(phrase_ids if phrase_ids is not None else [0] * len(scores), np.int32),
    )


def test_a_box_in_shares_becomes_corners_in_pixels() -> None:
    # centre at a quarter of the width and half of the height, 20 % wide, 40 % high, in a photo of 200 x 100
    got = to_pixels(np.asarray([[0.25, 0.5, 0.2, 0.4]], np.float32), (200, 100))
    np.testing.assert_allclose(got, [[30, 30, 70, 70]], atol=1e-4)


def test_a_box_over_the_frame_is_cut_at_it() -> None:
    got = to_pixels(np.asarray([[0.0, 1.0, 0.5, 0.5], [2.0, 2.0, 0.1, 0.1]], np.float32), (100, 80))
    np.testing.assert_allclose(got, [[0, 60, 25, 80], [100, 80, 100, 80]], atol=1e-4)


def test_iou_of_known_boxes() -> None:
    boxes = np.asarray([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 9]], np.float32)
    got = ious(boxes, boxes)
    assert got[0, 0] == 1
    assert got[0, 1] == pytest.approx(1 / 3)
    assert got[0, 2] == 0
    assert got[3, 3] == 0, "an empty box overlaps nothing, not even itself"
    assert intersections(boxes, boxes)[0, 1] == 50


def test_a_phrase_is_scored_by_its_own_tokens_only() -> None:
    # [CLS] red shirt . pants . [SEP]; the separators score highest, as they may
    logits = np.asarray([[9, 1, 2, 9, -1, 9, 9], [9, -3, -2, 9, 4, 9, 9]], np.float32)
    spans = (Span(3, 1, 3), Span(5, 4, 5))
    got = from_queries(logits, np.full((2, 4), 0.5, np.float32), spans, (10, 10))
    assert got.phrase_ids.tolist() == [3, 5]
    np.testing.assert_allclose(got.scores, sigmoid(np.asarray([2, 4], np.float32)))


def test_every_query_gets_its_best_phrase() -> None:
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(50, 40)).astype(np.float32)
    edges = np.sort(rng.choice(np.arange(1, 40), 20, replace=False)).reshape(-1, 2)
    spans = [Span(7 + index, int(start), int(stop)) for index, (start, stop) in enumerate(edges)]
    got = from_queries(logits, np.full((50, 4), 0.5, np.float32), spans, (10, 10))
    for query, row in enumerate(logits):
        best = {span.phrase_id: row[span.start : span.stop].max() for span in spans}
        assert got.phrase_ids[query] == max(best, key=lambda phrase_id: best[phrase_id])
        assert got.scores[query] == pytest.approx(float(sigmoid(np.asarray(max(best.values())))), abs=1e-6)


def test_the_sigmoid_is_exact_and_never_overflows() -> None:
    got = sigmoid(np.asarray([-10000, -5, 0, 5, 10000], np.float32))
    np.testing.assert_allclose(got, [0, 1 / (1 + np.e**5), 0.5, 1 / (1 + np.e**-5), 1], atol=1e-7)


def select(found: Detections, **changes: float) -> Detections:
    options = {"score_threshold": 0.1, "iou_threshold": 0.5, "max_garments": 300} | changes
    return selected(
        found,
        score_threshold=options["score_threshold"],
        iou_threshold=options["iou_threshold"],
        max_garments=int(options["max_garments"]),
    )


def test_the_threshold_itself_is_not_enough() -> None:
    found = detections([[0, 0, 5, 5], [10, 10, 15, 15]], [0.5, 0.50001])
    assert select(found, score_threshold=0.5).scores.tolist() == pytest.approx([0.50001])


def test_two_phrases_on_one_garment_leave_the_better_name_but_layers_stay() -> None:
    found = detections([[0, 0, 100, 100], [0, 0, 100, 99], [0, 0, 100, 80]], [0.6, 0.9, 0.5], [1, 2, 3])
    assert ious(found.boxes_xyxy[:1], found.boxes_xyxy[1:2])[0, 0] > SAME_PIXELS_IOU
    assert select(found).phrase_ids.tolist() == [2, 3]
    assert select(found, iou_threshold=1.0).phrase_ids.tolist() == [2, 1, 3], "1 keeps all"


def test_no_garment_is_an_answer() -> None:
    got = select(detections([], []))
    assert len(got) == 0
    assert got.boxes_xyxy.shape == (0, 4)


_boxes = st.lists(
    st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(1, 60), st.integers(1, 60), st.integers(1, 10_000)),
    min_size=1,
    max_size=40,
    unique_by=lambda item: item[4],  # equal scores may be ranked either way
)


@given(items=_boxes, iou_threshold=st.floats(0.05, 0.95))
def test_suppression_of_one_phrase_equals_opencvs(items: list[tuple[int, ...]], iou_threshold: float) -> None:
    rectangles = [item[:4] for item in items]
    scores = [item[4] / 10_000 for item in items]
    boxes = [[float(value) for value in (x, y, x + w, y + h)] for x, y, w, h in rectangles]
    pairs = ious(np.asarray(boxes, np.float32), np.asarray(boxes, np.float32))
    if (np.abs(pairs - iou_threshold) < 1e-4).any():
        return  # a tie with the threshold is decided by rounding
    theirs = cv2.dnn.NMSBoxes(rectangles, scores, 0.0, iou_threshold)
    ours = select(detections(boxes, scores), score_threshold=0.0, iou_threshold=iou_threshold)
    assert ours.boxes_xyxy.tolist() == [boxes[int(index)] for index in theirs]


@given(items=_boxes, most=st.integers(1, 5))
def test_the_limit_keeps_the_best(items: list[tuple[int, ...]], most: int) -> None:
    found = detections([[x, y, x + w, y + h] for x, y, w, h, _ in items], [item[4] / 10_000 for item in items])
    everything, limited = select(found), select(found, max_garments=most)
    assert limited.scores.tolist() == everything.scores[:most].tolist()
    assert sorted(everything.scores, reverse=True) == everything.scores.tolist()
