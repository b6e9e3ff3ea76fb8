from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saturation import NEARLY, Point, held, saturation


def sweep(*pairs: tuple[float, float]) -> list[Point]:
    """(offered, answered a second) each."""
    return [Point(offered, per_second, 1.0, 2.0) for offered, per_second in pairs]


POINTS = st.lists(st.tuples(st.floats(0.1, 1e4), st.floats(0.01, 1e4)), min_size=1).map(lambda pairs: sweep(*pairs))


def test_by_hand() -> None:
    assert saturation(sweep((1, 10), (2, 19.5), (4, 20), (8, 18))).offered == 2
    assert saturation(sweep((1, 10))).offered == 1
    assert held(sweep((5, 5), (10, 9.9), (15, 14), (20, 19.9))) == Point(10, 9.9, 1.0, 2.0), "20 was held by luck"
    assert held(sweep((5, 4))) is None
    assert held([]) is None
    with pytest.raises(ValueError, match="no saturation"):
        saturation([])


@given(POINTS)
def test_fewer_clients_would_do_clearly_less(points: list[Point]) -> None:
    full = saturation(points)
    most = max(point.per_second for point in points)
    assert full.per_second >= NEARLY * most
    assert all(point.per_second < NEARLY * most for point in points if point.offered < full.offered)


@given(POINTS)
def test_every_rate_below_a_held_one_was_held(points: list[Point]) -> None:
    best = held(points)
    below = [point for point in points if best is not None and point.offered < best.offered]
    assert all(point.per_second >= NEARLY * point.offered for point in below)
    if best is None:
        lowest = min(points, key=lambda point: point.offered)
        assert any(point.per_second < NEARLY * point.offered for point in points if point.offered == lowest.offered)
