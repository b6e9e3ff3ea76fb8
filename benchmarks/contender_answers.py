"""What a contender answers for a photo, in one form; and whether two contenders answer the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pipeline_code  # noqa: F401 - makes the pipeline's modules known
from detections import ious
from run_options import Asked


@dataclass(frozen=True)
class Answer:
    """One photo's garments, best score first.

    Attributes:
        boxes_xyxy: float32 [n, 4], pixels of the photo.
        scores: float32 [n].
        phrases: one for each.
        depth_medians: float32 [n].
        embeddings: float32 [n, width].
        crops: a JPEG each.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    phrases: tuple[str, ...]
    depth_medians: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    crops: tuple[bytes, ...]


@dataclass(frozen=True)
class Tolerance:
    """How much two answers may differ and still be the same.

    Attributes:
        name: what the document calls it.
        least_iou: overlap of a garment's two boxes.
        most_score: difference of its scores; garments this near the threshold may be in one answer only.
        least_cosine: of its embeddings.
        most_depth: difference of its depth medians, as a share of the largest.
        least_matched: share of all garments that must have a partner. Below 1, because two runs of one network in
            another order of sums exchange learned queries of equal rank (garment_detector/config.pbtxt says why).
    """

    name: str
    least_iou: float
    most_score: float
    least_cosine: float
    most_depth: float
    least_matched: float


STRICT = Tolerance("fp32", 0.99, 2e-3, 0.9999, 2e-3, 0.9)
QUANTISED = Tolerance("int8", 0.8, 0.15, 0.98, 0.1, 0.7)
TOLERANCES = {one.name: one for one in (STRICT, QUANTISED)}


@dataclass(frozen=True)
class Agreement:
    """How far two contenders' answers agree, over all photos.

    Attributes:
        garments: that were clearly above the threshold in one answer or the other.
        matched: share of them that have a partner within the tolerance's overlap and score.
        least_iou: among partners.
        most_score: largest difference of scores among partners.
        least_cosine: of embeddings among partners.
        most_depth: of depth medians among partners, as a share of the largest.
    """

    garments: int
    matched: float
    least_iou: float
    most_score: float
    least_cosine: float
    most_depth: float

    def problems(self, tolerance: Tolerance) -> list[str]:
        """In what the answers differ more than the tolerance allows; empty where they are the same."""
        if not self.garments:
            return ["no garment was found in any photo, so nothing was compared: choose a lower --score-threshold"]
        pairs = (
            (self.matched >= tolerance.least_matched, f"{self.matched:.1%} of {self.garments} garments have a partner"),
            (self.least_cosine >= tolerance.least_cosine, f"embeddings differ: cosine {self.least_cosine:.6f}"),
            (self.most_depth <= tolerance.most_depth, f"depths differ by {self.most_depth:.2%} of the largest"),
        )
        return [words for is_fine, words in pairs if not is_fine]

    def told(self, tolerance: Tolerance) -> dict[str, Any]:
        """As JSON values, the tolerance beside it."""
        return {**asdict(self), "tolerance": asdict(tolerance)}


def agreement(ours: Sequence[Answer], theirs: Sequence[Answer], asked: Asked, tolerance: Tolerance) -> Agreement:
    """Compare the answers for the same photos.

    Args:
        ours: one for each photo.
        theirs: one for each photo.
        asked: what was asked for.
        tolerance: what counts as the same.
    """
    garments, matched = 0, 0
    overlaps, score_differences, cosines, depth_differences = [1.0], [0.0], [1.0], [0.0]
    for one, other in zip(ours, theirs, strict=True):
        pairs, overlap = _partners(one, other, tolerance)
        floor = _floor((one, other), asked) + tolerance.most_score
        for answer, own in ((one, 0), (other, 1)):
            paired = {pair[own] for pair in pairs}
            counted = {index for index, score in enumerate(answer.scores) if score > floor or index in paired}
            garments += len(counted)
            matched += len(counted & paired)
        largest = max(float(np.abs(answer.depth_medians).max(initial=1e-6)) for answer in (one, other))
        for i, j in pairs:
            overlaps.append(float(overlap[i, j]))
            score_differences.append(abs(float(one.scores[i] - other.scores[j])))
            cosines.append(_cosine(one.embeddings[i], other.embeddings[j]))
            depth_differences.append(abs(float(one.depth_medians[i] - other.depth_medians[j])) / largest)
    share = matched / garments if garments else 1.0
    return Agreement(garments, share, min(overlaps), max(score_differences), min(cosines), max(depth_differences))


def _floor(answers: tuple[Answer, Answer], asked: Asked) -> float:
    """Below this a garment may be missing in an answer, for being under the threshold or one too many."""
    cut = [float(answer.scores.min()) for answer in answers if len(answer.scores) == asked.max_garments]
    return max(asked.score_threshold, *cut) if cut else asked.score_threshold


def _partners(one: Answer, other: Answer, tolerance: Tolerance) -> tuple[list[tuple[int, int]], NDArray[np.float32]]:
    """Pairs of garments that are the same, as many as there can be, and the overlap of all. float32 [n, m]."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - slow to import

    overlap = ious(one.boxes_xyxy, other.boxes_xyxy)
    differ = np.abs(one.scores[:, None] - other.scores[None, :])
    same_phrase = np.asarray([[a == b for b in other.phrases] for a in one.phrases], np.bool_).reshape(overlap.shape)
    fits = same_phrase & (overlap >= tolerance.least_iou) & (differ <= tolerance.most_score)
    rows, columns = linear_sum_assignment(np.where(fits, 1 - overlap, 10.0))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if fits[i, j]], overlap


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.dot(one, other)) / lengths if lengths else 0.0
