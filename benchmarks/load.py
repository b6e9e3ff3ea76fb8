"""Sends requests in two ways, which answer two questions.

`closed_loop`: so many clients, each of which sends its next request when the last is answered. It finds how much a
server can do. Its latencies flatter a server that stalls: while it stalls nobody sends, and what would have been sent
is never counted (coordinated omission).

`open_loop`: requests come when they come, answered or not, as those of strangers do. Latencies count from the moment
at which a request was due, so that a stall shows in all that came meanwhile. It finds what callers feel at a given
rate.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np

from summaries import Latencies, latencies

Ask = Callable[[int], Awaitable[None]]
"""Sends the request of this number and waits for its answer; what it raises ends the run."""


@dataclass(frozen=True)
class Answered:
    """One request.

    Attributes:
        index: which it was, from 0.
        due_s: when it should have been sent, in seconds since the run began.
        sent_s: when it was.
        ended_s: when its answer was there.
    """

    index: int
    due_s: float
    sent_s: float
    ended_s: float

    @property
    def latency_s(self) -> float:
        """From when it was due to its answer."""
        return self.ended_s - self.due_s


@dataclass(frozen=True)
class Run:
    """What became of all requests of one run.

    Attributes:
        answered: in the order of their ends.
        seconds: from the first request to the last answer.
    """

    answered: tuple[Answered, ...]
    seconds: float

    @property
    def per_second(self) -> float:
        """Answers a second, those included that came while no more were asked for."""
        return len(self.answered) / self.seconds

    @property
    def latencies(self) -> Latencies:
        """From when each was due."""
        return latencies([one.latency_s for one in self.answered])

    @property
    def most_late_s(self) -> float:
        """How late the latest request was sent: large where the sender itself was the limit."""
        return max(one.sent_s - one.due_s for one in self.answered)


async def closed_loop(ask: Ask, clients: int, *, least_s: float, least_each: int = 1) -> Run:
    """Keep `clients` requests in flight.

    Args:
        ask: sends one request.
        clients: how many at a time.
        least_s: for at least so many seconds; what is in flight then is still waited for.
        least_each: and until each client has had so many answers.

    Raises:
        ValueError: nothing would be asked.
    """
    if clients < 1 or least_each < 1:
        raise ValueError("a run needs at least one client, and one answer of each")
    numbers = itertools.count()
    answered: list[Answered] = []
    start_s = time.perf_counter()

    async def client() -> None:
        for own in itertools.count(1):
            index, sent_s = next(numbers), time.perf_counter() - start_s
            await ask(index)
            ended_s = time.perf_counter() - start_s
            answered.append(Answered(index, sent_s, sent_s, ended_s))
            if own >= least_each and ended_s >= least_s:
                return

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None  # the first stopped the others
    return Run(tuple(answered), time.perf_counter() - start_s)


async def open_loop(ask: Ask, due_s: Sequence[float]) -> Run:
    """Send each request at its time, however many are in flight.

    Args:
        ask: sends one request.
        due_s: when, in seconds from now, ascending.

    Raises:
        ValueError: there are none, or they do not ascend from 0.
    """
    if not len(due_s) or due_s[0] < 0 or any(later < one for one, later in itertools.pairwise(due_s)):
        raise ValueError("requests need times that ascend from 0")
    answered: list[Answered] = []
    start_s = time.perf_counter()

    async def request(index: int, due: float) -> None:
        sent_s = time.perf_counter() - start_s
        await ask(index)
        answered.append(Answered(index, due, sent_s, time.perf_counter() - start_s))

    try:
        async with asyncio.TaskGroup() as group:
            for index, due in enumerate(due_s):
                await asyncio.sleep(max(start_s + due - time.perf_counter(), 0))
                group.create_task(request(index, due))
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None
    return Run(tuple(answered), time.perf_counter() - start_s)


def poisson_arrivals(per_second: float, seconds: float, seed: int) -> list[float]:
    """Times of requests that come independently of each other, at this rate on average; at least one.

    Raises:
        ValueError: rate or time is not above 0.
    """
    if per_second <= 0 or seconds <= 0:
        raise ValueError("a rate and a time must be above 0")
    rng = np.random.default_rng(seed)
    times: list[float] = []
    last = 0.0
    while True:
        last += float(rng.exponential(1 / per_second))
        if last >= seconds and times:
            return times
        times.append(min(last, seconds))
