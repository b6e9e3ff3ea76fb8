"""What an answer says of each garment, from the pipeline's own modules: the same work for every contender."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import crops
import depths
from categories import category_of
from colours import garment_colours
from detections import Detections
from options import DEFAULT_CROP_PADDING
from photo import Photo
from quality import assess, sharpness


def crop_boxes(photo: Photo, found: Detections) -> list[crops.PixelBox]:
    """Where each garment is cut out."""
    return [
        crops.crop_box((float(x0), float(y0), float(x1), float(y1)), DEFAULT_CROP_PADDING, photo.size_wh)
        for x0, y0, x1, y1 in found.boxes_xyxy
    ]


def cut_out(photo: Photo, boxes: Sequence[crops.PixelBox]) -> list[Image.Image]:
    """The crops."""
    return [photo.image.crop(box) for box in boxes]


def garments_of(
    photo: Photo, found: Detections, phrases: Sequence[str], depth_over_photo: NDArray[np.float32]
) -> list[dict[str, Any]]:
    """Everything but pixels and vectors of each garment, as a document for JSON.

    Args:
        photo: see `Photo`.
        found: its garments.
        phrases: the vocabulary.
        depth_over_photo: float32 [height, width], at most the photo's resolution.
    """
    measured = depths.measure(depth_over_photo, found.boxes_xyxy, photo.size_wh)
    medians = [depth.median for depth in measured]
    quality = assess(photo.size_wh, found.boxes_xyxy, sharpness(photo.image, found.boxes_xyxy), medians)
    garments = []
    for index, crop_box in enumerate(crop_boxes(photo, found)):
        x0, y0, x1, y1 = (float(value) for value in found.boxes_xyxy[index])
        phrase = phrases[found.phrase_ids[index]]
        category = category_of(phrase)
        garments.append(
            {
                "phrase": phrase,
                "category": category and {"id": category.id, "name": category.name},
                "score": float(found.scores[index]),
                "box_xyxy": [x0, y0, x1, y1],
                "crop_box_xyxy": list(crop_box),
                "depth": asdict(measured[index]),
                "colours": [asdict(colour) for colour in garment_colours(photo.image, (x0, y0, x1, y1))],
                "flags": list(quality[index].flags),
                "overlapped_by": list(quality[index].overlapped_by),
            }
        )
    return garments
