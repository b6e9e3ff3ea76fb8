"""How well boxes and categories are found: COCO's average precision, and right and wrong at a threshold."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from truths import FoundBoxes, TrueBoxes, overlaps

SCORE_THRESHOLD = 0.01
"""What is asked for: average precision ranks everything that was found, and what scores below this is noise that only
makes answers longer."""
MAX_GARMENTS = 100
"""A photo; COCO's own limit (`maxDets`), and the 100 of AR100."""
SAME_IOU = 0.5
"""Boxes that overlap at least this much are one garment, as in AP50."""

Answered = tuple[TrueBoxes, FoundBoxes]
"""One photo: what is in it and what was found."""


@dataclass(frozen=True)
class Precision:
    """COCO's figures; None where there is no truth to compare with.

    Attributes:
        ap: average precision over IoU thresholds 0.5 to 0.95.
        ap50: at IoU 0.5.
        ap75: at IoU 0.75.
        ar100: recall of 100 boxes a photo over the same thresholds.
        truths: annotated garments, without crowds.
        found: boxes that were answered.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ar100: float | None
    truths: int
    found: int


@dataclass(frozen=True)
class Tally:
    """Right and wrong answers.

    Attributes:
        right: found garments that are there.
        wrong: found garments that are not there, or were found already.
        missed: garments that were not found.
    """

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.right + other.right, self.wrong + other.wrong, self.missed + other.missed)

    @property
    def precision(self) -> float | None:
        """Share of the found that is there; None where nothing was found."""
        return share(self.right, self.right + self.wrong)

    @property
    def recall(self) -> float | None:
        """Share of what is there that was found; None where nothing is there."""
        return share(self.right, self.right + self.missed)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two; None where nothing is there and nothing was found."""
        return share(2 * self.right, 2 * self.right + self.wrong + self.missed)


def share(part: float, whole: float) -> float | None:
    """`part` of `whole`; None of nothing."""
    return part / whole if whole else None


def mean(values: Iterable[float | None]) -> float | None:
    """Of those that there are; None of none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def average_precision(photos: Sequence[Answered], keys: Iterable[int]) -> tuple[Precision, dict[int, Precision]]:
    """COCO's figures over all categories, and of each.

    A category at a time, which gives COCO's own figures (they are means over the categories that have truths) in the
    memory that one category needs.

    Args:
        photos: what is in each and what was found with `SCORE_THRESHOLD` and `MAX_GARMENTS`.
        keys: of the categories.
    """
    each = {key: _one_category(photos, key) for key in keys}
    overall = Precision(
        ap=mean(one.ap for one in each.values()),
        ap50=mean(one.ap50 for one in each.values()),
        ap75=mean(one.ap75 for one in each.values()),
        ar100=mean(one.ar100 for one in each.values()),
        truths=sum(one.truths for one in each.values()),
        found=sum(one.found for one in each.values()),
    )
    return overall, each


def _one_category(photos: Sequence[Answered], key: int) -> Precision:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for index, (truth, found) in enumerate(photos):
        own, theirs = truth[truth.categories == key], found[found.categories == key]
        if not len(own) and not len(theirs):
            continue  # says nothing about this category
        images.append({"id": index})
        annotations.extend(
            _entry(index, box) | {"iscrowd": int(crowd)}
            for box, crowd in zip(own.boxes_xyxy, own.is_crowd, strict=True)
        )
        results.extend(
            _entry(index, box) | {"iscrowd": 0, "score": float(score)}
            for box, score in zip(theirs.boxes_xyxy, theirs.scores, strict=True)
        )
    truths = sum(not annotation["iscrowd"] for annotation in annotations)
    if not truths:
        return Precision(None, None, None, None, 0, len(results))
    judge = _judge(_coco(images, annotations), _coco(images, results))
    precision = judge.eval["precision"][:, :, 0, 0, 0]  # [IoU thresholds, recalls]
    at = {round(float(iou), 2): float(row.mean()) for iou, row in zip(judge.params.iouThrs, precision, strict=True)}
    recall = float(judge.eval["recall"][:, 0, 0, 0].mean())
    return Precision(float(precision.mean()), at[0.5], at[0.75], recall, truths, len(results))


def _entry(image: int, box_xyxy: NDArray[np.float32]) -> dict[str, Any]:
    x0, y0, x1, y1 = (float(value) for value in box_xyxy)
    bbox = [x0, y0, x1 - x0, y1 - y0]
    return {"image_id": image, "category_id": 1, "bbox": bbox, "area": bbox[2] * bbox[3]}


def _coco(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> COCO:
    for number, annotation in enumerate(annotations, start=1):  # COCOeval reads 0 as "matched by nothing"
        annotation["id"] = number
    coco = COCO()
    coco.dataset = {"images": images, "annotations": annotations, "categories": [{"id": 1}], "info": {}}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _judge(truth: COCO, found: COCO) -> COCOeval:
    judge = COCOeval(truth, found, "bbox")
    judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]  # by size, nothing is told apart
    judge.params.maxDets = [MAX_GARMENTS]
    with contextlib.redirect_stdout(io.StringIO()):
        judge.evaluate()
        judge.accumulate()
    return judge


def tallies(truth: TrueBoxes, found: FoundBoxes) -> dict[int, Tally]:
    """Right and wrong of one photo by category: the best score takes first, and each truth is taken once."""
    keys = sorted({int(key) for key in (*truth.categories, *found.categories)})
    return {key: _tally(truth[truth.categories == key], found[found.categories == key]) for key in keys}


def _tally(truth: TrueBoxes, found: FoundBoxes) -> Tally:
    ranked = found[np.argsort(-found.scores, kind="stable")]
    free = ~truth.is_crowd
    right = wrong = 0
    for row in overlaps(ranked, truth):
        reached = row >= SAME_IOU
        candidates = np.where(reached & free, row, -1.0)
        if candidates.size and candidates.max() >= 0:
            free[int(candidates.argmax())] = False
            right += 1
        elif not (reached & truth.is_crowd).any():
            wrong += 1
    return Tally(right, wrong, int(free.sum()))


def summed(many: Iterable[Mapping[int, Tally]]) -> dict[int, Tally]:
    """Tallies of photos added up by category."""
    total: dict[int, Tally] = {}
    for one in many:
        for key, tally in one.items():
            total[key] = total.get(key, Tally()) + tally
    return total
