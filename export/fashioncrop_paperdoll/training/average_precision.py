"""COCO's average precision of what a detector in training finds, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fashioncrop_paperdoll.scene import Garment

Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]
"""Boxes x0, y0, x1, y1 as shares of the photo [n, 4], scores [n], indices into the vocabulary [n]."""


def average_precision(
    found: Sequence[Found], truth: Sequence[Sequence[Garment]], vocabulary: Sequence[str], size_hw: tuple[int, int]
) -> dict[str, float]:
    """AP, AP50, and AP50 of each noun.

    Args:
        found: for each photo.
        truth: for each photo.
        vocabulary: what labels count.
        size_hw: of the photos in pixels.
    """
    height, width = size_hw
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, garments in enumerate(truth):
        for garment in garments:
            x0, y0, x1, y1 = garment.box_xyxy
            box, area = [x0, y0, x1 - x0, y1 - y0], (x1 - x0) * (y1 - y0)
            category = vocabulary.index(garment.noun)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": category,
                    "bbox": box,
                    "area": area,
                    "iscrowd": 0,
                }
            )
    for image, (boxes, scores, labels) in enumerate(found):
        for (x0, y0, x1, y1), score, label in zip(boxes * [width, height, width, height], scores, labels, strict=True):
            box = [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]
            results.append({"image_id": image, "category_id": int(label), "bbox": box, "score": float(score)})
    nouns = sorted({annotation["category_id"] for annotation in annotations})
    dataset: dict[str, Any] = {
        "images": [{"id": image, "height": height, "width": width} for image in range(len(truth))],
        "annotations": annotations,
        "categories": [{"id": noun, "name": vocabulary[noun]} for noun in nouns],
        "info": {},
    }
    with contextlib.redirect_stdout(io.StringIO()):
        ground = COCO()
        ground.dataset = dataset
        ground.createIndex()
        judge = COCOeval(ground, ground.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    figures = {"ap": float(judge.stats[0]), "ap50": float(judge.stats[1])}
    precision = judge.eval["precision"][0, :, :, 0, 2]  # IoU 0.5, [recall, noun]
    figures |= {f"ap50 {vocabulary[noun]}": float(precision[:, place].mean()) for place, noun in enumerate(nouns)}
    return {name: round(value, 4) for name, value in figures.items()}
