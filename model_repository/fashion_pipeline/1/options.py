"""What a request asks for, checked before any work begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detections import Detections, areas, clipped
from problems import refuse

Tensors = Mapping[str, NDArray[Any]]
"""A request's tensors by name; absent optional inputs are absent here."""

DEFAULT_SCORE_THRESHOLD = 0.35  # `box_threshold` of GroundingDINO's own demo
DEFAULT_IOU_THRESHOLD = 0.7
DEFAULT_CROP_PADDING = 0.05
DEFAULT_MAX_GARMENTS = 50
MOST_GARMENTS = 300


@dataclass(frozen=True)
class Options:
    """How to detect and crop.

    Attributes:
        score_threshold: 0 to 1.
        iou_threshold: 0 to 1.
        crop_padding: share of the box, 0 to 1.
        max_garments: 1 to `MOST_GARMENTS`.
    """

    score_threshold: float
    iou_threshold: float
    crop_padding: float
    max_garments: int


def read_options(tensors: Tensors) -> Options:
    """Thresholds and limits with their defaults.

    Raises:
        ProblemError: INVALID_ARG; one is NaN or outside its range.
    """
    return Options(
        score_threshold=_share(tensors, "score_threshold", DEFAULT_SCORE_THRESHOLD),
        iou_threshold=_share(tensors, "iou_threshold", DEFAULT_IOU_THRESHOLD),
        crop_padding=_share(tensors, "crop_padding", DEFAULT_CROP_PADDING),
        max_garments=_max_garments(tensors),
    )


def read_texts(tensors: Tensors, name: str) -> list[str] | None:
    """A BYTES tensor as texts, or None where it was not sent.

    Raises:
        ProblemError: INVALID_ARG; an element is not UTF-8.
    """
    if name not in tensors:
        return None
    texts = []
    for index, value in enumerate(tensors[name].reshape(-1)):
        try:
            texts.append(value.decode("utf-8") if isinstance(value, bytes) else str(value))
        except UnicodeDecodeError as error:
            raise refuse(f"Element {index} of `{name}` is not UTF-8: {error.reason}.") from error
    return texts


def read_given_boxes(tensors: Tensors, size_wh: tuple[int, int]) -> tuple[Detections, list[str]] | None:
    """The boxes of another detector with their phrases, clipped to the photo; None where none were sent.

    Raises:
        ProblemError: INVALID_ARG; phrases or scores do not fit the boxes, or a box is empty, reversed or outside.
    """
    phrases = read_texts(tensors, "box_phrases")
    if "boxes_xyxy" not in tensors:
        if phrases is not None or "box_scores" in tensors:
            raise refuse("`box_phrases` and `box_scores` describe `boxes_xyxy`, which is missing. Send the boxes too.")
        return None
    if "vocabulary" in tensors:
        raise refuse("`vocabulary` is for detection, which `boxes_xyxy` skips. Send one of the two.")
    boxes = np.asarray(tensors["boxes_xyxy"], np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4:  # noqa: PLR2004 - x0, y0, x1, y1
        raise refuse(f"`boxes_xyxy` must be [boxes, 4]; got {list(boxes.shape)}.")
    if phrases is None or len(phrases) != len(boxes):
        got = "none" if phrases is None else str(len(phrases))
        raise refuse(f"`boxes_xyxy` has {len(boxes)} boxes, so `box_phrases` must have as many phrases; got {got}.")
    if len(boxes) > MOST_GARMENTS:
        raise refuse(f"`boxes_xyxy` has {len(boxes)} boxes; at most {MOST_GARMENTS} are taken. Send the best.")
    scores = np.asarray(tensors.get("box_scores", np.ones(len(boxes))), np.float32).reshape(-1)
    if len(scores) != len(boxes):
        raise refuse(f"`boxes_xyxy` has {len(boxes)} boxes, so `box_scores` must have as many; got {len(scores)}.")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise refuse("`box_scores` must be numbers from 0 to 1.")
    inside = clipped(np.nan_to_num(boxes, nan=-1.0), size_wh)
    for index in np.flatnonzero(~np.isfinite(boxes).all(axis=1) | (areas(inside) <= 0)):
        raise refuse(
            f"Box {index} ({', '.join(f'{value:g}' for value in boxes[index])}) has no part inside the photo of "
            f"{size_wh[0]} x {size_wh[1]} pixels. Send x0, y0, x1, y1 in pixels of the upright photo."
        )
    return Detections(inside, scores, np.arange(len(boxes), dtype=np.int32)), phrases


def _share(tensors: Tensors, name: str, default: float) -> float:
    if name not in tensors:
        return default
    value = float(_only(tensors, name))
    if not 0 <= value <= 1:  # also refuses NaN
        raise refuse(f"`{name}` must be a number from 0 to 1; got {value}.")
    return value


def _max_garments(tensors: Tensors) -> int:
    if "max_garments" not in tensors:
        return MOST_GARMENTS if "boxes_xyxy" in tensors else DEFAULT_MAX_GARMENTS
    value = int(_only(tensors, "max_garments"))
    if not 1 <= value <= MOST_GARMENTS:
        raise refuse(f"`max_garments` must be from 1 to {MOST_GARMENTS}; got {value}.")
    return value


def _only(tensors: Tensors, name: str) -> Any:  # noqa: ANN401 - a scalar of the tensor's own type
    values = tensors[name].reshape(-1)
    if len(values) != 1:
        raise refuse(f"`{name}` must be one number; got {len(values)}.")
    return values[0]
