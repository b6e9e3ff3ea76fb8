"""What a buyer of the crop should know: cut by the frame, too small, blurred, covered by another garment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detections import areas, intersections

FRAME_MARGIN = 0.005
"""A box that ends this close to the frame (share of the photo's side) is taken to go on beyond it."""
LEAST_SIDE_PX = 32
"""A CLIP ViT-B/32 patch; a garment smaller than this is one patch or less before it is enlarged."""
BLUR_SIDE_PX = 224
BLUR_VARIANCE = 25.0
"""Variance of the Laplacian (grey levels squared, longest side at `BLUR_SIDE_PX`) below which a crop is called blurred.
Measured on eleven boxes of scikit-image's astronaut, 80 to 512 pixels long: 107 to 4262 as they are, 2 to 22 after a
Gaussian blur whose sigma is 1/40 of the longest side. A surface without any texture is called blurred too."""
COVERED_SHARE = 0.5


class Flag(StrEnum):
    """A quality flag; the value is what the answer holds."""

    CUT_BY_FRAME = "cut_by_frame"
    TOO_SMALL = "too_small"
    BLURRED = "blurred"
    OVERLAPPED = "overlapped"


@dataclass(frozen=True)
class Quality:
    """Flags of one garment.

    Attributes:
        flags: in the order of `Flag`.
        overlapped_by: indices of the garments that lie over at least half of it.
    """

    flags: tuple[Flag, ...]
    overlapped_by: tuple[int, ...]


def sharpness(image: Image.Image, boxes_xyxy: NDArray[np.float32]) -> list[float]:
    """How sharp each box is: variance of the Laplacian, in grey levels squared.

    At a common size, so that a small sharp crop is not called blurred for being small.

    Args:
        image: the upright photo, RGB.
        boxes_xyxy: float32 [n, 4], pixels of it.
    """
    if not len(boxes_xyxy):
        return []
    grey = image.convert("L")  # once, and a third of the work for each box
    return [_sharpness(grey, box) for box in boxes_xyxy.tolist()]


def assess(
    size_wh: tuple[int, int],
    boxes_xyxy: NDArray[np.float32],
    sharpnesses: Sequence[float],
    depth_medians: Sequence[float],
) -> list[Quality]:
    """Flags of each garment.

    Args:
        size_wh: of the upright photo, in pixels.
        boxes_xyxy: float32 [n, 4], pixels of it, best score first.
        sharpnesses: of each, from `sharpness`.
        depth_medians: relative inverse depth of each, larger is nearer.
    """
    shares = intersections(boxes_xyxy, boxes_xyxy) / np.maximum(areas(boxes_xyxy), 1e-6)[:, None]
    nearer = np.asarray(depth_medians)[None, :] > np.asarray(depth_medians)[:, None]
    covers = (shares >= COVERED_SHARE) & nearer
    result = []
    for index, box in enumerate(boxes_xyxy):
        over = tuple(int(other) for other in np.flatnonzero(covers[index]) if other != index)
        found = {
            Flag.CUT_BY_FRAME: _cut_by_frame(box, size_wh),
            Flag.TOO_SMALL: bool(min(box[2] - box[0], box[3] - box[1]) < LEAST_SIDE_PX),
            Flag.BLURRED: sharpnesses[index] < BLUR_VARIANCE,
            Flag.OVERLAPPED: bool(over),
        }
        result.append(Quality(tuple(flag for flag, is_so in found.items() if is_so), over))
    return result


def _cut_by_frame(box: NDArray[np.float32], size_wh: tuple[int, int]) -> bool:
    width, height = size_wh
    margin_x, margin_y = max(FRAME_MARGIN * width, 1), max(FRAME_MARGIN * height, 1)
    return bool(box[0] < margin_x or box[1] < margin_y or box[2] > width - margin_x or box[3] > height - margin_y)


def _sharpness(grey: Image.Image, box_xyxy: Sequence[float]) -> float:
    x0, y0, x1, y1 = box_xyxy
    scale = min(BLUR_SIDE_PX / max(x1 - x0, y1 - y0), 1.0)
    size_wh = (max(round((x1 - x0) * scale), 1), max(round((y1 - y0) * scale), 1))
    small = grey.resize(size_wh, Image.Resampling.BILINEAR, box=(x0, y0, x1, y1))
    _, deviation = cv2.meanStdDev(cv2.Laplacian(np.asarray(small), cv2.CV_16S))
    return float(deviation[0, 0]) ** 2
