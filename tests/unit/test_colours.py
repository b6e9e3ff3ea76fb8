from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

import colours
from colours import colour_name, garment_colours


def on_background(background: str, *patches: tuple[str, tuple[int, int, int, int]]) -> Image.Image:
    image = Image.new("RGB", (200, 160), background)
    for colour, box in patches:
        image.paste(colour, box)
    return image


def test_a_red_square_on_blue_is_red_and_nothing_else() -> None:
    photo = on_background("#2b63c9", ("#d0202a", (50, 40, 150, 120)))
    (only,) = garment_colours(photo, (50, 40, 150, 120))
    assert only == colours.Colour(hex="#d0202a", name="red", share=1)


def test_background_inside_the_box_is_left_out() -> None:
    photo = on_background("#2b63c9", ("#d0202a", (50, 40, 150, 120)))
    found = garment_colours(photo, (30, 25, 170, 135))
    assert found[0].name == "red"
    assert found[0].share > 0.9, "the rest is the edge, where both mix"
    assert "blue" not in [one.name for one in found]


def test_what_fills_the_photo_is_the_garment_where_nothing_else_is() -> None:
    (only,) = garment_colours(on_background("#2f9645"), (50, 40, 150, 120))
    assert (only.hex, only.name, only.share) == ("#2f9645", "green", 1)


def test_stripes_have_two_colours_with_their_shares() -> None:
    photo = on_background("#f7f7f7")
    for left in range(50, 150, 10):
        photo.paste("#1c2647", (left, 40, left + 7, 120))
        photo.paste("#f7df3e", (left + 7, 40, left + 10, 120))
    found = garment_colours(photo, (50, 40, 150, 120))
    navy, yellow, *edges = found
    assert (navy.name, yellow.name) == ("navy", "yellow"), "the white around is no reason to leave the yellow out"
    assert navy.share == pytest.approx(0.7, abs=0.08)
    assert yellow.share == pytest.approx(0.3, abs=0.08)
    assert sum(one.share for one in edges) < 0.1, "where both mix"


def test_light_and_shade_of_one_cloth_are_one_colour() -> None:
    photo = on_background("#2f9645", ("#d0202a", (50, 40, 110, 120)), ("#b91a24", (110, 40, 150, 120)))
    (only,) = garment_colours(photo, (50, 40, 150, 120))
    assert (only.name, only.share) == ("red", 1)


def test_a_small_part_is_not_a_colour_of_its_own() -> None:
    photo = on_background("#f7f7f7", ("#1c2647", (50, 40, 150, 120)), ("#d0202a", (95, 75, 105, 85)))
    found = garment_colours(photo, (50, 40, 150, 120))
    assert [one.name for one in found] == ["navy"]
    assert found[0].share == pytest.approx(1 - 100 / 8000, abs=0.01)


def test_a_grey_photo_has_grey_colours() -> None:
    photo = on_background("#f7f7f7", ("#808080", (50, 40, 100, 120)), ("#1a1a1a", (100, 40, 150, 120)))
    found = garment_colours(photo.convert("L").convert("RGB"), (50, 40, 150, 120))
    assert {one.name for one in found} == {"grey", "black"}
    assert all(one.hex[1:3] == one.hex[3:5] == one.hex[5:7] for one in found)


def test_at_most_five_colours_are_named() -> None:
    patches = ["#d0202a", "#f7df3e", "#2f9645", "#2b63c9", "#f2a6bd", "#1a1a1a", "#7b4a2b", "#3fc6cb"]
    photo = on_background("#f7f7f7")
    for index, colour in enumerate(patches):
        photo.paste(colour, (20 + index * 20, 0, 40 + index * 20, 160))
    found = garment_colours(photo, (20, 1, 180, 159))
    assert len(found) == 5
    assert sum(one.share for one in found) < 1


@pytest.mark.parametrize("box", [(60, 70, 61, 71), (60.4, 70.4, 60.41, 70.6), (199, 159, 200, 160), (0, 0, 0.01, 160)])
def test_a_box_of_a_pixel_or_less_has_that_pixels_colour(box: tuple[float, float, float, float]) -> None:
    photo = on_background("#2b63c9", ("#d0202a", (60, 70, 61, 71)))
    (first, *_) = garment_colours(photo, box)
    inside = 60 <= box[0] < 61
    assert first.name == ("red" if inside else "blue")


def test_a_box_over_the_whole_photo_has_no_surroundings() -> None:
    photo = on_background("#2b63c9", ("#d0202a", (0, 0, 150, 160)))
    found = garment_colours(photo, (0, 0, 200, 160))
    assert [one.name for one in found] == ["red", "blue"]


def test_every_name_of_the_table_names_itself() -> None:
    for name, value in colours._NAMES.items():
        rgb = np.asarray([int(value[i : i + 2], 16) for i in (1, 3, 5)], np.float32)
        assert colour_name(rgb) == name


boxes = st.tuples(st.floats(0, 511), st.floats(0, 511), st.floats(0.1, 512), st.floats(0.1, 512))


@settings(max_examples=60, deadline=None)
@given(corner_and_size=boxes)
@example(corner_and_size=(0, 0, 512, 512))
@example(corner_and_size=(511, 511, 0.1, 512))
def test_colours_of_any_box_are_well_formed_and_always_the_same(
    astronaut: Image.Image, corner_and_size: tuple[float, float, float, float]
) -> None:
    x, y, width, height = corner_and_size
    box = (x, y, min(x + width, 512.0), min(y + height, 512.0))
    found = garment_colours(astronaut, box)
    assert 1 <= len(found) <= 5
    assert all(re.fullmatch("#[0-9a-f]{6}", one.hex) for one in found)
    assert all(0 < one.share <= 1 for one in found)
    assert sum(one.share for one in found) <= 1.0005  # each is rounded to four places
    assert [one.share for one in found] == sorted((one.share for one in found), reverse=True)
    assert garment_colours(astronaut, box) == found


def test_the_astronauts_suit_is_orange(astronaut: Image.Image) -> None:
    found = garment_colours(astronaut, (30, 190, 440, 512))
    assert found[0].name in {"orange", "coral"}
    assert found[0].share > 0.5
