from __future__ import annotations

import time

import pytest

from stopwatch import Stopwatch


def test_stages_are_measured_in_milliseconds_also_where_they_fail() -> None:
    watch = Stopwatch()
    with watch.stage("decode"):
        time.sleep(0.02)
    with pytest.raises(RuntimeError), watch.stage("detect"):
        raise RuntimeError
    timings_ms = watch.timings_ms()
    assert list(timings_ms) == ["decode", "detect", "total"]
    assert 20 <= timings_ms["decode"] <= timings_ms["total"] < 10_000
    assert timings_ms["detect"] < timings_ms["decode"]


def test_a_stage_that_goes_on_is_not_told_yet() -> None:
    watch = Stopwatch()
    with watch.stage("depth"):
        assert list(watch.timings_ms()) == ["total"]
