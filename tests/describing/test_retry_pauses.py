"""How long is waited: as asked in any of the forms, else longer each time and never all at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashioncrop.describing.retries import pause_s, retry_after_s
from scripted_answers import date_in


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "Wed, 99 Oct 2015 07:28:00 GMT"}, None),
    ],
)
def test_what_is_asked_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


def test_a_date_is_read_as_seconds_from_now() -> None:
    seconds = retry_after_s({"retry-after": date_in(30)})
    assert seconds is not None
    assert 28 < seconds <= 30


@given(text=st.text())
def test_any_header_is_a_time_or_nothing(text: str) -> None:
    seconds = retry_after_s({"retry-after": text, "retry-after-ms": text})
    assert seconds is None or 0 <= seconds < float("inf")


def test_no_less_is_waited_than_is_asked_and_little_more() -> None:
    pauses = [pause_s(3, 10) for _ in range(200)]
    assert min(pauses) >= 10
    assert max(pauses) <= 11
    assert len(set(pauses)) > 100, "spread out"


@pytest.mark.parametrize("asked_s", [None, 0.0])
def test_without_a_wish_pauses_double_up_to_a_limit(asked_s: float | None) -> None:
    for repetition, longest in enumerate([0.5, 1, 2, 4, 8, 8, 8]):
        pauses = [pause_s(repetition, asked_s) for _ in range(200)]
        assert longest / 2 <= min(pauses)
        assert max(pauses) <= longest
        assert len(set(pauses)) > 100, "spread out"
