"""Hand-made datasets and answers, so that every figure can be worked out on paper."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fashioncrop import Analysis
from pipeline_code import CATEGORIES
from truths import FoundBoxes, TrueBoxes

Box = tuple[float, float, float, float]
COLOURLESS = "#808080"


@pytest.fixture
def true_boxes() -> Callable[..., TrueBoxes]:
    """`true_boxes((category, box), ..., crowds=[0])`."""

    def make(*truths: tuple[int, Box], crowds: Sequence[int] = ()) -> TrueBoxes:
        return TrueBoxes(
            np.asarray([box for _, box in truths], np.float32).reshape(-1, 4),
            np.asarray([category for category, _ in truths], np.int32),
            np.asarray([index in crowds for index in range(len(truths))], np.bool_),
        )

    return make


@pytest.fixture
def found_boxes() -> Callable[..., FoundBoxes]:
    """`found_boxes((category, box, score), ...)`."""

    def make(*found: tuple[int, Box, float]) -> FoundBoxes:
        return FoundBoxes(
            np.asarray([box for _, box, _ in found], np.float32).reshape(-1, 4),
            np.asarray([category for category, _, _ in found], np.int32),
            np.asarray([score for _, _, score in found], np.float32),
        )

    return make


@pytest.fixture
def analysis() -> Callable[..., Analysis]:
    """An answer: `analysis({"phrase_id": 0, "category": 6, "box_xyxy": ..., "score": 0.9}, ..., size_wh=(100, 80))`."""

    def make(*garments: Mapping[str, Any], size_wh: tuple[int, int] = (100, 100)) -> Analysis:
        return Analysis.model_validate(
            {
                "photo": {"width": size_wh[0], "height": size_wh[1], "format": "PNG"},
                "vocabulary": [],
                "garments": [_garment(index, one) for index, one in enumerate(garments)],
                "models": [
                    {
                        "role": "garment_detector",
                        "name": "by hand",
                        "version": "1",
                        "digest": "sha256:0",
                        "source": "tiny",
                        "trained": False,
                    }
                ],
                "warnings": ["made by hand"],
                "timings_ms": {},
            }
        )

    return make


def _garment(index: int, given: Mapping[str, Any]) -> dict[str, Any]:
    category = next((one for one in CATEGORIES if one.id == given.get("category")), None)
    return {
        "id": index,
        "phrase": str(given.get("phrase", "")),
        "phrase_id": given.get("phrase_id", 0),
        "category": category and {"id": category.id, "name": category.name, "supercategory": category.supercategory},
        "score": given.get("score", 0.9),
        "box_xyxy": given["box_xyxy"],
        "crop": {"box_xyxy": [0, 0, 1, 1]},
        "embedding": given.get("embedding"),
        "depth": {"median": given.get("depth", 0.0), "spread": 0.0, "order": 1},
        "colours": [{"hex": COLOURLESS, "name": given.get("colour", "grey"), "share": 1.0}],
        "flags": [],
        "overlapped_by": [],
    }


@pytest.fixture
def coco_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a dataset: `coco_folder(categories={0: "pants"}, photos=[[{"category_id": 0, "bbox": ...}], []])`."""

    def write(
        *,
        categories: Mapping[int, str],
        photos: Sequence[Sequence[Mapping[str, Any]]],
        size_wh: tuple[int, int] = (64, 48),
    ) -> Path:
        (tmp_path / "images").mkdir()
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for index, entries in enumerate(photos):
            name = f"{index}.png"
            file = io.BytesIO()
            noise = np.random.default_rng(index).integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)
            Image.fromarray(noise).save(file, "PNG")
            (tmp_path / "images" / name).write_bytes(file.getvalue())
            images.append({"id": index + 1, "file_name": name, "width": size_wh[0], "height": size_wh[1]})
            annotations += [
                {"id": len(annotations) + place, "image_id": index + 1, **one} for place, one in enumerate(entries)
            ]
        document = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": key, "name": name} for key, name in categories.items()],
        }
        (tmp_path / "annotations.json").write_text(json.dumps(document), encoding="utf-8")
        return tmp_path

    return write
