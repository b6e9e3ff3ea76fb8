"""Who asks when: against a server that takes one request at a time, and one that stalls."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load import closed_loop, open_loop, poisson_arrivals


class Watched:
    """Remembers how many are in flight."""

    def __init__(self) -> None:
        self.in_flight = self.most = 0
        self.asked: list[int] = []

    async def ask(self, index: int) -> None:
        self.asked.append(index)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(0.002)
        self.in_flight -= 1


async def test_a_closed_loop_keeps_so_many_in_flight() -> None:
    server = Watched()
    run = await closed_loop(server.ask, 3, least_s=0, least_each=4)
    assert server.most == 3
    assert sorted(server.asked) == list(range(12))
    assert len(run.answered) == 12
    assert all(one.due_s == one.sent_s <= one.ended_s <= run.seconds for one in run.answered)
    assert run.per_second == pytest.approx(12 / run.seconds)
    assert run.latencies.answers == 12


async def test_a_closed_loop_lasts_its_time_and_waits_for_what_is_in_flight() -> None:
    server = Watched()
    run = await closed_loop(server.ask, 2, least_s=0.05)
    assert run.seconds >= 0.05
    assert server.in_flight == 0
    assert len(run.answered) == len(server.asked) > 2


async def test_a_stall_shows_in_all_that_was_due_meanwhile() -> None:
    """An open loop measures from the time at which a request was due; a closed loop would count one slow answer."""
    free = asyncio.Lock()

    async def ask(index: int) -> None:
        async with free:
            await asyncio.sleep(0.3 if index == 0 else 0)

    run = await open_loop(ask, [0.01 * number for number in range(20)])
    assert len(run.answered) == 20
    assert sum(one.latency_s > 0.05 for one in run.answered) >= 15
    assert run.latencies.p50_ms > 50
    assert run.most_late_s < 0.3, "who waits for an answer does not keep the next from being sent"


async def test_the_first_problem_ends_a_run() -> None:
    async def ask(index: int) -> None:
        if index == 2:
            raise ConnectionResetError("gone")
        await asyncio.sleep(0.001)

    with pytest.raises(ConnectionResetError, match="gone"):
        await closed_loop(ask, 2, least_s=10)
    with pytest.raises(ConnectionResetError, match="gone"):
        await open_loop(ask, [0.0, 0.001, 0.002, 0.003, 60.0])


async def test_what_would_ask_nothing_is_refused() -> None:
    server = Watched()
    for clients, least_each in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least one"):
            await closed_loop(server.ask, clients, least_s=0, least_each=least_each)
    for times in ([], [-1.0], [0.0, 2.0, 1.0]):
        with pytest.raises(ValueError, match="ascend"):
            await open_loop(server.ask, times)
    assert not server.asked


@given(st.floats(0.01, 500), st.floats(0.01, 20), st.integers(0, 2**32))
def test_arrivals_are_in_time_and_in_order(per_second: float, seconds: float, seed: int) -> None:
    times = poisson_arrivals(per_second, seconds, seed)
    assert times == poisson_arrivals(per_second, seconds, seed)
    assert times
    assert 0 <= times[0] <= times[-1] <= seconds
    assert all(one <= other for one, other in itertools.pairwise(times))


def test_arrivals_come_at_the_rate() -> None:
    counts = [len(poisson_arrivals(50, 10, seed)) for seed in range(40)]
    assert sum(counts) / len(counts) == pytest.approx(500, rel=0.03)
    assert len(set(counts)) > 10, "they come at random"
    for per_second, seconds in ((0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="above 0"):
            poisson_arrivals(per_second, seconds, 0)
