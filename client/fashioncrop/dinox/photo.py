"""The photo as it is sent: upright, not larger than the service wants it, and without the camera's notes."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fashioncrop.errors import PhotoError

# What the pipeline reads. Left out on purpose: formats that run a program (EPS) or open further files.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, IndexError, OverflowError, TypeError, MemoryError)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_MAX_PIXELS = 89_000_000  # just below where Pillow itself begins to warn
_JPEG_QUALITY = 90


@dataclass(frozen=True)
class SentPhoto:
    """A photo, ready to be sent.

    Attributes:
        data_url: `data:image/jpeg;base64,...`.
        size_wh: of the upright photo, in pixels.
        sent_wh: of what is sent, in pixels; boxes come back in these.
    """

    data_url: str
    size_wh: tuple[int, int]
    sent_wh: tuple[int, int]


def prepare(data: bytes, *, max_side_px: int) -> SentPhoto:
    """Decode, turn upright, scale down and encode anew, as JPEG.

    Place, date and owner in the file's EXIF stay here: only pixels are sent.

    Raises:
        PhotoError: the photo cannot be decoded, or is too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
            width, height = opened.size
            if width * height > _MAX_PIXELS:
                raise _too_large()
            # Turned by a quarter where EXIF says so: orientations 5 to 8.
            turned = opened.getexif().get(0x0112, 1) in range(5, 9)
            opened.draft("RGB", (max_side_px, max_side_px))
            upright = _rgb(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError:
        raise PhotoError(
            f"The photo is not an image that can be read ({len(data)} bytes). Pass a file in one of these formats: "
            f"{', '.join(_FORMATS)}."
        ) from None
    except _BOMBS as error:
        raise _too_large() from error
    except _DAMAGED as error:
        raise PhotoError(f"The photo is damaged or cut short: {error}. Pass the whole file.") from error
    size_wh = (height, width) if turned else (width, height)
    scale = min(1.0, max_side_px / max(size_wh))
    sent_wh = (max(1, round(size_wh[0] * scale)), max(1, round(size_wh[1] * scale)))
    if upright.size != sent_wh:
        upright = upright.resize(sent_wh, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    upright.save(file, "JPEG", quality=_JPEG_QUALITY)
    return SentPhoto(
        data_url="data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii"),
        size_wh=size_wh,
        sent_wh=sent_wh,
    )


def _too_large() -> PhotoError:
    return PhotoError(f"The photo has more than {_MAX_PIXELS} pixels. Scale it down.")


def _rgb(image: Image.Image) -> Image.Image:
    """As the pipeline does it: 16 bits to 8, transparency on white."""
    if image.mode.startswith("I"):
        values = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        image = Image.fromarray((values // 257).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
    rgb = image.convert("RGB")
    rgb.info = {}
    return rgb
