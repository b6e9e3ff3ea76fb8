"""How far each garment is from the camera, compared with the others of the photo."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_GRID_PIXELS = 4_000_000
"""Depth is read at the photo's own resolution up to this size, and at this size for larger photos: a median over
millions of pixels does not change, the memory does."""
MEASURED_CELLS = 16_384
"""Of a box with more cells only every second, third ... row and column is read, so that at most so many are. What is
called the median then has 48.5 to 51.5 % of all cells below it, and the quartiles likewise."""


@dataclass(frozen=True)
class Depth:
    """Depth of one garment, in relative inverse depth (larger is nearer, no unit, one photo only).

    Attributes:
        median: median over the box.
        spread: interquartile range over the box.
        order: 1 is the nearest garment; garments of equal median share a number.
    """

    median: float
    spread: float
    order: int


def over_photo(depth_map: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """The estimator's map at the photo's resolution, or at `MAX_GRID_PIXELS`. float32 [height, width].

    Bicubic with a = -0.75 and half-pixel centres: OpenCV's INTER_CUBIC equals torch's `interpolate(mode="bicubic",
    align_corners=False)`, which transformers' `post_process_depth_estimation` uses.
    """
    width, height = size_wh
    shrink = min(1.0, (MAX_GRID_PIXELS / (width * height)) ** 0.5)
    grid_wh = (max(round(width * shrink), 1), max(round(height * shrink), 1))
    return np.asarray(cv2.resize(depth_map, grid_wh, interpolation=cv2.INTER_CUBIC), np.float32)


def measure(
    depth_over_photo: NDArray[np.float32], boxes_xyxy: NDArray[np.float32], size_wh: tuple[int, int]
) -> list[Depth]:
    """Depth of each box.

    Args:
        depth_over_photo: from `over_photo`.
        boxes_xyxy: float32 [n, 4], pixels of the photo.
        size_wh: the photo's width and height in pixels.
    """
    grid_h, grid_w = depth_over_photo.shape
    scale = np.asarray([grid_w / size_wh[0], grid_h / size_wh[1]] * 2)
    medians, spreads = [], []
    for box in boxes_xyxy * scale:
        left, right = _cells(box[0], box[2], grid_w)
        top, bottom = _cells(box[1], box[3], grid_h)
        step = math.ceil(((right - left) * (bottom - top) / MEASURED_CELLS) ** 0.5)
        low, middle, high = np.percentile(depth_over_photo[top:bottom:step, left:right:step], [25, 50, 75])
        medians.append(float(middle))
        spreads.append(float(high - low))
    orders = [1 + sum(other > median for other in medians) for median in medians]
    return [Depth(*values) for values in zip(medians, spreads, orders, strict=True)]


def _cells(low: float, high: float, length: int) -> tuple[int, int]:
    """First cell and one past the last of an interval, at least one cell."""
    first = min(max(int(np.floor(low)), 0), length - 1)
    return first, min(max(int(np.ceil(high)), first + 1), length)
