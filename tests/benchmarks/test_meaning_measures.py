from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from meaning_measures import (
    ACCEPTED_SHADES,
    Crop,
    CropSample,
    NamedColour,
    caption_of,
    captions_of,
    colour_figures,
    is_right,
    text_to_crop_figures,
)
from truths import Truth

BOX = (0.0, 0.0, 1.0, 1.0)


def one_hot(place: int, width: int = 8) -> NDArray[np.float32]:
    return np.asarray(np.eye(width)[place], np.float32)


@pytest.mark.parametrize(
    ("annotated", "found", "strict", "with_shades"),
    [
        ("blue", "blue", True, True),
        ("blue", "navy", False, True),
        ("navy", "blue", False, False),  # who annotates navy means navy
        ("blue", "teal", False, False),
        ("black", "dark grey", False, False),
        ("gray", "grey", True, True),
        ("gray", "light grey", False, True),
        ("tartan", "red", False, False),
    ],
)
def test_names_of_colours(annotated: str, found: str, *, strict: bool, with_shades: bool) -> None:
    colour = NamedColour(annotated, found)
    assert is_right(colour, shades=False) == strict
    assert is_right(colour, shades=True) == with_shades


def test_shades_are_names_that_the_pipeline_has() -> None:
    from colours import _NAMES  # noqa: PLC0415 - the pipeline's table

    assert set(ACCEPTED_SHADES) | {name for names in ACCEPTED_SHADES.values() for name in names} <= set(_NAMES)


def test_colour_figures() -> None:
    pairs = [("blue", "blue"), ("blue", "navy"), ("blue", "navy"), ("red", "orange")]
    figures = colour_figures(NamedColour(*pair) for pair in pairs)
    assert (figures["garments"], figures["strict"], figures["with_shades"]) == (4, 0.25, 0.75)
    assert figures["per_colour"]["blue"] == {
        "garments": 3,
        "strict": pytest.approx(1 / 3),
        "with_shades": 1.0,
        "named": {"navy": 2, "blue": 1},
    }
    assert list(figures["per_colour"]) == ["blue", "red"]


@pytest.mark.parametrize(
    ("truth", "caption"),
    [
        (Truth(0, BOX, noun="skirt", colour="red", pattern="striped"), "red striped skirt"),
        (Truth(0, BOX, noun="skirt", colour="red", pattern="plain"), "red skirt"),
        (Truth(0, BOX, colour="red"), "red bag"),
    ],
)
def test_captions(truth: Truth, caption: str) -> None:
    assert caption_of(truth, "bag") == caption


def test_texts_that_find_their_crops() -> None:
    crops = [Crop("red skirt", one_hot(0)), Crop("blue hat", one_hot(1)), Crop("red skirt", one_hot(2))]
    right = text_to_crop_figures([crops], {"red skirt": one_hot(2), "blue hat": one_hot(1)})
    assert right == {
        "rounds": 1,
        "crops_a_round": 3,
        "captions_asked": 2,
        "recall_at_1": 1.0,
        "recall_at_5": 1.0,
        "recall_at_1_by_chance": pytest.approx((2 / 3 + 1 / 3) / 2),
    }
    swapped = text_to_crop_figures([crops], {"red skirt": one_hot(1), "blue hat": one_hot(0)})
    assert swapped["recall_at_1"] == 0
    assert swapped["recall_at_5"] == 1, "three crops are all among the first five"


def test_recall_at_five_is_of_five() -> None:
    captions = [f"crop {place}" for place in range(8)]
    crops = [Crop(caption, one_hot(place)) for place, caption in enumerate(captions)]
    # Each text is most like crop 0, then 1 ...
    falling = np.linspace(1, 0.1, 8, dtype=np.float32)
    figures = text_to_crop_figures([crops], dict.fromkeys(captions, falling))
    assert (figures["recall_at_1"], figures["recall_at_5"]) == (1 / 8, 5 / 8)


def test_crops_compete_in_their_round_only() -> None:
    rounds = [[Crop("red skirt", one_hot(1)), Crop("blue hat", one_hot(0))], [Crop("red skirt", one_hot(0))]]
    texts = {"red skirt": one_hot(0), "blue hat": one_hot(0)}
    assert text_to_crop_figures(rounds, texts)["recall_at_1"] == pytest.approx(2 / 3)
    assert captions_of(rounds) == ["blue hat", "red skirt"]


def test_the_sample_does_not_depend_on_the_order() -> None:
    crops = {(photo, garment): Crop(f"{photo} {garment}", one_hot(0)) for photo in range(40) for garment in range(9)}
    forwards, backwards, other = CropSample(200, 1), CropSample(200, 1), CropSample(200, 2)
    for place, crop in crops.items():
        forwards.show(crop, place)
        other.show(crop, place)
    for place, crop in reversed(crops.items()):
        backwards.show(crop, place)
    rounds = forwards.rounds()
    assert [len(one) for one in rounds] == [100, 100]
    captions = [crop.caption for one in rounds for crop in one]
    assert len(set(captions)) == 200
    assert captions == [crop.caption for one in backwards.rounds() for crop in one]
    assert captions != [crop.caption for one in other.rounds() for crop in one]
    assert forwards.shown == 360


def test_fewer_crops_are_one_round() -> None:
    sample = CropSample(1000, 0)
    assert sample.rounds() == []
    for place in range(7):
        sample.show(Crop(str(place), one_hot(0)), (0, place))
    assert [len(one) for one in sample.rounds()] == [7]
