"""Boxes and labels on photos of every kind, looked at pixel by pixel."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from fashioncrop._draw import draw_boxes, phrase_colours
from fashioncrop.errors import PhotoError

if TYPE_CHECKING:
    from numpy.typing import NDArray

GREY = 120


@dataclass(frozen=True)
class Found:
    phrase: str = "coat"
    score: float = 0.87
    box_xyxy: tuple[float, float, float, float] = (40.0, 60.0, 160.0, 180.0)


def encoded(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:  # noqa: ANN401  Pillow's own
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def plain(width: int = 240, height: int = 200) -> bytes:
    return encoded(Image.new("RGB", (width, height), (GREY, GREY, GREY)))


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    assert image.mode == "RGB"
    return np.asarray(image)


def changed(image: Image.Image) -> NDArray[np.bool_]:
    return np.asarray((pixels(image) != GREY).any(axis=2))


def test_no_garments_leave_the_photo_as_it_is() -> None:
    image = draw_boxes(plain(), [])
    assert image.size == (240, 200)
    assert not changed(image).any()


def test_the_line_is_on_the_box_s_outermost_pixels_in_the_phrase_s_colour() -> None:
    image = pixels(draw_boxes(plain(), [Found()]))
    colour = phrase_colours(["coat"])["coat"]
    for x, y in [(40, 120), (159, 120), (100, 60), (100, 179), (40, 60), (159, 179)]:
        assert tuple(image[y, x]) == colour, (x, y)
    assert tuple(image[120, 100]) == (GREY, GREY, GREY)
    assert tuple(image[190, 200]) == (GREY, GREY, GREY)


def test_fractions_of_a_pixel_are_taken_in() -> None:
    image = pixels(draw_boxes(plain(), [Found(box_xyxy=(40.9, 60.9, 159.1, 179.1))]))
    colour = phrase_colours(["coat"])["coat"]
    for x, y in [(40, 120), (159, 120), (100, 60), (100, 179)]:
        assert tuple(image[y, x]) == colour, (x, y)


@pytest.mark.parametrize("background", [0, 255, 120])
def test_the_line_stands_out_from_any_background_even_its_own_colour(background: int) -> None:
    for ground in [(background,) * 3, phrase_colours(["coat"])["coat"]]:
        image = pixels(draw_boxes(encoded(Image.new("RGB", (240, 200), ground)), [Found()])).astype(int)
        across = image[120, 30:60]  # one row across the left line
        assert np.abs(np.diff(across, axis=0)).sum(axis=1).max() > 150


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_photo_is_upright(orientation: int) -> None:
    stored = Image.new("RGB", (300, 100), (GREY, GREY, GREY))
    stored.paste((250, 0, 0), (0, 0, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = draw_boxes(encoded(stored, exif=exif), [])
    assert image.size == ((300, 100) if orientation < 5 else (100, 300))
    corner = {1: (0, 0), 2: (299, 0), 3: (299, 99), 4: (0, 99), 5: (0, 0), 6: (99, 0), 7: (99, 299), 8: (0, 299)}
    assert image.getpixel(corner[orientation]) == (250, 0, 0)
    assert not image.getexif()


def test_the_camera_s_notes_are_left_out_and_the_colour_profile_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    photo = encoded(Image.new("RGB", (50, 50)), "JPEG", exif=exif, icc_profile=b"a profile", comment=b"a comment")
    assert draw_boxes(photo, []).info == {"icc_profile": b"a profile"}
    grey = encoded(Image.new("L", (50, 50)), "JPEG", icc_profile=b"a profile for grey")
    assert draw_boxes(grey, []).info == {}


def test_photos_with_a_second_picture_inside_are_photos() -> None:
    """MPO: what many phones write."""
    photo = encoded(Image.new("RGB", (50, 50)), "MPO", save_all=True, append_images=[Image.new("RGB", (20, 20))])
    assert draw_boxes(photo, []).size == (50, 50)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_format_of_the_pipeline_is_read(file_format: str) -> None:
    assert draw_boxes(encoded(Image.new("RGB", (50, 40)), file_format), []).size == (50, 40)


def test_boxes_on_and_beyond_the_frame_stay_in_the_photo() -> None:
    colour = phrase_colours(["coat"])["coat"]
    for box in [(0.0, 0.0, 240.0, 200.0), (-50.0, -50.0, 900.0, 900.0)]:
        image = pixels(draw_boxes(plain(), [Found(box_xyxy=box)]))
        for x, y in [(0, 120), (239, 120), (200, 0), (100, 199)]:
            assert tuple(image[y, x]) == colour
    assert changed(draw_boxes(plain(), [Found(box_xyxy=(500.0, 500.0, 600.0, 600.0))])).any()


@pytest.mark.parametrize(
    "box", [(10.0, 10.0, 10.0, 10.0), (20.0, 20.0, 10.0, 10.0), (10.0, 10.0, 10.4, 50.0), (239.5, 199.5, 240.0, 200.0)]
)
def test_boxes_without_an_inside_are_drawn(box: tuple[float, float, float, float]) -> None:
    assert changed(draw_boxes(plain(), [Found(box_xyxy=box)])).any()


@pytest.mark.parametrize("size_wh", [(1, 1), (1, 50), (50, 1), (2, 2), (7, 5), (30, 20), (3000, 40), (40, 3000)])
def test_photos_of_any_size(size_wh: tuple[int, int]) -> None:
    found = [Found(box_xyxy=(0.0, 0.0, float(size_wh[0]), float(size_wh[1]))), Found("a very long phrase " * 20)]
    image = draw_boxes(plain(*size_wh), found)
    assert image.size == size_wh
    assert changed(image).any()


def label_area(image: Image.Image, phrase: str) -> tuple[int, int, int, int]:
    """Rows and columns where the label's filled background is: x0, y0, x1, y1."""
    mine = (pixels(image) == phrase_colours([phrase])[phrase]).all(axis=2)
    rows = np.flatnonzero(mine.sum(axis=1) > 12)
    columns = np.flatnonzero(mine[rows].any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


@pytest.mark.parametrize(
    "box",
    [
        (0.0, 0.0, 8.0, 8.0),
        (232.0, 0.0, 240.0, 8.0),
        (232.0, 192.0, 240.0, 200.0),
        (0.0, 192.0, 8.0, 200.0),
        (116.0, 96.0, 124.0, 104.0),
    ],
)
def test_the_whole_label_is_inside_the_photo_wherever_the_box_is(box: tuple[float, float, float, float]) -> None:
    middle = label_area(draw_boxes(plain(), [Found(box_xyxy=(116.0, 96.0, 124.0, 104.0))]), "coat")
    x0, y0, x1, y1 = label_area(draw_boxes(plain(), [Found(box_xyxy=box)]), "coat")
    assert x1 - x0 >= middle[2] - middle[0]
    assert y1 - y0 >= 8
    assert 0 <= x0 < x1 < 240
    assert 0 <= y0 < y1 < 200


def test_labels_of_one_box_do_not_cover_each_other() -> None:
    one = [Found("coat"), Found("scarf"), Found("hat")]
    image = pixels(draw_boxes(plain(), one))
    shares = [int((image == colour).all(axis=2).sum()) for colour in phrase_colours(["coat", "scarf", "hat"]).values()]
    assert min(shares) > 200


def test_a_label_says_phrase_and_score() -> None:
    """The same label is the same pixels; another score or phrase is not."""
    image = pixels(draw_boxes(plain(), [Found()]))
    np.testing.assert_array_equal(image, pixels(draw_boxes(plain(), [Found(score=0.8701)])))
    assert (image != pixels(draw_boxes(plain(), [Found(score=0.78)]))).any()


def test_a_label_that_is_too_long_keeps_its_score() -> None:
    narrow = [pixels(draw_boxes(plain(60, 60), [Found("x" * 500, score)])) for score in (0.11, 0.88)]
    assert (narrow[0] != narrow[1]).any()


def test_line_and_letters_grow_with_the_photo() -> None:
    def line_px(side: int) -> int:
        image = pixels(draw_boxes(plain(side, side), [Found(box_xyxy=(side / 4, side / 4, side / 2, side / 2))]))
        row = (image[int(side * 0.4)] == phrase_colours(["coat"])["coat"]).all(axis=1)
        return int(row[: int(side * 0.4)].sum())

    assert line_px(200) == 1
    assert line_px(1000) == 3
    assert line_px(3000) == 9


@pytest.mark.parametrize(
    "phrase",
    [
        "\u30c9\u30ec\u30b9",
        "\u0641\u0633\u062a\u0627\u0646",
        "\U0001f457",
        "",
        " ",
        "a\nb\tc",
        "\udcff",
        "\0",
        "\u0301" * 50,
    ],
)
def test_any_phrase_can_be_drawn(phrase: str) -> None:
    assert changed(draw_boxes(plain(), [Found(phrase)])).any()


def test_phrases_have_colours_of_their_own_that_stay() -> None:
    phrases = [f"phrase {number}" for number in range(36)]
    colours = phrase_colours(phrases)
    assert len(set(colours.values())) == 36
    random.Random(1).shuffle(phrases)
    assert phrase_colours(phrases + phrases) == colours
    assert set(phrase_colours([f"phrase {number}" for number in range(60)])) == {f"phrase {n}" for n in range(60)}
    alone = phrase_colours(["phrase 7"])["phrase 7"]
    assert sum(phrase_colours(["phrase 7", other])["phrase 7"] == alone for other in phrases) >= 34
    # Written down: a colour must not change from run to run (Python's own hash does).
    assert phrase_colours(["coat"]) == {"coat": phrase_colours(["coat", "hat"])["coat"]}


def test_the_better_one_is_on_top() -> None:
    same = (40.0, 60.0, 160.0, 180.0)
    for first, second in [("coat", "hat"), ("hat", "coat")]:
        image = pixels(draw_boxes(plain(), [Found(first, 0.9, same), Found(second, 0.5, same)]))
        assert tuple(image[120, 40]) == phrase_colours(["coat", "hat"])[first]


def sixteen_bits() -> bytes:
    values = np.full((200, 240), GREY * 257, np.uint16)
    return encoded(Image.fromarray(values))


def palette_with_hole() -> bytes:
    image = Image.new("P", (240, 200), 0)
    image.putpalette([0, 0, 0, GREY, GREY, GREY])
    image.paste(1, (0, 0, 240, 100))
    return encoded(image, transparency=0)


def half_transparent() -> bytes:
    image = Image.new("RGBA", (240, 200), (GREY, GREY, GREY, 255))
    image.paste((0, 0, 0, 0), (0, 100, 240, 200))
    return encoded(image)


def cyan_magenta_yellow_black() -> bytes:
    return encoded(Image.new("CMYK", (240, 200), (0, 0, 0, 255 - GREY)), "TIFF")


@pytest.mark.parametrize(
    ("photo", "bottom"),
    [
        (sixteen_bits(), GREY),
        (palette_with_hole(), 255),
        (half_transparent(), 255),
        (cyan_magenta_yellow_black(), GREY),
        (encoded(Image.new("L", (240, 200), GREY)), GREY),
        (encoded(Image.new("LA", (240, 200), (0, 0))), 255),
        (encoded(Image.new("1", (240, 200), 1)), 255),
    ],
    ids=["16 bits", "palette", "alpha", "CMYK", "grey", "grey and alpha", "bits"],
)
def test_photos_of_every_kind_keep_their_look(photo: bytes, bottom: int) -> None:
    image = pixels(draw_boxes(photo, [Found(box_xyxy=(40.0, 60.0, 160.0, 180.0))]))
    assert image.shape == (200, 240, 3)
    assert tuple(image[190, 200]) == (bottom, bottom, bottom)
    assert tuple(image[120, 40]) == phrase_colours(["coat"])["coat"]


@pytest.mark.parametrize(
    "photo", [b"", b"no photo", plain()[:60], b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"]
)
def test_what_cannot_be_decoded_is_a_photo_error(photo: bytes) -> None:
    with pytest.raises(PhotoError, match=r"of no format|cannot be decoded"):
        draw_boxes(photo, [Found()])
