"""A depth map as a picture of 16 bits, as an array, or as JSON: whatever the caller accepts."""

from __future__ import annotations

import io
import json

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from pydantic import BaseModel
from starlette.responses import Response

from fashioncrop.gateway.bodies import JSON

PNG = "image/png"
NPY = "application/x-npy"
MINIMUM, MAXIMUM = "X-Depth-Minimum", "X-Depth-Maximum"
_MOST = 65_535


class DepthMap(BaseModel):
    """Relative inverse depth of a whole photo, on the estimator's own grid.

    Attributes:
        shape_hw: rows and columns of the grid, which lies over the whole photo.
        minimum: the smallest value: what is farthest.
        maximum: the largest value: what is nearest.
        values: rows from the top, each from the left; larger is nearer, no unit, comparable within one photo only.
    """

    shape_hw: tuple[int, int]
    minimum: float
    maximum: float
    values: list[list[float]]


def limits(depth: NDArray[np.float32]) -> tuple[float, float]:
    """The smallest and the largest value."""
    return float(depth.min()), float(depth.max())


def as_json(depth: NDArray[np.float32]) -> bytes:
    """As `DepthMap`; a row at a time, so that nothing else has to wait for all of it."""
    low, high = limits(depth)
    rows = ",".join(json.dumps([round(value, 5) for value in row.tolist()]) for row in depth)
    height, width = depth.shape
    return f'{{"shape_hw":[{height},{width}],"minimum":{low!r},"maximum":{high!r},"values":[{rows}]}}'.encode()


def as_png(depth: NDArray[np.float32]) -> bytes:
    """Grey of 16 bits: 0 is the minimum, 65,535 the maximum; both are in the file's texts."""
    low, high = limits(depth)
    scaled = (depth.astype(np.float64) - low) * (_MOST / (high - low)) if high > low else np.zeros(depth.shape)
    told = PngImagePlugin.PngInfo()
    told.add_text("depth-minimum", repr(low))
    told.add_text("depth-maximum", repr(high))
    file = io.BytesIO()
    Image.fromarray(np.rint(scaled).astype(np.uint16)).save(file, "PNG", pnginfo=told)
    return file.getvalue()


def as_npy(depth: NDArray[np.float32]) -> bytes:
    """As numpy writes an array: float32 [height, width]."""
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(depth, "<f4"), allow_pickle=False)
    return file.getvalue()


def answer(depth: NDArray[np.float32], media: str) -> Response:
    """The answer in a form that the caller accepts."""
    low, high = limits(depth)
    write = {PNG: as_png, NPY: as_npy, JSON: as_json}[media]
    return Response(write(depth), media_type=media, headers={MINIMUM: repr(low), MAXIMUM: repr(high)})


def accepted(header: str | None, offered: tuple[str, ...]) -> str | None:
    """Which of the offered forms an `Accept` header likes best; None where none is taken (RFC 9110, 12.5.1)."""
    if header is None or not header.strip():
        return offered[0]
    ranges = []
    for part in header.lower().split(","):
        media, *parameters = (word.strip() for word in part.split(";"))
        weight = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        try:
            ranges.append((media, float(weight)))
        except ValueError:
            continue
    best, likes_it = None, 0.0
    for form in offered:
        # The most specific range decides.
        names = (form, form.partition("/")[0] + "/*", "*/*")
        quality = next((found for name in names for media, found in ranges if media == name), 0.0)
        if quality > likes_it:
            best, likes_it = form, quality
    return best
