"""A limit on dollars: never passed, whatever runs at a time and however it ends."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from fashioncrop.describing import Budget
from fashioncrop.errors import BudgetError, OptionError


async def call(budget: Budget, worst: float, took: float | None, *, at_once: list[int] | None = None) -> None:
    with await budget.reserve(worst) as reservation:
        if at_once is not None:
            at_once.append(1)
        await asyncio.sleep(0)
        if took is not None:
            reservation.settle(took)


async def test_what_calls_took_is_counted_and_not_their_worst_case() -> None:
    budget = Budget(0.01)
    for _ in range(5):
        await call(budget, 0.009, 0.0001)
    assert budget.spent_dollars == pytest.approx(0.0005)
    assert budget.uncertain_dollars == 0
    assert budget.max_dollars == 0.01


async def test_a_call_that_might_pass_the_limit_is_not_made() -> None:
    budget = Budget(0.01)
    await call(budget, 0.009, 0.008)
    with pytest.raises(BudgetError, match=r"up to \$0\.003.*\$0\.002 is left of the limit of \$0\.01"):
        await budget.reserve(0.003)
    await call(budget, 0.002, 0.001)


async def test_the_limit_itself_may_be_reached_exactly() -> None:
    budget = Budget(0.3)
    for _ in range(3):
        await call(budget, 0.1, 0.1)
    with pytest.raises(BudgetError):
        await budget.reserve(1e-9)


async def test_a_call_of_unknown_outcome_counts_with_its_worst_case() -> None:
    budget = Budget(0.01)
    await call(budget, 0.004, None)
    assert budget.spent_dollars == budget.uncertain_dollars == pytest.approx(0.004)


async def test_a_cancelled_call_counts_with_its_worst_case() -> None:
    budget = Budget(1)
    started = asyncio.Event()

    async def hang() -> None:
        with await budget.reserve(0.25):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert budget.spent_dollars == 0.25


async def test_calls_wait_for_one_another_rather_than_fail() -> None:
    budget = Budget(0.010)
    at_once: list[int] = []
    await asyncio.gather(*(call(budget, 0.006, 0.0001, at_once=at_once) for _ in range(20)))
    assert len(at_once) == 20
    assert budget.spent_dollars == pytest.approx(0.002)


async def test_the_limit_holds_for_any_order_of_calls() -> None:
    chance = random.Random(4)
    for _ in range(30):
        limit = chance.uniform(0, 0.02)
        budget = Budget(limit)

        async def one(budget: Budget = budget, limit: float = limit) -> None:
            worst = chance.uniform(0, 0.003)
            with await budget.reserve(worst) as reservation:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                assert budget.spent_dollars + worst <= limit + 1e-9
                if chance.random() < 0.8:
                    reservation.settle(worst * chance.random())

        outcomes = await asyncio.gather(*(one() for _ in range(40)), return_exceptions=True)
        assert all(outcome is None or isinstance(outcome, BudgetError) for outcome in outcomes)
        assert budget.spent_dollars <= limit
        assert budget._reserved == 0


async def test_a_waiting_call_is_refused_when_there_is_no_room_left() -> None:
    budget = Budget(0.01)

    async def first() -> None:
        with await budget.reserve(0.008) as reservation:
            await asyncio.sleep(0.01)
            reservation.settle(0.008)

    outcomes = await asyncio.gather(first(), call(budget, 0.005, 0), return_exceptions=True)
    assert outcomes[0] is None
    assert isinstance(outcomes[1], BudgetError)


async def test_without_a_limit_everything_is_counted_and_nothing_refused() -> None:
    budget = Budget()
    await call(budget, 100.0, 50.0)
    with await budget.reserve(None) as reservation:
        reservation.settle(1.0)
    assert budget.spent_dollars == 51
    assert budget.max_dollars is None


async def test_a_limit_needs_a_price() -> None:
    with pytest.raises(OptionError, match="price file"):
        await Budget(1).reserve(None)


async def test_nothing_may_be_spent_under_a_limit_of_nothing() -> None:
    with pytest.raises(BudgetError):
        await Budget(0).reserve(0.0001)
    await call(Budget(0), 0, 0)


@pytest.mark.parametrize("dollars", [-1, math.nan, math.inf, 1e12])
def test_a_limit_is_a_sensible_number(dollars: float) -> None:
    with pytest.raises(OptionError):
        Budget(dollars)
