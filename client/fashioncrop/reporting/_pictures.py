"""Pictures as `data:` URIs: small enough for a page, and without what a camera noted in them."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

from PIL import Image

from fashioncrop._decoding import upright_rgb
from fashioncrop.errors import PhotoError
from fashioncrop.results import Crop, PhotoInfo

PHOTO_PX = 1280
CROP_PX = 480
_QUALITY = 86
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class Picture:
    """A JPEG for an `img` element.

    Attributes:
        uri: `data:image/jpeg;base64,...`.
        width: in pixels.
        height: in pixels.
    """

    uri: str
    width: int
    height: int


def decoded(photo: bytes, info: PhotoInfo) -> Image.Image | str:
    """The upright photo, RGB, or the sentence that says why it cannot be shown.

    Raises:
        PhotoError: it is not the photo that `info` is about.
    """
    try:
        image = upright_rgb(photo)
    except PhotoError:
        return "This photo cannot be shown: its file cannot be decoded here."
    if image.size != (info.width, info.height):
        raise PhotoError(
            f"The analysis is of a photo of {info.width} x {info.height} pixels, and the one given with it has "
            f"{image.width} x {image.height}. Pass the photo that was analysed."
        )
    return image


def photo_picture(image: Image.Image) -> Picture:
    """The photo, at most `PHOTO_PX` on its longer side."""
    return _encoded(image, PHOTO_PX)


def crop_picture(crop: Crop, photo: Image.Image | None) -> Picture | None:
    """The crop as it is; scaled where it is large, cut out of the photo where it is not there; None without both."""
    if crop.jpeg is not None:
        try:
            with Image.open(io.BytesIO(crop.jpeg), formats=("JPEG",)) as opened:
                if max(opened.size) <= CROP_PX:
                    opened.load()
                    return Picture(_uri(crop.jpeg), opened.width, opened.height)
                return _encoded(opened.convert("RGB"), CROP_PX)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            pass  # damaged; the photo has the same pixels
    if photo is None:
        return None
    x0, y0, x1, y1 = crop.box_xyxy
    inside = max(x0, 0), max(y0, 0), min(x1, photo.width), min(y1, photo.height)
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        return None
    return _encoded(photo.crop(inside), CROP_PX)


def _encoded(image: Image.Image, longest_px: int) -> Picture:
    scale = min(1.0, longest_px / max(image.size))
    size = (max(1, math.floor(image.width * scale)), max(1, math.floor(image.height * scale)))
    small = image.resize(size, Image.Resampling.LANCZOS) if size != image.size else image
    profile = image.info.get("icc_profile")
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY, optimize=True, **({"icc_profile": profile} if profile else {}))
    return Picture(_uri(file.getvalue()), *size)


def _uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
