"""The photos that speed is measured on: drawn test scenes of one size, or a folder of somebody's own."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fashioncrop.errors import OptionError, PhotoError

JPEG_QUALITY = 90
_SIZE = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})", re.ASCII)
_ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class SamplePhoto:
    """One encoded photo.

    Attributes:
        name: of the file, or of the scene.
        data: the file.
        size_wh: width and height in pixels, as stored.
    """

    name: str
    data: bytes
    size_wh: tuple[int, int]


def parse_size(text: str) -> tuple[int, int]:
    """Width and height from `1920x1080`.

    Raises:
        OptionError: it is not of that form.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise OptionError(f"A size is WIDTHxHEIGHT in pixels, such as 1920x1080; got {text}.")
    return int(match[1]), int(match[2])


def drawn_photos(count: int, size_wh: tuple[int, int]) -> list[SamplePhoto]:
    """The first so many of the project's test scenes, each a JPEG of this size.

    Raises:
        OptionError: there are not so many.
    """
    from fashioncrop_paperdoll.scene import TEST_SEEDS, draw_scene  # noqa: PLC0415 - needs OpenCV

    if not 1 <= count <= len(TEST_SEEDS):
        raise OptionError(f"There are {len(TEST_SEEDS)} test scenes; --photos {count} asks for another number.")
    photos = []
    for seed in TEST_SEEDS[:count]:
        file = io.BytesIO()
        Image.fromarray(draw_scene(seed, *size_wh).image).save(file, "JPEG", quality=JPEG_QUALITY)
        photos.append(SamplePhoto(f"scene {seed}", file.getvalue(), size_wh))
    return photos


def photos_in(folder: Path, count: int) -> list[SamplePhoto]:
    """The first so many photos of a folder, in the order of their names.

    Raises:
        PhotoError: there are none, or one cannot be read.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in _ENDINGS)[:count]
    if not files:
        raise PhotoError(
            f"{folder} has no photos ({', '.join(sorted(_ENDINGS))}). Name a folder that has: --folder DIR."
        )
    photos = []
    for path in files:
        try:
            with Image.open(path) as image:
                photos.append(SamplePhoto(path.name, path.read_bytes(), image.size))
        except OSError as error:
            raise PhotoError(f"{path} cannot be read: {error}. Take it out of the folder.") from error
    return photos


def about(photos: Sequence[SamplePhoto]) -> str:
    """A sentence about them."""
    sizes = sorted({f"{width} x {height}" for width, height in (photo.size_wh for photo in photos)})
    mean_kb = sum(len(photo.data) for photo in photos) / len(photos) / 1000
    some = ", ".join(sizes[:3]) + (f" and {len(sizes) - 3} other sizes" if len(sizes) > 3 else "")  # noqa: PLR2004
    return f"{len(photos)} photos of {some} pixels, {mean_kb:.0f} KB a file on average."
