from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommended import Costs, recommendations
from summaries import Spread
from thread_scaling import Scaling, best_split, fit

SECONDS = st.floats(1e-3, 1e3)


@given(SECONDS, SECONDS)
def test_the_law_is_found_again(serial_s: float, parallel_s: float) -> None:
    truth = Scaling(serial_s, parallel_s, 8)
    found = fit({threads: truth.seconds(threads) for threads in (1, 2, 4, 8)})
    assert found.most_threads == 8
    for threads in (1, 3, 8, 32):
        assert found.seconds(threads) == pytest.approx(truth.seconds(threads), rel=1e-3)


@given(st.dictionaries(st.integers(1, 64), SECONDS, min_size=2))
def test_no_part_of_a_photo_takes_less_than_nothing(measured: dict[int, float]) -> None:
    """Also where more threads were slower."""
    found = fit(measured)
    assert found.serial_s >= 0
    assert found.parallel_s >= 0
    assert 0 <= found.serial_share <= 1


@given(st.floats(0, 1e3), SECONDS, st.integers(1, 256))
def test_a_split_uses_no_more_than_there_is(serial_s: float, parallel_s: float, cores: int) -> None:
    split = best_split(Scaling(serial_s, parallel_s, 2), cores)
    assert split.instances * split.threads <= cores
    assert split.threads >= 1
    assert split.per_second == pytest.approx(split.instances / split.seconds)


def test_splits_by_hand() -> None:
    assert best_split(Scaling(0, 1, 2), 8).instances == 1, "threads that cost nothing need no second copy"
    alone = best_split(Scaling(1, 0, 2), 8)
    assert (alone.instances, alone.threads, alone.per_second) == (8, 1, 8), "threads that buy nothing"


def test_what_cannot_be_told() -> None:
    for measured in ({}, {1: 1.0}):
        with pytest.raises(ValueError, match="at least two"):
            fit(measured)
    for measured in ({1: 1.0, 2: 0.0}, {0: 1.0, 1: 1.0}):
        with pytest.raises(ValueError, match="above 0"):
            fit(measured)


def costs(**others: float) -> Costs:
    return Costs(
        alone_s_by_threads={1: 1.0, 2: 0.6},
        shipped=Spread(2.0, 1.9, 2.1, 3),
        others={name: Spread(value, value - 0.05, value + 0.05, 3) for name, value in others.items()},
        pipeline_cpu_s=0.05,
        server_cpu_s=0.01,
        memory_mb=1000.0,
        instance_mb=300.0,
    )


def test_every_machine_has_its_sentence_and_says_where_it_comes_from() -> None:
    own, eight, many, gpu = recommendations(costs(better=3.0, luckier=2.12), cores=2)
    assert own.startswith("2 cores (measured here): better, 1.50 times")
    assert eight.startswith("8 cores (extrapolated")
    assert many.startswith("32 cores (extrapolated")
    assert "20% of a photo's time" in many
    assert "intra_op_thread_count" in many
    assert gpu.startswith("One GPU (extrapolated; no GPU was measured)")
    assert "60.0 ms a photo" in gpu
    assert "16.7 photos a second" in gpu


def test_what_was_not_faster_in_every_round_is_not_recommended() -> None:
    assert "as shipped; no other" in recommendations(costs(luckier=2.12), cores=2)[0]
    assert "interpolated" in recommendations(costs(), cores=16)[1]


def test_what_was_not_measured_is_not_worked_out() -> None:
    bare = Costs({}, Spread(2.0, 2.0, 2.0, 1), {}, 0.0, 0.0, 1000.0, None)
    assert [one.partition(":")[0] for one in recommendations(bare, cores=2)] == [
        "2 cores (measured here)",
        "Other machines",
        "One GPU",
    ]
