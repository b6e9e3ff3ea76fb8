from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from options import (
    DEFAULT_CROP_PADDING,
    DEFAULT_IOU_THRESHOLD,
    DEFAULT_MAX_GARMENTS,
    DEFAULT_SCORE_THRESHOLD,
    MOST_GARMENTS,
    Options,
    read_given_boxes,
    read_options,
    read_texts,
)
from problems import Code, ProblemError

SHARES = ("score_threshold", "iou_threshold", "crop_padding")
PHOTO_WH = (100, 80)
A_BOX = [10.0, 20.0, 30.0, 40.0]


def texts(*values: bytes) -> NDArray[Any]:
    array = np.empty(len(values), np.object_)
    array[:] = values
    return array


def given(boxes: list[list[float]], phrases: int | None = None, **more: NDArray[Any]) -> dict[str, NDArray[Any]]:
    count = len(boxes) if phrases is None else phrases
    return {
        "boxes_xyxy": np.asarray(boxes, np.float32).reshape(-1, 4),
        "box_phrases": texts(*[f"phrase {index}".encode() for index in range(count)]),
    } | more


def test_what_is_not_sent_has_its_default() -> None:
    assert read_options({}) == Options(
        DEFAULT_SCORE_THRESHOLD, DEFAULT_IOU_THRESHOLD, DEFAULT_CROP_PADDING, DEFAULT_MAX_GARMENTS
    )


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_a_share_from_0_to_1_is_taken(name: str, value: float) -> None:
    assert getattr(read_options({name: np.asarray([value], np.float32)}), name) == value


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("value", [-0.001, 1.001, np.nan, np.inf, -np.inf])
def test_a_share_outside_its_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(ProblemError, match=f"`{name}` must be a number from 0 to 1") as caught:
        read_options({name: np.asarray([value], np.float32)})
    assert caught.value.code is Code.INVALID_ARG


@pytest.mark.parametrize("value", [1, 7, MOST_GARMENTS])
def test_a_limit_within_its_range_is_taken(value: int) -> None:
    assert read_options({"max_garments": np.asarray([value], np.int32)}).max_garments == value


@pytest.mark.parametrize("value", [0, -1, MOST_GARMENTS + 1, -(2**31)])
def test_a_limit_outside_its_range_is_refused(value: int) -> None:
    with pytest.raises(ProblemError, match=f"from 1 to {MOST_GARMENTS}; got {value}"):
        read_options({"max_garments": np.asarray([value], np.int32)})


@pytest.mark.parametrize("name", [*SHARES, "max_garments"])
@pytest.mark.parametrize("count", [0, 2])
def test_an_option_is_one_number(name: str, count: int) -> None:
    with pytest.raises(ProblemError, match=f"`{name}` must be one number; got {count}"):
        read_options({name: np.ones(count, np.float32)})


def test_texts_are_utf_8() -> None:
    assert read_texts({}, "vocabulary") is None
    assert read_texts({"vocabulary": texts()}, "vocabulary") == []
    assert read_texts({"vocabulary": texts("치마".encode(), b"hat\x00")}, "vocabulary") == ["치마", "hat\x00"]
    assert read_texts({"vocabulary": np.asarray(["hat"], np.object_)}, "vocabulary") == ["hat"]
    with pytest.raises(ProblemError, match="Element 1 of `vocabulary` is not UTF-8") as caught:
        read_texts({"vocabulary": texts(b"hat", b"\xff\xfe")}, "vocabulary")
    assert caught.value.code is Code.INVALID_ARG


def test_without_boxes_there_is_something_to_detect() -> None:
    assert read_given_boxes({"vocabulary": texts(b"hat")}, PHOTO_WH) is None


def test_given_boxes_keep_their_order_phrases_and_scores() -> None:
    scores = np.asarray([0.25, 0.75], np.float32)
    answer = read_given_boxes(given([A_BOX, [0, 0, 100, 80]], box_scores=scores), PHOTO_WH)
    assert answer is not None
    found, phrases = answer
    assert found.boxes_xyxy.tolist() == [A_BOX, [0, 0, 100, 80]]
    assert found.scores.tolist() == [0.25, 0.75]
    assert found.phrase_ids.tolist() == [0, 1]
    assert phrases == ["phrase 0", "phrase 1"]


