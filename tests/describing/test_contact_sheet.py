"""The sheet: every crop on it, large enough, numbered, within what a model looks at, the same each time."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fashioncrop.describing.settings import Detail
from fashioncrop.describing.sheet import (
    MAX_CROPS_PER_SHEET,
    Picture,
    fit_photo,
    largest_size,
    make_sheet,
    share_out,
)
from fashioncrop.errors import PhotoError

PLATE = (16, 16, 16)


def opened(picture: Picture | None) -> Image.Image:
    assert picture is not None
    image = Image.open(io.BytesIO(picture.jpeg))
    assert image.format == "JPEG"
    assert image.size == picture.size_wh
    return image.convert("RGB")


def area_of(image: Image.Image, rgb: tuple[int, int, int]) -> int:
    """Pixels of about this colour."""
    off = np.abs(np.asarray(image).astype(int) - np.array(rgb)).max(axis=2)
    return int((off < 24).sum())


def colours(count: int) -> list[tuple[int, int, int]]:
    return [(255, 40 + 12 * place, 255 - 12 * place) for place in range(count)]


@pytest.mark.parametrize("detail", ["low", "high"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 16])
def test_every_crop_is_on_the_sheet_and_it_fits(jpeg: Callable[..., bytes], count: int, detail: Detail) -> None:
    sheet = make_sheet([(n + 1, jpeg(200, 300, rgb)) for n, rgb in enumerate(colours(count))], detail)
    image = opened(sheet.picture)
    assert sheet.numbers == tuple(range(1, count + 1))
    assert sheet.unreadable == ()
    width, height = (512, 512) if detail == "low" else (2048, 768)
    assert image.width <= width
    assert image.height <= height
    least = image.width * image.height / count / 6
    assert all(area_of(image, rgb) > least for rgb in colours(count))
    assert area_of(image, PLATE) > 100 * count, "a plate for each number"


@given(sizes=st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 2000)), min_size=1, max_size=MAX_CROPS_PER_SHEET))
@settings(max_examples=25)
def test_crops_of_any_shape_fit_on_a_low_sheet(jpeg: Callable[..., bytes], sizes: list[tuple[int, int]]) -> None:
    sheet = make_sheet([(n + 1, jpeg(*size)) for n, size in enumerate(sizes)], "low")
    assert sheet.picture is not None
    assert max(sheet.picture.size_wh) <= 512
    assert sheet.numbers == tuple(range(1, len(sizes) + 1))


def test_the_number_stands_above_the_crop_and_not_on_it(jpeg: Callable[..., bytes]) -> None:
    image = opened(make_sheet([(7, jpeg(100, 100, (250, 30, 30)))], "low").picture)
    pixels = np.asarray(image).astype(int)
    red = (pixels[..., 0] > 200) & (pixels[..., 1] < 100)
    rows, columns = np.nonzero(red)
    assert red[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].mean() > 0.97, "no hole in it"
    dark = np.nonzero((pixels.max(axis=2) < 40).any(axis=1))[0]
    assert dark.max() < rows.min()
    white = ((pixels.min(axis=2) > 240).any(axis=1)).nonzero()[0]
    assert white.max() - white.min() >= 9, "the digit is legible"


def test_different_numbers_look_different(jpeg: Callable[..., bytes]) -> None:
    sheets = [make_sheet([(number, jpeg())], "low").picture for number in (1, 2, 12)]
    assert len({sheet.jpeg for sheet in sheets if sheet is not None}) == 3


def test_small_crops_are_enlarged_at_most_twice(jpeg: Callable[..., bytes]) -> None:
    image = opened(make_sheet([(1, jpeg(40, 50, (250, 30, 30)))], "low").picture)
    assert 0.9 < area_of(image, (250, 30, 30)) / (80 * 100) < 1.1


def test_equal_crops_give_equal_bytes(jpeg: Callable[..., bytes]) -> None:
    crops = [(1, jpeg()), (2, jpeg(80, 30))]
    assert make_sheet(crops, "low") == make_sheet(crops, "low")


@pytest.mark.parametrize("broken", [b"", b"not an image", b"GIF89a"])
def test_a_crop_that_is_no_image_is_named_and_the_others_are_drawn(jpeg: Callable[..., bytes], broken: bytes) -> None:
    sheet = make_sheet([(1, broken), (2, jpeg())], "low")
    assert sheet.picture is not None
    assert (sheet.numbers, sheet.unreadable) == ((2,), (1,))
    nothing = make_sheet([(1, broken)], "low")
    assert (nothing.picture, nothing.numbers, nothing.unreadable) == (None, (), (1,))


def test_a_crop_that_is_cut_off_is_named(noise: Callable[[int, int], Image.Image]) -> None:
    file = io.BytesIO()
    noise(200, 200).save(file, "JPEG")
    assert make_sheet([(1, file.getvalue()[:4000])], "low").unreadable == (1,)


def test_grey_and_transparent_crops_are_drawn(encoded: Callable[..., bytes]) -> None:
    files = [encoded(Image.new(mode, (50, 60)), "PNG") for mode in ("L", "RGBA", "P", "1")]
    assert make_sheet(list(enumerate(files, 1)), "low").numbers == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("items", "sizes"), [(0, []), (1, [1]), (16, [16]), (17, [9, 8]), (33, [11, 11, 11]), (50, [13, 13, 12, 12])]
)
def test_many_crops_are_shared_out_evenly_and_in_order(items: int, sizes: list[int]) -> None:
    groups = share_out(range(items))
    assert [len(group) for group in groups] == sizes
    assert [item for group in groups for item in group] == list(range(items))


def test_a_sheet_takes_no_more_than_its_limit(jpeg: Callable[..., bytes]) -> None:
    with pytest.raises(ValueError, match="16"):
        make_sheet([(number, jpeg()) for number in range(17)], "low")


def test_few_crops_at_high_detail_take_few_squares_of_512_pixels() -> None:
    assert [largest_size(count, "high") for count in (1, 4, 5, 9, 10, 16)] == [
        *[(1024, 768)] * 2,
        *[(1536, 768)] * 2,
        *[(2048, 768)] * 2,
    ]


@pytest.mark.parametrize(
    ("size", "detail", "shown"),
    [
        ((4000, 3000), "low", (512, 384)),
        ((300, 200), "low", (300, 200)),
        ((4000, 3000), "high", (1024, 768)),
        ((300, 6000), "high", (102, 2048)),
        ((640, 480), "high", (640, 480)),
    ],
)
def test_a_whole_photo_is_no_larger_than_a_model_looks_at(
    jpeg: Callable[..., bytes], size: tuple[int, int], detail: Detail, shown: tuple[int, int]
) -> None:
    assert opened(fit_photo(jpeg(*size), detail)).size == shown


def test_a_photo_is_upright_and_does_not_tell_where_it_was_taken(encoded: Callable[..., bytes]) -> None:
    image = Image.new("RGB", (80, 40))
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn
    exif[0x010E] = "taken at home"
    picture = fit_photo(encoded(image, "JPEG", exif=exif), "low")
    assert picture.size_wh == (40, 80)
    assert b"taken at home" not in picture.jpeg


def test_a_photo_that_cannot_be_read_is_an_error_of_the_photo() -> None:
    with pytest.raises(PhotoError, match="cannot be shown to the model"):
        fit_photo(b"no photo", "low")
