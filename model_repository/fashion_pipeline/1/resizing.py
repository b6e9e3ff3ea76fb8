"""The sizes at which each model sees a photo, by the rules of the original processors, with Pillow's filters.

Pillow, because no OpenCV flag equals its antialiased filters, and the original checkpoints were trained behind them.
The rules are those of transformers 5 (`GroundingDinoImageProcessor`, `DPTImageProcessor`, `CLIPImageProcessor`), held
equal by tests; where the originals fail (very thin photos), the deviation is named.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Preprocessing = dict[str, Any]
"""The `preprocessing` of an engine's model.json, which export takes from the checkpoint's preprocessor_config.json."""

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

MAX_DEPTH_ASPECT = 4
"""A photo longer than this keeps its shape no further at the depth estimator, whose attention grows with the square of
the area: 518 x 60000 would take gigabytes."""

MAX_WHOLE_ASPECT = 16
"""A crop longer than this is resized only where it is kept, because the whole of it would take gigabytes."""


def detector_size_hw(size_wh: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Height and width at which the detector sees the photo: shortest edge first, longest edge as the limit.

    Deviation: at least 1 pixel a side, where a photo is thinner than longest_edge : 1.
    """
    width, height = size_wh
    shortest: float = preprocessing["shortest_edge"]
    longest = preprocessing["longest_edge"]
    edge = int(shortest)
    if max(width, height) / min(width, height) * shortest > longest:
        shortest = longest * float(min(width, height)) / float(max(width, height))
        edge = round(shortest)
    if min(width, height) == edge:
        return height, width
    if width < height:
        return max(int(shortest * height / width), 1), max(edge, 1)
    return max(edge, 1), max(int(shortest * width / height), 1)


def depth_size_hw(size_wh: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Height and width at which the depth estimator sees the photo: as little scaling as possible, whole patches.

    Deviations: at least one patch a side, and at most `MAX_DEPTH_ASPECT` times the nominal size.
    """
    width, height = size_wh
    multiple = preprocessing["multiple_of"]
    scale_h, scale_w = preprocessing["height"] / height, preprocessing["width"] / width
    if preprocessing["keep_aspect_ratio"]:
        nearer = scale_w if abs(1 - scale_w) < abs(1 - scale_h) else scale_h
        scale_h = scale_w = nearer
    most_h, most_w = MAX_DEPTH_ASPECT * preprocessing["height"], MAX_DEPTH_ASPECT * preprocessing["width"]
    return (
        min(max(round(scale_h * height / multiple) * multiple, multiple), most_h // multiple * multiple),
        min(max(round(scale_w * width / multiple) * multiple, multiple), most_w // multiple * multiple),
    )


def resized(image: Image.Image, size_hw: tuple[int, int], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The photo at a model's size: uint8 [height, width, 3], RGB."""
    height, width = size_hw
    return np.asarray(image.resize((width, height), _FILTERS[preprocessing["resample"]]))


def embedder_input(crop: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """A crop as CLIP sees it: shortest edge resized, the middle square kept. uint8 [224, 224, 3], RGB.

    Deviation: of a crop longer than `MAX_WHOLE_ASPECT` only the part that is kept is resized. Pillow chooses by the
    sizes whether rows or columns come first, so that it may then choose otherwise than for the whole.
    """
    width, height = crop.size
    edge = preprocessing["shortest_edge"]
    crop_h, crop_w = preprocessing["crop_hw"]
    scaled_w = edge if width <= height else int(edge * width / height)
    scaled_h = edge if height <= width else int(edge * height / width)
    left, top = (scaled_w - crop_w) // 2, (scaled_h - crop_h) // 2
    if max(width, height) <= MAX_WHOLE_ASPECT * min(width, height):
        whole = crop.resize((scaled_w, scaled_h), _FILTERS[preprocessing["resample"]])
        return np.asarray(whole.crop((left, top, left + crop_w, top + crop_h)))
    per_x, per_y = width / scaled_w, height / scaled_h
    box = (left * per_x, top * per_y, min((left + crop_w) * per_x, width), min((top + crop_h) * per_y, height))
    return np.asarray(crop.resize((crop_w, crop_h), _FILTERS[preprocessing["resample"]], box=box))
