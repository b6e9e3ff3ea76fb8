"""Cutting a garment out of the photo."""

from __future__ import annotations

import io
import math

from PIL import Image

JPEG_QUALITY = 90
"""High enough that a shop can print it; subsampling is Pillow's own for this quality (4:2:0)."""

PixelBox = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels of the upright photo, x1 and y1 excluded."""


def crop_box(box_xyxy: tuple[float, float, float, float], padding: float, size_wh: tuple[int, int]) -> PixelBox:
    """The box grown by `padding` times its own width and height on every side, whole pixels, inside the photo.

    At least one pixel each way, also for a box thinner than that.
    """
    x0, y0, x1, y1 = box_xyxy
    width, height = size_wh
    grow_x, grow_y = padding * (x1 - x0), padding * (y1 - y0)
    left = min(max(math.floor(x0 - grow_x), 0), width - 1)
    top = min(max(math.floor(y0 - grow_y), 0), height - 1)
    right = min(max(math.ceil(x1 + grow_x), left + 1), width)
    bottom = min(max(math.ceil(y1 + grow_y), top + 1), height)
    return left, top, right, bottom


def jpeg(crop: Image.Image) -> bytes:
    """The crop as a JPEG file."""
    buffer = io.BytesIO()
    crop.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
