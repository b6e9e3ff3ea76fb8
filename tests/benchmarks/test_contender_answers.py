"""Whether two contenders answer the same, on answers made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contender_answers import QUANTISED, STRICT, Agreement, Answer, agreement
from run_options import Asked

BOXES = [(10.0, 10.0, 60.0, 80.0), (100.0, 20.0, 180.0, 90.0), (30.0, 120.0, 90.0, 200.0)]
ASKED = Asked(score_threshold=0.35, max_garments=50)


def answer(
    boxes: list[tuple[float, float, float, float]] = BOXES,
    *,
    scores: tuple[float, ...] = (0.9, 0.8, 0.7),
    phrases: tuple[str, ...] = ("shirt", "bag", "shoe"),
    turn: float = 0.0,
    nearer: float = 0.0,
) -> Answer:
    """Garments whose embeddings are turned by an angle and whose depths are shifted."""
    count = len(boxes)
    embedding = np.asarray([[np.cos(turn), np.sin(turn)]] * count, np.float32).reshape(count, 2)
    return Answer(
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(scores[:count], np.float32),
        phrases[:count],
        np.asarray([1.0 + nearer] * count, np.float32),
        embedding,
        (b"",) * count,
    )


def compared(one: Answer, other: Answer) -> Agreement:
    return agreement([one], [other], ASKED, STRICT)


def test_the_same_is_the_same() -> None:
    found = compared(answer(), answer())
    assert found.least_cosine == pytest.approx(1)
    assert found == Agreement(6, 1.0, 1.0, 0.0, found.least_cosine, 0.0)
    assert found.problems(STRICT) == []
    assert found.told(STRICT)["tolerance"]["name"] == "fp32"


def test_order_does_not_matter() -> None:
    turned = answer(BOXES[::-1], scores=(0.7, 0.8, 0.9), phrases=("shoe", "bag", "shirt"))
    assert compared(answer(), turned).problems(STRICT) == []


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (answer([BOXES[0], BOXES[1], (30.0, 120.0, 90.0, 210.0)]), "66.7% of 6 garments"),
        (answer(scores=(0.9, 0.8, 0.6)), "66.7%"),
        (answer(phrases=("shirt", "bag", "boot")), "66.7%"),
        (answer(BOXES[:2]), "80.0% of 5 garments"),
        (answer(turn=0.05), "cosine 0.99"),
        (answer(nearer=0.1), "depths differ by 9.09%"),
    ],
)
def test_what_is_not_the_same_is_named(other: Answer, says: str) -> None:
    for pair in ((answer(), other), (other, answer())):
        problems = compared(*pair).problems(STRICT)
        assert len(problems) == 1
        assert says in problems[0]


def test_quantised_models_may_differ_more() -> None:
    other = answer([(x0, y0 + 2, x1, y1 + 2) for x0, y0, x1, y1 in BOXES], scores=(0.85, 0.8, 0.62), turn=0.05)
    found = agreement([answer()], [other], ASKED, QUANTISED)
    assert found.problems(QUANTISED) == []
    assert found.problems(STRICT)


def test_a_garment_at_the_threshold_may_be_in_one_answer_only() -> None:
    only_here = answer(scores=(0.9, 0.8, 0.351))
    assert compared(only_here, answer(BOXES[:2])).problems(STRICT) == []
    assert compared(only_here, answer(BOXES[:2])).garments == 4


def test_where_the_number_of_garments_is_limited_the_last_may_be_another() -> None:
    """Both found more than were asked for, and the third and the fourth have nearly one score."""
    other = answer([*BOXES[:2], (5.0, 5.0, 9.0, 9.0)], scores=(0.9, 0.8, 0.7005))
    assert agreement([answer()], [other], Asked(0.35, 3), STRICT).problems(STRICT) == []
    assert compared(answer(), other).problems(STRICT)


def test_nothing_found_proves_nothing() -> None:
    empty = answer([])
    assert "nothing was compared" in compared(empty, empty).problems(STRICT)[0]
    assert compared(answer(), empty).problems(STRICT)


@given(st.integers(0, 2**32), st.integers(0, 12), st.integers(0, 12))
def test_agreement_is_mutual_and_within_bounds(seed: int, ours: int, theirs: int) -> None:
    rng = np.random.default_rng(seed)

    def wild(count: int) -> Answer:
        corners = rng.uniform(0, 100, (count, 2, 2))
        corners.sort(axis=1)
        return Answer(
            corners.reshape(count, 4).astype(np.float32),
            rng.uniform(0.35, 1, count).astype(np.float32),
            tuple(rng.choice(["shirt", "bag"], count)),
            rng.uniform(0, 9, count).astype(np.float32),
            rng.normal(size=(count, 4)).astype(np.float32),
            (b"",) * count,
        )

    one, other = wild(ours), wild(theirs)
    there, back = (agreement([first], [second], ASKED, QUANTISED) for first, second in ((one, other), (other, one)))
    assert (there.garments, there.matched) == (back.garments, back.matched)
    assert 0 <= there.matched <= 1
    assert there.least_cosine <= 1 + 1e-6
    assert compared(one, one).matched == 1
