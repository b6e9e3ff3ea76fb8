"""A photo's pixels as the pipeline sees them: upright, on white, RGB of 8 bits."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fashioncrop.errors import PhotoError
from fashioncrop.results import PhotoInfo

# What the pipeline reads; formats that run a program (EPS) or open further files stay out here too. MPO, the format of
# many phones, is opened by Pillow's JPEG plug-in and is no name of its own here.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_WHITE = (255, 255, 255, 255)

DAMAGED = (OSError, ValueError, SyntaxError, EOFError, IndexError, OverflowError, TypeError, MemoryError)
"""What Pillow's decoders raise on damaged files."""


_ORIENTATION = 0x0112
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})
"""EXIF orientations that exchange width and height."""


def measured(photo_bytes: bytes, *, max_pixels: int) -> PhotoInfo:
    """Size and format of a photo, from its header alone: nothing is decoded.

    Raises:
        PhotoError: it is no photo of a known format, or has more than `max_pixels` pixels.
    """
    try:
        with Image.open(io.BytesIO(photo_bytes), formats=_FORMATS) as opened:
            width, height = opened.size
            if width * height > max_pixels:
                raise _too_many_pixels(f"measures {width} x {height} pixels", max_pixels)
            # Of a PNG whose notes stand behind its pixels, all of them would be decoded.
            if (opened.format != "PNG" or "exif" in opened.info) and opened.getexif().get(_ORIENTATION) in _ON_ITS_SIDE:
                width, height = height, width
            return PhotoInfo(width=width, height=height, format=str(opened.format))
    except UnidentifiedImageError as error:
        raise PhotoError(
            f"The photo is not an image that can be read ({len(photo_bytes)} bytes). Send a file in one of these "
            f"formats: {', '.join(_FORMATS)}."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels("has too many pixels", max_pixels) from error
    except DAMAGED as error:
        raise PhotoError(f"The photo is damaged or cut short: {error}. Send the whole file.") from error


def _too_many_pixels(what: str, max_pixels: int) -> PhotoError:
    return PhotoError(f"The photo {what}; at most {max_pixels} are taken. Scale it down.")


def upright_rgb(photo_bytes: bytes) -> Image.Image:
    """Decode as the pipeline does, so that boxes lie where they were found.

    Raises:
        PhotoError: the photo cannot be decoded; its cause is Pillow's own error.
    """
    try:
        with Image.open(io.BytesIO(photo_bytes), formats=_FORMATS) as opened:
            rgb = _on_white(ImageOps.exif_transpose(opened))
            profile = opened.info.get("icc_profile") if opened.mode == "RGB" else None
    except UnidentifiedImageError as error:  # its text is an address in memory
        raise PhotoError("The photo is of no format that is known here. Pass the photo that was analysed.") from error
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise PhotoError(f"The photo cannot be decoded: {error}. Pass the photo that was analysed.") from error
    # Without the camera's notes: place and date would be saved with what is made of it.
    rgb.info = {"icc_profile": profile} if profile else {}
    return rgb


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, _WHITE), rgba).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits to 8: Pillow's own conversion would clip at 255."""
    values = np.asarray(image).astype(np.int64)
    return Image.fromarray((np.clip(values, 0, 65535) // 257).astype(np.uint8))
