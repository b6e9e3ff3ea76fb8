"""How close an engine's answers are to the original's, in the terms in which they are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashioncrop_export.photos.pipeline_code import (
    DEFAULT_IOU_THRESHOLD,
    DEFAULT_MAX_GARMENTS,
    DEFAULT_SCORE_THRESHOLD,
    Detections,
    ious,
    selected,
)

MARGIN = 0.05
"""A garment this near to the threshold may be found by one and not by the other: nothing is wrong with either."""
_SAME_PLACE = 0.5
_SAME_GARMENT = 0.75
Array = NDArray[Any]


@dataclass(frozen=True)
class Agreement:
    """Garments that two ways of computing found, compared one to one.

    Attributes:
        expected: garments that the original surely finds (its score is `MARGIN` above the threshold).
        found: how many of them the engine finds too.
        surplus: garments that the engine surely finds and the original does not.
        ious: float64, of the boxes of what both found.
        score_differences: float64, absolute.
        same_phrase: bool, of what both found.
    """

    expected: int
    found: int
    surplus: int
    ious: NDArray[np.float64]
    score_differences: NDArray[np.float64]
    same_phrase: NDArray[np.bool_]


def joined(parts: Sequence[Agreement]) -> Agreement:
    """All photos as one."""
    return Agreement(
        sum(part.expected for part in parts),
        sum(part.found for part in parts),
        sum(part.surplus for part in parts),
        np.concatenate([part.ious for part in parts]),
        np.concatenate([part.score_differences for part in parts]),
        np.concatenate([part.same_phrase for part in parts]),
    )


def by_query(original: Detections, engine: Detections) -> Agreement:
    """Compare query by query, where both started from the same choice of image tokens.

    Args:
        original: one detection a query, in the queries' order.
        engine: the same.
    """
    sure = original.scores > DEFAULT_SCORE_THRESHOLD + MARGIN
    surplus = (engine.scores > DEFAULT_SCORE_THRESHOLD + MARGIN) & (original.scores <= DEFAULT_SCORE_THRESHOLD - MARGIN)
    also = sure & (engine.scores > DEFAULT_SCORE_THRESHOLD - MARGIN)
    pairs = [
        float(ious(original.boxes_xyxy[query : query + 1], engine.boxes_xyxy[query : query + 1])[0, 0])
        for query in np.flatnonzero(also)
    ]
    return Agreement(
        int(sure.sum()),
        int(also.sum()),
        int(surplus.sum()),
        np.asarray(pairs, np.float64),
        np.abs(original.scores[also].astype(np.float64) - engine.scores[also]),
        original.phrase_ids[also] == engine.phrase_ids[also],
    )


def by_place(original: Detections, engine: Detections) -> Agreement:
    """Compare what the pipeline would answer, matched by place and phrase, each from its own choice.

    The original's two-stage top-k ranks image tokens, near-ties swap rank, and rank picks the learned query: queries
    cannot be compared one to one then, garments can.
    """
    sure, pool = _garments(original, MARGIN), _garments(engine, -MARGIN)
    matches = [_match(sure, index, pool) for index in range(len(sure))]
    surely_engine, pool_original = _garments(engine, MARGIN), _garments(original, -MARGIN)
    surplus = sum(_match(surely_engine, index, pool_original) is None for index in range(len(surely_engine)))
    both = [(index, match) for index, match in enumerate(matches) if match is not None]
    mine = np.asarray([index for index, _ in both], np.intp)
    theirs = np.asarray([match[0] for _, match in both], np.intp)
    return Agreement(
        len(sure),
        len(both),
        surplus,
        np.asarray([match[1] for _, match in both], np.float64),
        np.abs(sure.scores[mine].astype(np.float64) - pool.scores[theirs]),
        sure.phrase_ids[mine] == pool.phrase_ids[theirs],
    )


def _garments(detections: Detections, margin: float) -> Detections:
    return selected(
        detections,
        score_threshold=DEFAULT_SCORE_THRESHOLD + margin,
        iou_threshold=DEFAULT_IOU_THRESHOLD,
        max_garments=DEFAULT_MAX_GARMENTS,
    )


def _match(one: Detections, index: int, others: Detections) -> tuple[int, float] | None:
    """The other detection that is the same garment, and the overlap; a nearby box of the same phrase comes first."""
    if not len(others):
        return None
    overlap = ious(one.boxes_xyxy[index : index + 1], others.boxes_xyxy)[0]
    same = np.where(others.phrase_ids == one.phrase_ids[index], overlap, 0.0)
    best = int(same.argmax()) if same.max() >= _SAME_GARMENT else int(overlap.argmax())
    return (best, float(overlap[best])) if overlap[best] >= _SAME_PLACE else None


def cosines(original: Array, engine: Array) -> NDArray[np.float64]:
    """Cosine of each row (the last axis) of two arrays of vectors; 1 where both are zero, 0 where one is."""
    want = original.reshape(-1, original.shape[-1]).astype(np.float64)
    got = engine.reshape(-1, engine.shape[-1]).astype(np.float64)
    lengths = np.linalg.norm(want, axis=1) * np.linalg.norm(got, axis=1)
    both_zero = (np.abs(want).max(axis=1, initial=0) == 0) & (np.abs(got).max(axis=1, initial=0) == 0)
    products = np.einsum("ij,ij->i", want, got)
    return np.where(both_zero, 1.0, np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0))


def rank_correlation(original: Array, engine: Array) -> float:
    """Spearman's: do two maps put their places in the same order? 1 if so, whatever their scales.

    A map that is the same everywhere has no order: 1 where both are, else 0.
    """
    first, second = _ranks(original), _ranks(engine)
    first -= first.mean()
    second -= second.mean()
    spread = float(np.sqrt((first**2).sum() * (second**2).sum()))
    if spread > 0:
        return float((first * second).sum() / spread)
    return float(not first.any() and not second.any())


def _ranks(values: Array) -> NDArray[np.float64]:
    """Rank of each value, equal values sharing their mean rank. float64 [values]."""
    _, places, counts = np.unique(values.reshape(-1), return_inverse=True, return_counts=True)
    last = np.cumsum(counts).astype(np.float64)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[places.reshape(-1)]
    return ranks


def relative_difference(original: Array, engine: Array, *, masked: float | None = None) -> float:
    """Largest difference as a share of the largest magnitude, as in `model.json`'s parity."""
    want, got = original.astype(np.float64), engine.astype(np.float64)
    magnitudes = np.abs(want) if masked is None else np.abs(want[want != masked])
    scale = float(magnitudes.max(initial=0.0))
    difference = float(np.abs(want - got).max(initial=0.0))
    return difference / scale if scale else difference
