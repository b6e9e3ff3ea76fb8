from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crops import crop_box, jpeg


def test_padding_is_a_share_of_the_box_on_every_side() -> None:
    # 40 wide and 20 high, so a quarter is 10 and 5
    assert crop_box((50, 30, 90, 50), 0.25, (200, 100)) == (40, 25, 100, 55)


def test_without_padding_whole_pixels_hold_all_of_the_box() -> None:
    assert crop_box((10.2, 20.0, 30.0, 39.9), 0.0, (200, 100)) == (10, 20, 30, 40)


def test_padding_ends_at_the_frame() -> None:
    assert crop_box((2, 3, 98, 99), 0.5, (100, 100)) == (0, 0, 100, 100)


@pytest.mark.parametrize(
    ("box", "crop"),
    [
        ((5.4, 5.4, 5.5, 5.6), (5, 5, 6, 6)),
        ((5.0, 5.0, 5.0, 5.0), (5, 5, 6, 6)),
        ((10.0, 8.0, 10.0, 8.0), (9, 7, 10, 8)),
        ((0.0, 0.0, 0.0, 0.0), (0, 0, 1, 1)),
    ],
)
def test_a_box_thinner_than_a_pixel_gives_one_pixel(
    box: tuple[float, float, float, float], crop: tuple[int, int, int, int]
) -> None:
    assert crop_box(box, 0.0, (10, 8)) == crop


@given(data=st.data(), width=st.integers(1, 500), height=st.integers(1, 500), padding=st.floats(0, 1))
def test_a_crop_is_inside_the_photo_around_the_box_and_never_empty(
    data: st.DataObject, width: int, height: int, padding: float
) -> None:
    x0, x1 = sorted(data.draw(st.tuples(*[st.floats(0, width, width=32)] * 2)))
    y0, y1 = sorted(data.draw(st.tuples(*[st.floats(0, height, width=32)] * 2)))
    left, top, right, bottom = crop_box((x0, y0, x1, y1), padding, (width, height))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert left <= x0
    assert x1 <= right
    assert top <= y0
    assert y1 <= bottom


def test_a_crop_becomes_a_jpeg_of_its_size_and_colours(astronaut: Image.Image) -> None:
    crop = astronaut.crop((40, 200, 441, 512))
    file = jpeg(crop)
    assert file.startswith(b"\xff\xd8\xff")
    again = Image.open(io.BytesIO(file))
    assert (again.size, again.mode) == (crop.size, "RGB")
    apart = np.abs(np.asarray(again, np.float32) - np.asarray(crop, np.float32))
    assert apart.mean() < 4
    assert jpeg(crop) == file
