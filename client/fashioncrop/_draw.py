"""The photo with what was found drawn on it, for people to look at."""

from __future__ import annotations

import colorsys
import math
import zlib
from typing import TYPE_CHECKING, Protocol

from PIL import Image, ImageDraw, ImageFont

from fashioncrop._decoding import upright_rgb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_DARK = (16, 16, 16)
_LIGHT = (255, 255, 255)
_SMALLEST_FONT_PX = 6
_MIDDLE_GREY = 127

_Box = tuple[int, int, int, int]
_Colour = tuple[int, int, int]
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_Fitted = tuple[str, _Font, tuple[int, int], tuple[int, int]]
"""Text, font, the label's width and height with its margin, and where its top left corner is from the text's origin."""


class Drawable(Protocol):
    """What is drawn of a garment."""

    @property
    def phrase(self) -> str:
        """What was found."""

    @property
    def score(self) -> float:
        """How sure the detector is, 0 to 1."""

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """`[x0, y0, x1, y1)` in pixels of the upright photo."""


def draw_boxes(photo_bytes: bytes, garments: Iterable[Drawable]) -> Image.Image:
    """Draw a box and a label for every garment.

    Args:
        photo_bytes: the encoded photo that was analysed.
        garments: what was found, the best first: it is drawn last, on top.

    Returns:
        The upright photo, RGB, of its own size.

    Raises:
        PhotoError: the photo cannot be decoded.
    """
    image = upright_rgb(photo_bytes)
    found = list(garments)
    colours = phrase_colours([garment.phrase for garment in found])
    draw = ImageDraw.Draw(image)
    # 3 px on a photo of a million pixels; text that is 24 px high there.
    scale = math.sqrt(image.width * image.height) / 1000
    line_px = max(1, round(3 * scale))
    for garment in reversed(found):
        _draw_box(draw, _pixels(garment.box_xyxy, image.size), colours[garment.phrase], line_px, image.size)
    taken: list[_Box] = []
    for garment in found:
        # A font without a letter draws an empty frame for it; half of a surrogate pair cannot be drawn at all.
        phrase = " ".join(garment.phrase.split()).encode("utf-8", "replace").decode("utf-8")
        score = f"{garment.score:.0%}"
        box = _pixels(garment.box_xyxy, image.size)
        fitted = _fit(draw, phrase, score, max(10, round(24 * scale)), image.size)
        if fitted is not None:
            _draw_label(draw, fitted, box, colours[garment.phrase], size_wh=image.size, taken=taken)
    return image


def phrase_colours(phrases: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """A colour (RGB, 0 to 255) for every phrase.

    A phrase keeps its colour from photo to photo unless another phrase of the same photo has taken it; up to 36 phrases
    have different colours.
    """
    palette = _palette()
    colours: dict[str, _Colour] = {}
    used: set[int] = set()
    for phrase in sorted(set(phrases)):
        slot = zlib.crc32(phrase.encode("utf-8", "replace")) % len(palette)
        if len(used) < len(palette):
            while slot in used:
                slot = (slot + 1) % len(palette)
        used.add(slot)
        colours[phrase] = palette[slot]
    return colours


def _palette() -> Sequence[_Colour]:
    """12 hues in three lightnesses; neighbours are far apart in hue."""
    colours = []
    for lightness in (0.5, 0.32, 0.72):
        for step in range(12):
            red, green, blue = colorsys.hls_to_rgb((step * 5 % 12) / 12, lightness, 0.9)
            colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return colours


def _pixels(box_xyxy: tuple[float, float, float, float], size_wh: tuple[int, int]) -> _Box:
    """The box's outermost pixels, all of them inside the photo: x0, y0, x1, y1, the last two included."""
    width, height = size_wh
    x0 = min(max(math.floor(box_xyxy[0]), 0), width - 1)
    y0 = min(max(math.floor(box_xyxy[1]), 0), height - 1)
    x1 = min(max(math.ceil(box_xyxy[2]) - 1, x0), width - 1)
    y1 = min(max(math.ceil(box_xyxy[3]) - 1, y0), height - 1)
    return x0, y0, x1, y1


def _draw_box(draw: ImageDraw.ImageDraw, box: _Box, colour: _Colour, line_px: int, size_wh: tuple[int, int]) -> None:
    """The line is inside the box; a thin one around and within it separates it from any background."""
    x0, y0, x1, y1 = box
    rim_px = max(1, line_px // 3)
    contrast = _contrast(colour)
    outside = (
        max(x0 - rim_px, 0),
        max(y0 - rim_px, 0),
        min(x1 + rim_px, size_wh[0] - 1),
        min(y1 + rim_px, size_wh[1] - 1),
    )
    if min(x1 - x0, y1 - y0) > 2 * (line_px + rim_px):
        draw.rectangle((x0, y0, x1, y1), outline=contrast, width=line_px + rim_px)
    draw.rectangle(outside, outline=contrast, width=rim_px)
    draw.rectangle((x0, y0, x1, y1), outline=colour, width=line_px)


def _draw_label(
    draw: ImageDraw.ImageDraw,
    fitted: _Fitted,
    box: _Box,
    colour: _Colour,
    *,
    size_wh: tuple[int, int],
    taken: list[_Box],
) -> None:
    """Write the text near the box, inside the photo, and off labels that are there where that is possible."""
    text, font, (width, height), (left, top) = fitted
    x0, y0, x1, y1 = box
    places = (
        (x0, y0 - height),  # on top of the box
        (x0, y0),  # inside it, at the top
        (x0, y1 + 1),  # below it
        (x0, y1 + 1 - height),  # inside it, at the bottom
        (x1 + 1 - width, y0 - height),
        (x1 + 1 - width, y0),
    )
    right, bottom = size_wh[0] - width, size_wh[1] - height
    inside = [(min(max(x, 0), right), y) for x, y in places if 0 <= y <= bottom]
    inside = inside or [(min(max(x0, 0), right), min(max(y0, 0), bottom))]
    areas = [(x, y, x + width, y + height) for x, y in inside]
    area = next((area for area in areas if not any(_overlap(area, other) for other in taken)), areas[0])
    taken.append(area)
    draw.rectangle((area[0], area[1], area[2] - 1, area[3] - 1), fill=colour)
    draw.text((area[0] - left, area[1] - top), text, font=font, fill=_contrast(colour))


def _fit(draw: ImageDraw.ImageDraw, phrase: str, score: str, font_px: int, size_wh: tuple[int, int]) -> _Fitted | None:
    """Phrase and score, smaller or the phrase shorter if the photo is too narrow; None where nothing fits."""
    for size_px in sorted({font_px, max(font_px * 3 // 4, _SMALLEST_FONT_PX), _SMALLEST_FONT_PX}, reverse=True):
        measured = _measure(draw, f"{phrase} {score}", size_px)
        if _fits(measured, size_wh):
            return measured
    best = _measure(draw, score, _SMALLEST_FONT_PX)
    if not _fits(best, size_wh):
        return None
    # Longest beginning that fits, by bisection; a phrase may have thousands of letters.
    longest, too_long = 0, len(phrase)
    while too_long - longest > 1:
        middle = (longest + too_long) // 2
        measured = _measure(draw, f"{phrase[:middle]}... {score}", _SMALLEST_FONT_PX)
        if _fits(measured, size_wh):
            longest, best = middle, measured
        else:
            too_long = middle
    return best


def _measure(draw: ImageDraw.ImageDraw, text: str, size_px: int) -> _Fitted:
    font = ImageFont.load_default(size_px)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    margin = max(1, size_px // 6)
    width, height = math.ceil(right) - math.floor(left), math.ceil(bottom) - math.floor(top)
    return text, font, (width + 2 * margin, height + 2 * margin), (math.floor(left) - margin, math.floor(top) - margin)


def _fits(measured: _Fitted, size_wh: tuple[int, int]) -> bool:
    _, _, (width, height), _ = measured
    return width <= size_wh[0] and height <= size_wh[1]


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _contrast(colour: _Colour) -> _Colour:
    """Black or white, whichever is farther from `colour` in luminance (ITU-R BT.601 weights)."""
    red, green, blue = colour
    return _DARK if 0.299 * red + 0.587 * green + 0.114 * blue > _MIDDLE_GREY else _LIGHT