def test_given_boxes_without_scores_are_certain_and_are_cut_at_the_frame() -> None:
    answer = read_given_boxes(given([[-5, -5, 500, 40]]), PHOTO_WH)
    assert answer is not None
    assert answer[0].boxes_xyxy.tolist() == [[0, 0, 100, 40]]
    assert answer[0].scores.tolist() == [1]


def test_no_boxes_may_be_given() -> None:
    answer = read_given_boxes(given([]), PHOTO_WH)
    assert answer is not None
    assert answer[0].boxes_xyxy.shape == (0, 4)
    assert answer[1] == []


@pytest.mark.parametrize("phrases", [0, 1, 3])
def test_every_box_has_one_phrase(phrases: int) -> None:
    with pytest.raises(ProblemError, match=f"has 2 boxes, so `box_phrases` .* got {phrases}"):
        read_given_boxes(given([A_BOX, A_BOX], phrases), PHOTO_WH)


def test_boxes_without_phrases_are_refused() -> None:
    with pytest.raises(ProblemError, match=r"has 1 boxes, so `box_phrases` .* got none"):
        read_given_boxes({"boxes_xyxy": np.asarray([A_BOX], np.float32)}, PHOTO_WH)


@pytest.mark.parametrize("name", ["box_phrases", "box_scores"])
def test_what_describes_boxes_needs_boxes(name: str) -> None:
    sent = {"box_phrases": texts(b"hat"), "box_scores": np.ones(1, np.float32)}
    with pytest.raises(ProblemError, match="`boxes_xyxy`, which is missing"):
        read_given_boxes({name: sent[name]}, PHOTO_WH)


def test_a_vocabulary_beside_boxes_is_refused() -> None:
    with pytest.raises(ProblemError, match="Send one of the two"):
        read_given_boxes(given([A_BOX], vocabulary=texts(b"hat")), PHOTO_WH)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (1, 4, 1), (0, 5)])
def test_boxes_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ProblemError, match=r"must be \[boxes, 4\]"):
        read_given_boxes({"boxes_xyxy": np.zeros(shape, np.float32), "box_phrases": texts()}, PHOTO_WH)


def test_too_many_boxes_are_refused() -> None:
    assert read_given_boxes(given([A_BOX] * MOST_GARMENTS), PHOTO_WH) is not None
    with pytest.raises(ProblemError, match=f"at most {MOST_GARMENTS}"):
        read_given_boxes(given([A_BOX] * (MOST_GARMENTS + 1)), PHOTO_WH)


@pytest.mark.parametrize("scores", [[], [0.5], [0.5, 0.5, 0.5]])
def test_every_box_has_one_score(scores: list[float]) -> None:
    with pytest.raises(ProblemError, match=f"`box_scores` must have as many; got {len(scores)}"):
        read_given_boxes(given([A_BOX] * 2, box_scores=np.asarray(scores, np.float32)), PHOTO_WH)


@pytest.mark.parametrize("score", [-0.1, 1.1, np.nan, np.inf])
def test_a_score_outside_its_range_is_refused(score: float) -> None:
    with pytest.raises(ProblemError, match="`box_scores` must be numbers from 0 to 1"):
        read_given_boxes(given([A_BOX] * 2, box_scores=np.asarray([0.5, score], np.float32)), PHOTO_WH)


@pytest.mark.parametrize(
    "box",
    [
        [30, 20, 10, 40],
        [10, 40, 30, 20],
        [30, 40, 10, 20],
        [10, 20, 10, 40],
        [100, 0, 120, 80],
        [-20, 0, 0, 80],
        [0, 80, 100, 90],
        [np.nan, 20, 30, 40],
        [10, 20, 30, np.nan],
        [0, 0, np.inf, 40],
        [-np.inf, 0, 30, 40],
    ],
)
def test_a_box_without_a_part_inside_the_photo_is_refused_by_its_number(box: list[float]) -> None:
    with pytest.raises(ProblemError, match=r"^Box 1 \(.*\) has no part inside the photo of 100 x 80 pixels") as caught:
        read_given_boxes(given([A_BOX, box]), PHOTO_WH)
    assert caught.value.code is Code.INVALID_ARG
