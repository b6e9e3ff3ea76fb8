"""From the bytes of an uploaded file to upright RGB pixels, refusing what is too large before it is decoded."""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from problems import refuse

# This module's own limit is checked on every file, from the header; Pillow's would warn in the server's log.
Image.MAX_IMAGE_PIXELS = None
# Notes about odd metadata are not worth a line each in the server's log.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
Image.init()  # Pillow registers its less common formats only when asked

FORMATS = tuple(name for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "MPO", "AVIF") if name in Image.OPEN)
"""Formats that are tried. Left out on purpose: formats that run a program (EPS) or read further files."""


_DECODED_ONCE = ("JPEG", "MPO")
"""Formats whose image keeps nothing but its pixels once it is loaded; WebP's and AVIF's keep their decoder's too."""

MOST_SIDE_PX = 65_500
"""What a JPEG can hold, and so what a crop can."""


@dataclass(frozen=True)
class Limits:
    """What a photo may measure.

    Attributes:
        max_bytes: size of the file.
        max_pixels: width times height.
    """

    max_bytes: int
    max_pixels: int


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    Attributes:
        image: mode RGB, upright (EXIF orientation applied), alpha laid on white; the first frame of an animation.
        format: the file's format, as Pillow names it.
    """

    image: Image.Image
    format: str

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the upright photo, in pixels."""
        return self.image.size


def decode_photo(data: bytes, limits: Limits) -> Photo:
    """Decode an encoded photo, or a `data:` URL that holds one.

    Raises:
        ProblemError: INVALID_ARG; the file is empty, too large, truncated, or not a photo.
    """
    if data[:5].lower() == b"data:":
        data = _from_data_url(data)
    if not data:
        raise refuse("The photo is empty: 0 bytes were sent as `image`.")
    if len(data) > limits.max_bytes:
        raise refuse(
            f"The photo has {len(data)} bytes; this server takes at most {limits.max_bytes}. Send a smaller file, or "
            "raise the pipeline's parameter max_image_bytes."
        )
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            _check_pixels(opened, limits)
            opened.load()
            return Photo(image=_upright_rgb(opened), format=str(opened.format))
    except UnidentifiedImageError as error:
        raise refuse(
            f"The photo is not an image that can be read ({len(data)} bytes). Send a file in one of these formats: "
            f"{', '.join(FORMATS)}."
        ) from error
    # Pillow's decoders raise these on damaged files: OSError for most, the rest from single plug-ins.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, OverflowError, TypeError, MemoryError) as error:
        raise refuse(
            f"The photo is damaged or cut short and cannot be decoded: {error}. Send the whole file."
        ) from error


def _from_data_url(data: bytes) -> bytes:
    header, comma, payload = data.partition(b",")
    if not comma or not header.lower().endswith(b";base64"):
        raise refuse(
            "The photo's data: URL is not of the form data:image/jpeg;base64,... . Send base64, or the file itself."
        )
    try:
        return base64.b64decode(payload, validate=True)
    except binascii.Error as error:
        raise refuse(f"The photo's data: URL does not hold base64: {error}.") from error


def _check_pixels(image: Image.Image, limits: Limits) -> None:
    width, height = image.size
    if max(width, height) > MOST_SIDE_PX:
        raise refuse(
            f"The photo measures {width} x {height} pixels; a side may have at most {MOST_SIDE_PX}, as in a JPEG. "
            "Scale it down, or cut it into pieces."
        )
    if width * height > limits.max_pixels:
        raise refuse(
            f"The photo measures {width} x {height} pixels; this server takes at most {limits.max_pixels} in all. "
            "Scale it down, or raise the pipeline's parameter max_image_pixels."
        )


def _upright_rgb(image: Image.Image) -> Image.Image:
    if image.format in _DECODED_ONCE and image.mode == "RGB":
        # What most photos are, and for them neither step has to copy the pixels.
        ImageOps.exif_transpose(image, in_place=True)
        return image
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        upright = _eight_bits(upright)
    if upright.has_transparency_data:
        # Shops cut products out; the page behind them is white.
        rgba = upright.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return upright.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits to 8: Pillow's own conversion would clip at 255 and make almost everything white."""
    values = np.asarray(image)
    if values.dtype != np.uint16:
        values = np.clip(values, 0, 65535).astype(np.uint16)
    return Image.fromarray((values // 257).astype(np.uint8))
