from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
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
    assert sum(one.share for one in found if one.name in {"orange", "coral", "red"}) > 0.5, "with its shades"


@pytest.fixture(scope="module")
def drawn_garments() -> list[tuple[Image.Image, tuple[float, float, float, float]]]:
    """Garments of drawn scenes, most of them several times as large as what is looked at."""
    from fashioncrop_paperdoll.scene import TEST_SEEDS, draw_scene  # noqa: PLC0415 - draws

    garments = []
    for seed in TEST_SEEDS[:10]:
        scene = draw_scene(seed, 720, 960)
        image = Image.fromarray(scene.image)
        garments += [(image, garment.box_xyxy) for garment in scene.garments]
    return garments


def test_a_bounded_number_of_pixels_gives_nearly_the_colours_of_all(
    drawn_garments: list[tuple[Image.Image, tuple[float, float, float, float]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded = [garment_colours(image, box)[0] for image, box in drawn_garments]
    monkeypatch.setattr(colours, "_SIDE_PX", 10_000)
    monkeypatch.setattr(colours, "_PALETTE_PIXELS", 10**9)
    of_all = [garment_colours(image, box)[0] for image, box in drawn_garments]
    assert len(of_all) > 50
    assert np.mean([one.name == other.name for one, other in zip(bounded, of_all, strict=True)]) >= 0.93
    apart = np.linalg.norm(lab_of(bounded) - lab_of(of_all), axis=1)
    assert np.median(apart) < 2.3, "just noticeable"
    assert np.quantile(apart, 0.9) < colours._MERGE_DELTA_E
    shares = np.abs(np.subtract([one.share for one in bounded], [one.share for one in of_all]))
    assert np.median(shares) < 0.05
    assert np.quantile(shares, 0.9) < 0.2


def lab_of(found: list[colours.Colour]) -> NDArray[np.float32]:
    return colours._lab(np.asarray([[int(one.hex[i : i + 2], 16) for i in (1, 3, 5)] for one in found]))


@pytest.mark.parametrize("period", [2, 3, 4, 5, 8])
def test_stripes_that_keep_time_with_the_choice_of_pixels_are_seen(period: int) -> None:
    # More pixels than choose the clusters, each stripe a pixel of the window wide.
    photo = Image.new("RGB", (96, 96), "#1c2647")
    for left in range(0, 96, period):
        photo.paste("#f7df3e", (left, 0, left + 1, 96))
    found = {one.name: one.share for one in garment_colours(photo, (0, 0, 96, 96))}
    assert found["yellow"] == pytest.approx(1 / period, abs=0.05)
    assert found["navy"] == pytest.approx(1 - 1 / period, abs=0.05)
