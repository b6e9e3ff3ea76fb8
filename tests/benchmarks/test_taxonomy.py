from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from fashioncrop import Analysis
from pipeline_code import CATEGORIES
from settings import Vocabulary
from taxonomy import PARTS, choose_taxonomy, phrases_of
from truths import DatasetError, Photo, Truth

BOX = (0.0, 0.0, 10.0, 10.0)


@dataclass
class Named:
    """A dataset of which only the categories matter; all of them are annotated."""

    categories: tuple[str, ...]
    nouns: frozenset[tuple[str, int]] = frozenset()
    has_colours: bool = False
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def annotated(self) -> frozenset[int]:
        return frozenset(range(len(self.categories)))

    def __len__(self) -> int:
        return 0

    def name(self, index: int) -> str:
        return str(index)

    def load(self, index: int) -> Photo:
        raise NotImplementedError(index)


def test_fashionpedia_is_matched_by_name_and_its_parts_are_left_out() -> None:
    # Shuffled, so that a place in the list is never an id by accident.
    names = ("sleeve", *reversed([category.name for category in CATEGORIES]), "collar")
    taxonomy = choose_taxonomy(Named(names), Vocabulary.AUTO)
    assert taxonomy.vocabulary is None
    assert {names[place]: key for place, key in taxonomy.key_of.items()} == {one.name: one.id for one in CATEGORIES}
    assert taxonomy.left_out == ("sleeve", "collar")
    assert taxonomy.phrases[24] == ("bag", "wallet")
    assert [truth.category for truth in taxonomy.kept([Truth(0, BOX), Truth(1, BOX)])] == [1]


def test_there_are_nineteen_parts_and_none_is_a_garment() -> None:
    assert len(PARTS) == 46 - 27
    assert not PARTS & {noun for category in CATEGORIES for noun in category.nouns}


def test_nouns_that_the_table_maps_ask_for_the_default_vocabulary(analysis: Callable[..., Analysis]) -> None:
    taxonomy = choose_taxonomy(Named(("Trousers", "short sleeve top", "t-shirt")), Vocabulary.AUTO)
    assert taxonomy.vocabulary is None
    assert taxonomy.key_of == {0: 6, 1: 1, 2: 1}
    assert taxonomy.names == {1: "top, t-shirt, sweatshirt", 6: "pants"}
    answer = analysis(
        {"category": 6, "phrase_id": 30, "box_xyxy": BOX},
        {"category": 8, "phrase_id": 0, "box_xyxy": BOX},  # a skirt, of which the dataset says nothing
        {"category": None, "phrase_id": 0, "box_xyxy": BOX},
    )
    assert taxonomy.found_boxes(answer.garments).categories.tolist() == [6]


def test_other_names_are_asked_for_in_their_own_words(analysis: Callable[..., Analysis]) -> None:
    dataset = Named(("sling", "short_sleeved_shirt", "sleeve", "bag, wallet", "Sling"))
    taxonomy = choose_taxonomy(dataset, Vocabulary.AUTO)
    assert taxonomy.vocabulary == ("sling", "short sleeved shirt", "bag", "wallet")
    assert taxonomy.key_of == {0: 0, 1: 1, 3: 3}
    assert taxonomy.left_out == ("sleeve", "Sling")
    answer = analysis(
        # The phrase decides, whatever Fashionpedia calls it.
        {"phrase_id": 3, "category": 6, "box_xyxy": BOX},
        {"phrase_id": 1, "category": None, "box_xyxy": BOX},
    )
    assert taxonomy.found_boxes(answer.garments).categories.tolist() == [3, 1]


def test_the_vocabulary_can_be_said() -> None:
    dataset = Named(("pants", "sling"))
    assert choose_taxonomy(dataset, Vocabulary.DEFAULT).names == {6: "pants"}
    assert choose_taxonomy(dataset, Vocabulary.DEFAULT).left_out == ("sling",)
    assert choose_taxonomy(Named(("pants",)), Vocabulary.DATASET).vocabulary == ("pants",)


@pytest.mark.parametrize(
    ("names", "wanted", "remedy"),
    [
        (("sleeve", "collar"), Vocabulary.AUTO, False),
        (("person", "dog"), Vocabulary.DEFAULT, True),
        ((), Vocabulary.AUTO, False),
    ],
)
def test_nothing_left_is_an_error(names: tuple[str, ...], wanted: Vocabulary, *, remedy: bool) -> None:
    with pytest.raises(DatasetError, match="No annotation is left") as caught:
        choose_taxonomy(Named(names), wanted)
    assert ("--vocabulary dataset" in str(caught.value)) == remedy


@pytest.mark.parametrize(
    ("name", "phrases"),
    [
        ("shirt, blouse", ("shirt", "blouse")),
        ("Short_sleeve.top?", ("short sleeve top",)),
        ("coat, Coat", ("coat",)),
        (" , ", (" , ",)),
    ],
)
def test_phrases(name: str, phrases: tuple[str, ...]) -> None:
    assert phrases_of(name) == phrases
