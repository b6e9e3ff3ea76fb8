"""A photo's pixels as the pipeline sees them: upright, on white, RGB of 8 bits."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fashioncrop.errors import PhotoError

# What the pipeline reads; formats that run a program (EPS) or open further files stay out here too. MPO, the format of
# many phones, is opened by Pillow's JPEG plug-in and is no name of its own here.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_WHITE = (255, 255, 255, 255)

DAMAGED = (OSError, ValueError, SyntaxError, EOFError, IndexError, OverflowError, TypeError, MemoryError)
"""What Pillow's decoders raise on damaged files."""


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
