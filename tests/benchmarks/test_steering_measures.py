from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from detection_measures import Tally
from steering_measures import Steered, Term, choose_terms, steered, steering_figures
from truths import FoundBoxes, TrueBoxes

Truths = Callable[..., TrueBoxes]
Founds = Callable[..., FoundBoxes]
SHIRT, PANTS, HAT = 0, 6, 14
A, B, C = (0.0, 0.0, 10.0, 20.0), (30.0, 0.0, 60.0, 40.0), (70.0, 0.0, 90.0, 20.0)
TERMS = tuple(Term(key, (f"word {key}",)) for key in range(6))


def test_only_what_was_asked_for_is_clean(true_boxes: Truths, found_boxes: Founds) -> None:
    truth = true_boxes((SHIRT, A), (PANTS, B))
    assert steered(truth, found_boxes((SHIRT, A, 0.9)), {SHIRT, HAT}) == Steered(
        was_there=True, strays=0, tally=Tally(right=1)
    )
    # A shirt was asked for, and pants are called a shirt.
    wrong = steered(truth, found_boxes((SHIRT, A, 0.9), (SHIRT, B, 0.8)), {SHIRT, HAT})
    assert wrong == Steered(was_there=True, strays=1, tally=Tally(right=1, wrong=1))
    absent = steered(truth, found_boxes((HAT, A, 0.9)), {HAT})
    assert absent == Steered(was_there=False, strays=1, tally=Tally(wrong=1))


def test_a_box_on_nothing_is_no_garment_of_another_category(true_boxes: Truths, found_boxes: Founds) -> None:
    truth = true_boxes((PANTS, B))
    assert steered(truth, found_boxes((SHIRT, A, 0.9)), {SHIRT}).strays == 0
    half = (30.0, 0.0, 60.0, 19.0)  # IoU 19 / 40
    assert steered(truth, found_boxes((SHIRT, half, 0.9)), {SHIRT}).strays == 0
    assert steered(truth, found_boxes((SHIRT, (30.0, 0.0, 60.0, 20.0), 0.9)), {SHIRT}).strays == 1


def test_the_best_overlap_decides(true_boxes: Truths, found_boxes: Founds) -> None:
    inner = (30.0, 0.0, 60.0, 30.0)
    coat_over_shirt = true_boxes((SHIRT, inner), (PANTS, B))
    assert steered(coat_over_shirt, found_boxes((SHIRT, inner, 0.9)), {SHIRT}).strays == 0
    assert steered(coat_over_shirt, found_boxes((SHIRT, B, 0.9)), {SHIRT}).strays == 1
    same = true_boxes((SHIRT, B), (PANTS, B))
    assert steered(same, found_boxes((SHIRT, B, 0.9)), {SHIRT}).strays == 0


def test_recall_is_of_what_was_asked_for(true_boxes: Truths, found_boxes: Founds) -> None:
    truth = true_boxes((SHIRT, A), (SHIRT, C), (PANTS, B))
    assert steered(truth, found_boxes((SHIRT, C, 0.9)), {SHIRT}).tally == Tally(right=1, missed=1)


def test_crowds_say_nothing(true_boxes: Truths, found_boxes: Founds) -> None:
    crowd = true_boxes((PANTS, B), crowds=[0])
    assert steered(crowd, found_boxes((SHIRT, B, 0.9)), {SHIRT}) == Steered(
        was_there=False, strays=0, tally=Tally(wrong=1)
    )


def test_half_of_the_photos_are_asked_for_something_that_is_there() -> None:
    present = {1, 2}
    there = 0
    for seed in range(400):
        terms = choose_terms(TERMS, present, np.random.default_rng([0, seed]))
        assert len({term.key for term in terms}) == 2
        there += any(term.key in present for term in terms)
    assert 160 <= there <= 240
    assert choose_terms(TERMS, present, np.random.default_rng(3)) == choose_terms(
        TERMS, present, np.random.default_rng(3)
    )


@pytest.mark.parametrize("present", [set(), {0}, {0, 1, 2, 3, 4}, set(range(6)), {99}])
def test_two_categories_whatever_is_there(present: set[int]) -> None:
    for seed in range(50):
        assert len({term.key for term in choose_terms(TERMS, present, np.random.default_rng(seed))}) == 2


def test_two_words_of_one_category_are_never_both_asked_for() -> None:
    terms = (Term(0, ("shirt",)), Term(0, ("blouse",)), Term(6, ("pants",)))
    for seed in range(50):
        assert {term.key for term in choose_terms(terms, {0}, np.random.default_rng(seed))} == {0, 6}


def test_figures() -> None:
    figures = steering_figures(
        [
            Steered(was_there=True, strays=0, tally=Tally(right=1, missed=3)),
            Steered(was_there=True, strays=2, tally=Tally(wrong=2)),
            Steered(was_there=False, strays=0, tally=Tally()),
            Steered(was_there=False, strays=0, tally=Tally(wrong=1)),
        ]
    )
    assert figures == {
        "photos": 4,
        "nothing_else_found": 0.75,
        "photos_where_asked_for_is_there": 2,
        "nothing_else_found_where_there": 0.5,
        "photos_where_asked_for_is_absent": 2,
        "nothing_else_found_where_absent": 1.0,
        "strays": 2,
        "found": 4,
        "truths": 4,
        "recall": 0.25,
    }
