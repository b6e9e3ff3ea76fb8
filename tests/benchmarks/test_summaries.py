from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from summaries import growth, latencies, percentile, ratios, shown, spread

FINITE = st.floats(-1e6, 1e6)
ABOVE_0 = st.floats(1e-6, 1e6)


def test_by_hand() -> None:
    seconds = [0.1 * n for n in range(1, 11)]
    found = latencies(seconds)
    assert (found.p50_ms, found.p95_ms, found.p99_ms, found.most_ms, found.answers) == (500, 1000, 1000, 1000, 10)
    assert latencies([n / 1000 for n in range(1, 101)]).p99_ms == 99


@given(st.lists(FINITE, min_size=1), st.floats(0, 1))
def test_a_percentile_was_measured_and_splits_the_rest(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) * (1 - 1e-9)
    assert sum(value < found for value in values) <= share * len(values) * (1 + 1e-9)


@given(st.lists(ABOVE_0, min_size=1))
def test_percentiles_ascend_and_do_not_care_for_order(values: list[float]) -> None:
    found = latencies(values)
    assert found.p50_ms <= found.p95_ms <= found.p99_ms <= found.most_ms
    assert latencies(values[::-1]) == found


@given(st.lists(FINITE, min_size=1))
def test_a_median_lies_between_the_extremes(values: list[float]) -> None:
    found = spread(values)
    assert found.least <= found.median <= found.most
    assert (found.least, found.most, found.rounds) == (min(values), max(values), len(values))


@given(st.lists(ABOVE_0, min_size=1), ABOVE_0)
def test_a_contender_that_is_so_many_times_slower(theirs: list[float], times: float) -> None:
    found = ratios([value * times for value in theirs], theirs)
    assert found.median == pytest.approx(times)
    assert found.least == pytest.approx(found.most)


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that is half as fast in the second round is so for both."""
    assert ratios([4, 2], [2, 1]) == spread([2, 2])


@given(st.lists(ABOVE_0, min_size=5, max_size=200), st.floats(1e-3, 1e3))
def test_growth_knows_no_unit(values: list[float], unit: float) -> None:
    assert growth([value * unit for value in values]) == pytest.approx(growth(values), rel=1e-6, abs=1e-6)


@given(ABOVE_0, st.integers(5, 300))
def test_what_stays_does_not_grow(value: float, count: int) -> None:
    assert growth([value] * count) == 0


@given(st.integers(25, 300), st.data())
def test_one_odd_sample_is_no_growth(count: int, data: st.DataObject) -> None:
    values = [100.0] * count
    values[data.draw(st.integers(0, count - 1))] = 1e6
    assert growth(values) == 0


def test_growth_by_hand() -> None:
    assert growth([100] * 10 + [150] * 30 + [103] * 10) == pytest.approx(0.03)
    assert growth([100, 1, 1, 1, 50]) == pytest.approx(-0.5)


@pytest.mark.parametrize("values", [[], [math.nan], [1, math.inf]])
def test_nothing_is_made_up(values: list[float]) -> None:
    for summary in (latencies, spread, growth):
        with pytest.raises(ValueError, match=r"nothing to summarise|not finite"):
            summary(values)


def test_ratios_and_growth_need_something_to_compare_with() -> None:
    with pytest.raises(ValueError, match="pairs"):
        ratios([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="above 0"):
        ratios([1.0], [0.0])
    with pytest.raises(ValueError, match="at least 5"):
        growth([1.0] * 4)
    with pytest.raises(ValueError, match="above 0"):
        growth([0.0] * 5)


@given(st.floats(1e-5, 1e9))
def test_numbers_keep_three_digits_that_matter(value: float) -> None:
    assume(value >= 1e-4)
    text = shown(value)
    assert "e" not in text
    assert float(text) == pytest.approx(value, rel=0.006)
    assert shown(-value) == f"-{text}"


def test_numbers_by_hand() -> None:
    assert [shown(value) for value in (0, 0.123456, 1.0, 12.345, 1234.5)] == ["0", "0.123", "1.00", "12.3", "1234"]
    assert str(spread([2.0])) == "2.00"
    assert str(spread([2.0, 1.0, 4.0])) == "2.00 (1.00 to 4.00)"
    assert isinstance(spread(np.asarray([1.0, 2.0]).tolist()).median, float)
