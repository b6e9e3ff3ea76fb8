from __future__ import annotations

import pytest

from categories import CATEGORIES, DEFAULT_VOCABULARY, category_of


def test_the_ids_are_fashionpedias_and_every_default_phrase_names_its_category() -> None:
    assert [category.id for category in CATEGORIES] == list(range(27))
    assert len(DEFAULT_VOCABULARY) == len(set(DEFAULT_VOCABULARY)) == 34
    for category in CATEGORIES:
        for noun in category.nouns:
            assert category_of(noun) is category


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("Jeans", "pants"),
        ("a red leather jacket", "jacket"),
        ("sneakers", "shoe"),
        ("dresses", "dress"),
        ("scarves", "scarf"),
        ("  T-Shirts ", "top, t-shirt, sweatshirt"),
        ("glasses", "glasses"),
        ("the watch", "watch"),
        ("denim shorts", "shorts"),
        ("dress shirt", "shirt, blouse"),
    ],
)
def test_everyday_words_find_their_category(phrase: str, name: str) -> None:
    category = category_of(phrase)
    assert category is not None
    assert category.name == name


@pytest.mark.parametrize("phrase", ["", "the", "dog", "shirt with dog", "치마"])
def test_other_words_have_none(phrase: str) -> None:
    assert category_of(phrase) is None
