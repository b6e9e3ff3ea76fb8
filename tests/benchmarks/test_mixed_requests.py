from __future__ import annotations

import io
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fashioncrop.errors import DeadlineError, OptionError, OverloadedError, PhotoError, ServerFaultError
from mixed_requests import ANSWERED, Kind, Verdict, drawn, huge_png, judged, kinds, outcome_of
from sample_photos import drawn_photos
from soak_run import Seen


@pytest.fixture(scope="module")
def every() -> dict[str, Kind]:
    return {kind.name: kind for kind in kinds(drawn_photos(2, (96, 128)))}


def test_most_requests_are_good_and_none_is_rare(every: dict[str, Kind]) -> None:
    chosen = Counter(kind.name for kind in drawn(list(every.values()), 5000, 1))
    assert set(chosen) == set(every)
    good = sum(count for name, count in chosen.items() if every[name].outcomes == {ANSWERED})
    assert 0.7 < good / 5000 < 0.85


@given(st.integers(0, 2**32), st.integers(1, 50))
def test_the_same_seed_gives_the_same_requests(seed: int, count: int) -> None:
    of = [Kind(name, weight, frozenset({ANSWERED}), lambda _: None) for name, weight in (("a", 1), ("b", 9))]  # type: ignore[arg-type, return-value]
    assert drawn(of, count, seed) == drawn(of, count, seed)
    assert len(drawn(of, count, seed)) == count


def test_vocabularies_are_more_than_the_server_keeps(every: dict[str, Kind]) -> None:
    made = {tuple(every["own vocabulary"].make(number).options["vocabulary"]) for number in range(500)}
    assert len(made) > 32


def test_photos_are_of_several_kinds(every: dict[str, Kind]) -> None:
    formats = set()
    for name in ("photo", "PNG or WebP"):
        for number in range(4):
            with Image.open(io.BytesIO(every[name].make(number).data)) as image:
                formats.add(image.format)
    assert formats == {"JPEG", "PNG", "WEBP"}
    with Image.open(io.BytesIO(huge_png())) as image:
        assert image.size == (30_000, 30_000)


@pytest.mark.parametrize(
    ("kind", "error", "verdict"),
    [
        ("photo", None, Verdict.FORESEEN),
        ("photo", OverloadedError("full"), Verdict.NAMED),
        ("photo", DeadlineError("late"), Verdict.NAMED),
        ("photo", PhotoError("refused"), Verdict.WRONG),
        ("photo", ServerFaultError("nobody foresaw"), Verdict.WRONG),
        ("photo", ZeroDivisionError("what"), Verdict.WRONG),
        ("cut short", PhotoError("cut short"), Verdict.FORESEEN),
        ("cut short", None, Verdict.WRONG),
        ("cut short", OptionError("other"), Verdict.WRONG),
        ("cut short", ServerFaultError("crash"), Verdict.WRONG),
        ("empty phrase", OptionError("empty"), Verdict.FORESEEN),
        ("abandoned", DeadlineError("gave up"), Verdict.FORESEEN),
        ("abandoned", None, Verdict.FORESEEN),
    ],
)
def test_what_to_think_of_an_outcome(
    every: dict[str, Kind], kind: str, error: Exception | None, verdict: Verdict
) -> None:
    assert judged(every[kind], outcome_of(error), error) is verdict
    seen = Seen()
    seen.note(every[kind], error)
    assert seen.verdicts == {verdict: 1}
    assert bool(seen.wrong) is (verdict is Verdict.WRONG)
    assert sum(seen.outcomes.values()) == 1


def test_an_error_without_a_name_is_called_so() -> None:
    assert outcome_of(ZeroDivisionError("what")) == "unnamed ZeroDivisionError"
    assert outcome_of(PhotoError("what")) == "PhotoError"
