"""Average precision by COCO's own code, of an engine and of the original on the same photos."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable, Sequence
from typing import Any

from fashioncrop.errors import DeploymentError
from fashioncrop_export.photos.pipeline_code import DEFAULT_IOU_THRESHOLD, Detections, selected
from fashioncrop_export.photos.sources import Truth

_SCORE_THRESHOLD = 0.01
_MAX_GARMENTS = 100  # COCO's own limit a photo


def require_pycocotools() -> None:
    """Ask for it before hours are spent on what it has to judge.

    Raises:
        DeploymentError: it is not installed.
    """
    try:
        importlib.import_module("pycocotools.cocoeval")
    except ModuleNotFoundError as error:
        raise DeploymentError(
            f"Average precision needs {error.name}, which is missing. Run: pip install 'fashioncrop[training]', or "
            "verify on a folder of photos: --photos DIR."
        ) from error


def average_precision(
    found: Sequence[Detections], truths: Sequence[Sequence[Truth]], category_of: Callable[[int], int]
) -> float | None:
    """COCO's AP over IoU 0.5 to 0.95, averaged over the categories that occur; None where nothing is annotated.

    Args:
        found: every query's detection, a photo each.
        truths: what is in each photo.
        category_of: key of the category that a phrase names; negative for none.

    Raises:
        DeploymentError: pycocotools is not installed.
    """
    require_pycocotools()
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415 - an extra, needed here only

    annotations = [
        _entry(photo, truth.category, truth.box_xyxy) | {"iscrowd": int(truth.is_crowd)}
        for photo, those in enumerate(truths)
        for truth in those
    ]
    if all(entry["iscrowd"] for entry in annotations):
        return None
    results = [
        _entry(photo, category_of(int(phrase)), tuple(map(float, box))) | {"score": float(score), "iscrowd": 0}
        for photo, detections in enumerate(found)
        for kept in [
            selected(
                detections,
                score_threshold=_SCORE_THRESHOLD,
                iou_threshold=DEFAULT_IOU_THRESHOLD,
                max_garments=_MAX_GARMENTS,
            )
        ]
        for box, score, phrase in zip(kept.boxes_xyxy, kept.scores, kept.phrase_ids, strict=True)
    ]
    categories = sorted({entry["category_id"] for entry in annotations if not entry["iscrowd"]})
    judge = COCOeval(_coco(len(found), categories, annotations), _coco(len(found), categories, results), "bbox")
    judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
    judge.params.maxDets = [_MAX_GARMENTS]
    with contextlib.redirect_stdout(io.StringIO()):
        judge.evaluate()
        judge.accumulate()
    values = judge.eval["precision"][:, :, :, 0, 0]
    return float(values[values > -1].mean())


def _entry(photo: int, category: int, box_xyxy: Sequence[float]) -> dict[str, Any]:
    x0, y0, x1, y1 = box_xyxy
    bbox = [x0, y0, x1 - x0, y1 - y0]
    return {"image_id": photo, "category_id": category, "bbox": bbox, "area": bbox[2] * bbox[3]}


def _coco(photos: int, categories: Sequence[int], entries: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - no types
    from pycocotools.coco import COCO  # noqa: PLC0415 - as above

    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": photo} for photo in range(photos)],
        "categories": [{"id": category} for category in categories],
        # COCOeval reads the number 0 as "matched by nothing".
        "annotations": [
            entry | {"id": number}
            for number, entry in enumerate((one for one in entries if one["category_id"] in categories), start=1)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco
