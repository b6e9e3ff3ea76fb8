"""One image for many crops: numbered, packed on a grid, and of a size that the model looks at as it is.

A provider charges for images, not for crops, so one sheet for all garments of a photo costs a fraction of one image
each. At low detail a model sees 512 x 512 pixels of whatever is sent, at high detail 2048 x 768; a sheet is never
larger, so that nothing is scaled again behind our back.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image, ImageDraw, ImageFont

from fashioncrop._decoding import DAMAGED, upright_rgb
from fashioncrop.describing.settings import Detail
from fashioncrop.errors import PhotoError

_Item = TypeVar("_Item")

MAX_CROPS_PER_SHEET = 16
"""More crops go on several sheets, each a call of its own: 16 on 512 x 512 leave about 120 pixels for each."""

LAYOUT_VERSION = 1
"""Raised when the same crops are drawn differently: a model would say something else of them."""

_LOW_WH = (512, 512)
# Few crops do not need the widest sheet, and a model that counts squares of 512 pixels charges for the width.
_HIGH_WH = ((4, (1024, 768)), (9, (1536, 768)), (MAX_CROPS_PER_SHEET, (2048, 768)))
_PHOTO_HIGH_PX = (2048, 768)
"""Longest side, shortest side."""

_GAP_PX = 4
_LABEL_PX = 22
_FONT_PX = 18
_MIN_CELL_WH = (36, 12)
"""A label of two digits fits above it."""
_MAX_ENLARGEMENT = 2.0
_MAX_CROP_PIXELS = 100_000_000
_QUALITY = 88
_BACKGROUND = (226, 226, 226)
_FRAME = (120, 120, 120)
_PLATE = (16, 16, 16)
_DIGITS = (255, 255, 255)


@dataclass(frozen=True)
class Picture:
    """An image to be sent.

    Attributes:
        jpeg: the file.
        size_wh: in pixels.
    """

    jpeg: bytes
    size_wh: tuple[int, int]


@dataclass(frozen=True)
class Sheet:
    """Numbered crops on one image.

    Attributes:
        picture: None where no crop can be read.
        numbers: of the crops that are on it.
        unreadable: numbers of the crops that are not, because they are no images.
    """

    picture: Picture | None
    numbers: tuple[int, ...]
    unreadable: tuple[int, ...]


@dataclass(frozen=True)
class _Grid:
    columns: int
    cell_wh: tuple[int, int]
    """Room for a crop, its label and the gap left out."""


def share_out(items: Sequence[_Item]) -> list[Sequence[_Item]]:
    """The items in order, in as few groups of at most `MAX_CROPS_PER_SHEET` as there can be, of nearly equal size."""
    groups = math.ceil(len(items) / MAX_CROPS_PER_SHEET)
    if not groups:
        return []
    smaller, larger_groups = divmod(len(items), groups)
    edges = [0]
    for group in range(groups):
        edges.append(edges[-1] + smaller + (group < larger_groups))
    return [items[start:stop] for start, stop in itertools.pairwise(edges)]


def largest_size(crops: int, detail: Detail) -> tuple[int, int]:
    """Width and height in pixels that a sheet of so many crops may take."""
    if detail == "low":
        return _LOW_WH
    return next(size_wh for most, size_wh in _HIGH_WH if crops <= most)


def make_sheet(crops: Sequence[tuple[int, bytes]], detail: Detail) -> Sheet:
    """Draw the crops on one sheet.

    Args:
        crops: up to `MAX_CROPS_PER_SHEET` pairs of number and encoded image; the numbers are drawn.
        detail: how large the sheet may be.

    Returns:
        The sheet; equal crops give equal bytes.
    """
    if len(crops) > MAX_CROPS_PER_SHEET:
        raise ValueError(f"A sheet takes {MAX_CROPS_PER_SHEET} crops; got {len(crops)}.")
    images = {number: _opened(data) for number, data in crops}
    readable = {number: image for number, image in images.items() if image is not None}
    unreadable = tuple(number for number, image in images.items() if image is None)
    if not readable:
        return Sheet(None, (), unreadable)
    grid = _best_grid([image.size for image in readable.values()], largest_size(len(readable), detail))
    picture = _encoded(_drawn(readable, grid))
    return Sheet(picture, tuple(readable), unreadable)


def fit_photo(photo: bytes, detail: Detail) -> Picture:
    """The whole photo, upright, no larger than a model looks at.

    Raises:
        PhotoError: it cannot be read.
    """
    try:
        image = upright_rgb(photo)
    except PhotoError as error:
        raise PhotoError(f"The photo cannot be shown to the model. {error}") from error
    image.info = {}
    if detail == "low":
        image.thumbnail(_LOW_WH, Image.Resampling.LANCZOS)
    else:
        longest, shortest = _PHOTO_HIGH_PX
        scale = min(1.0, longest / max(image.size), shortest / min(image.size))
        image = _resized(image, scale)
    return _encoded(image)


def _opened(data: bytes) -> Image.Image | None:
    """The crop, or None: a file of the server's own can still be cut off on its way."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as opened:
            if opened.width * opened.height > _MAX_CROP_PIXELS:
                return None
            # A JPEG is decoded at the smallest size that has enough pixels for a sheet.
            opened.draft("RGB", (_PHOTO_HIGH_PX[1], _PHOTO_HIGH_PX[1]))
            image = opened.convert("RGB")
    # Pillow's decoders raise all of these on damaged files.
    except (*DAMAGED, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    return image


def _best_grid(sizes_wh: Sequence[tuple[int, int]], sheet_wh: tuple[int, int]) -> _Grid:
    """The grid that shows the crops largest, the fewest columns of equal ones."""
    grids = []
    for columns in range(1, len(sizes_wh) + 1):
        rows = math.ceil(len(sizes_wh) / columns)
        cell_wh = (
            (sheet_wh[0] - _GAP_PX) // columns - _GAP_PX,
            (sheet_wh[1] - _GAP_PX) // rows - _GAP_PX - _LABEL_PX,
        )
        if cell_wh[0] >= _MIN_CELL_WH[0] and cell_wh[1] >= _MIN_CELL_WH[1]:
            grids.append(_Grid(columns, cell_wh))

    def shown(grid: _Grid) -> float:
        return sum(width * height * _scale((width, height), grid.cell_wh) ** 2 for width, height in sizes_wh)

    return max(grids, key=shown)


def _scale(size_wh: tuple[int, int], cell_wh: tuple[int, int]) -> float:
    return min(_MAX_ENLARGEMENT, cell_wh[0] / size_wh[0], cell_wh[1] / size_wh[1])


def _drawn(images: dict[int, Image.Image], grid: _Grid) -> Image.Image:
    """Columns as wide and rows as high as their largest crop, so that the sheet has no empty edge to pay for."""
    font = ImageFont.load_default(_FONT_PX)
    shown = [(number, _resized(image, _scale(image.size, grid.cell_wh))) for number, image in images.items()]
    rows = [shown[start : start + grid.columns] for start in range(0, len(shown), grid.columns)]
    plate_px = max(math.ceil(font.getlength(str(number))) for number in images) + 10
    widths = [
        max(plate_px, *(image.width for _, image in shown[column :: grid.columns]))
        for column in range(min(grid.columns, len(shown)))
    ]
    heights = [_LABEL_PX + max(image.height for _, image in row) for row in rows]
    sheet = Image.new("RGB", (_extent(widths), _extent(heights)), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    y = _GAP_PX
    for row, height in zip(rows, heights, strict=True):
        x = _GAP_PX
        for (number, image), width in zip(row, widths, strict=False):
            _draw_crop(sheet, draw, number, image, (x, y), font, plate_px)
            x += width + _GAP_PX
        y += height + _GAP_PX
    return sheet


def _extent(parts_px: Sequence[int]) -> int:
    return sum(parts_px) + _GAP_PX * (len(parts_px) + 1)


def _draw_crop(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    number: int,
    image: Image.Image,
    at_xy: tuple[int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    plate_px: int,
) -> None:
    """The number stands above its crop, never on it: what is under a label cannot be described."""
    x, y = at_xy
    draw.rectangle((x, y, x + plate_px - 1, y + _LABEL_PX - 2), fill=_PLATE)
    draw.text((x + plate_px / 2, y + (_LABEL_PX - 1) / 2), str(number), font=font, fill=_DIGITS, anchor="mm")
    top = y + _LABEL_PX
    # A white garment on a white ground would run into the sheet.
    draw.rectangle((x - 1, top - 1, x + image.width, top + image.height), outline=_FRAME)
    sheet.paste(image, (x, top))


def _resized(image: Image.Image, scale: float) -> Image.Image:
    size_wh = (max(1, math.floor(image.width * scale)), max(1, math.floor(image.height * scale)))
    return image if size_wh == image.size else image.resize(size_wh, Image.Resampling.LANCZOS)


def _encoded(image: Image.Image) -> Picture:
    file = io.BytesIO()
    # Colours at full resolution: thin stripes keep theirs.
    image.save(file, "JPEG", quality=_QUALITY, subsampling=0, optimize=True)
    return Picture(file.getvalue(), image.size)
