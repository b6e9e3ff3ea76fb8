"""From the detector's tensors to boxes in pixels, each with one phrase: scores by token span, suppression, limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabulary import Span

SAME_PIXELS_IOU = 0.9
"""Boxes of different phrases that overlap more than this are one garment under two names; the better name is kept."""


@dataclass(frozen=True)
class Detections:
    """Boxes with their phrases, in no particular order unless said.

    Attributes:
        boxes_xyxy: float32 [n, 4], x0, y0, x1, y1 in pixels of the upright photo.
        scores: float32 [n], 0 to 1.
        phrase_ids: int32 [n], index into the vocabulary.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    phrase_ids: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, keep: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Detections:
        return Detections(self.boxes_xyxy[keep], self.scores[keep], self.phrase_ids[keep])

    def best(self, count: int) -> NDArray[np.intp]:
        """Indices of the `count` best scores, in the order in which they stand here."""
        return np.sort(np.argsort(-self.scores, kind="stable")[:count])


def joined(parts: Sequence[Detections]) -> Detections:
    """The detections of several passes as one."""
    return Detections(
        np.concatenate([part.boxes_xyxy for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.phrase_ids for part in parts]),
    )


def from_queries(
    logits: NDArray[np.float32],
    boxes_cxcywh: NDArray[np.float32],
    spans: Sequence[Span],
    size_wh: tuple[int, int],
) -> Detections:
    """One detection a query: its best phrase, by the largest probability among that phrase's own tokens.

    Args:
        logits: float32 [queries, tokens], before the sigmoid.
        boxes_cxcywh: float32 [queries, 4], centre x, centre y, width, height as shares of the photo.
        spans: the caption's phrases.
        size_wh: the upright photo's width and height in pixels.
    """
    by_token = np.ascontiguousarray(logits.T)  # the largest of a few long rows is found many queries at a time
    phrase_logits = np.stack([by_token[span.start : span.stop].max(axis=0) for span in spans])
    best = phrase_logits.argmax(axis=0)
    scores = sigmoid(phrase_logits[best, np.arange(len(best))])
    phrase_ids = np.asarray([span.phrase_id for span in spans], np.int32)[best]
    return Detections(to_pixels(boxes_cxcywh, size_wh), scores, phrase_ids)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), np.float32)


def to_pixels(boxes_cxcywh: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """Centre and size in shares of the photo to x0, y0, x1, y1 in pixels, clipped to the photo. float32 [n, 4]."""
    centre, extent = boxes_cxcywh[:, :2], boxes_cxcywh[:, 2:]
    size = np.asarray(size_wh, np.float32)
    corners = np.concatenate([(centre - extent / 2) * size, (centre + extent / 2) * size], axis=1)
    return clipped(corners.astype(np.float32), size_wh)


def clipped(boxes_xyxy: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """The part of each box that is inside the photo; a box outside it becomes empty. float32 [n, 4]."""
    return np.clip(boxes_xyxy, 0, np.asarray([*size_wh, *size_wh], np.float32))


def areas(boxes_xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Areas in square pixels, 0 for an empty box. float32 [n]."""
    extent = np.clip(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0, None)
    return np.asarray(extent[:, 0] * extent[:, 1], np.float32)


def intersections(boxes_xyxy: NDArray[np.float32], others_xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Area that each box shares with each other, in square pixels. float32 [n, m]."""
    low = np.maximum(boxes_xyxy[:, None, :2], others_xyxy[None, :, :2])
    high = np.minimum(boxes_xyxy[:, None, 2:], others_xyxy[None, :, 2:])
    extent = np.clip(high - low, 0, None)
    return np.asarray(extent[..., 0] * extent[..., 1], np.float32)


def ious(boxes_xyxy: NDArray[np.float32], others_xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of each box with each other, 0 where both are empty. float32 [n, m]."""
    shared = intersections(boxes_xyxy, others_xyxy)
    union = areas(boxes_xyxy)[:, None] + areas(others_xyxy)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def selected(detections: Detections, *, score_threshold: float, iou_threshold: float, max_garments: int) -> Detections:
    """What is worth showing, best score first (equal scores in the detector's order).

    Kept is what scores above `score_threshold` and has an area. Of two boxes of one phrase that overlap more than
    `iou_threshold` the better is kept; of two boxes of different phrases, the better where they overlap more than
    `SAME_PIXELS_IOU` (or `iou_threshold`, if that is larger).
    """
    above = detections[(detections.scores > score_threshold) & (areas(detections.boxes_xyxy) > 0)]
    ranked = above[np.argsort(-above.scores, kind="stable")]
    kept: list[int] = []
    for index in range(len(ranked)):
        if len(kept) == max_garments:
            break
        overlap = ious(ranked.boxes_xyxy[index : index + 1], ranked.boxes_xyxy[kept])[0]
        same = ranked.phrase_ids[kept] == ranked.phrase_ids[index]
        limit = np.where(same, iou_threshold, max(iou_threshold, SAME_PIXELS_IOU))
        if not (overlap > limit).any():
            kept.append(index)
    return ranked[np.asarray(kept, np.intp)]
