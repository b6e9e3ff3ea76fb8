"""What calls may cost, over real sockets: counted, and never past the limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fashioncrop.describing import Budget, CropToDescribe, Describer, PriceTable
from fashioncrop.errors import (
    BudgetError,
    FashionCropError,
    OptionError,
)
from scripted_answers import (
    Step,
    cut,
    fault,
    good,
    html,
    rate_limited,
    raw,
    slow,
)
from scripted_openai import ScriptedOpenAI

Serve = Callable[..., ScriptedOpenAI]
Describe = Callable[..., Describer]
Crops = Callable[..., list[CropToDescribe]]

HUGE = b'{"choices": [{"message": {"content": "' + b"x" * 30_000_000 + b'"}}]}'


@pytest.mark.parametrize(
    ("step", "uncertain"),
    [
        (fault(500), False),
        (rate_limited(), False),
        (fault(400), False),
        (cut(good(), 40), True),
        (slow(20), True),
        (html(), True),
        (raw(HUGE), True),
    ],
)
async def test_what_may_have_been_charged_is_counted(
    serve: Serve, describer: Describe, crops: Crops, step: Step, *, uncertain: bool
) -> None:
    made = describer(serve(default=step), timeout_s=1.0, max_retries=0)
    with pytest.raises(FashionCropError):
        await made.describe(crops("shirt"))
    assert (made.budget.uncertain_dollars > 0) == uncertain
    assert made.budget.spent_dollars == made.budget.uncertain_dollars


async def test_a_limit_on_dollars_stops_before_it_is_passed(serve: Serve, describer: Describe, crops: Crops) -> None:
    server = serve()
    budget = Budget(0.003)
    made = describer(server, budget=budget)
    outcomes = [await asyncio.gather(made.describe(crops("shirt")), return_exceptions=True) for _ in range(50)]
    [last] = outcomes[-1]
    assert isinstance(last, BudgetError)
    assert "It was not made" in str(last)
    assert 2 <= len(server.requests) < 50
    assert 0.001 < budget.spent_dollars <= 0.003
    asked = len(server.requests)
    with pytest.raises(BudgetError):
        await made.describe(crops("shirt"))
    assert len(server.requests) == asked


async def test_the_limit_holds_for_photos_at_a_time(serve: Serve, describer: Describe, crops: Crops) -> None:
    server = serve(default=slow(0.02))
    budget = Budget(0.005)
    made = describer(server, budget=budget)
    outcomes = await asyncio.gather(*(made.describe(crops("shirt")) for _ in range(30)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BudgetError)]
    assert len(refused) + len(server.requests) == 30
    assert len(server.requests) >= 4
    assert refused
    assert budget.spent_dollars <= 0.005
    assert budget.uncertain_dollars == 0


async def test_an_answer_without_usage_counts_with_its_worst_case(
    serve: Serve, describer: Describe, crops: Crops
) -> None:
    made = describer(serve(default=good(usage=False)))
    await made.describe(crops("shirt"))
    assert made.budget.spent_dollars == made.budget.uncertain_dollars > 0.0004


async def test_the_worst_case_is_never_below_what_a_call_takes(serve: Serve, describer: Describe, crops: Crops) -> None:
    """As far as the scripted endpoint counts like the real one."""
    for count in (1, 4, 16):
        made = describer(serve(good(), good(usage=False)), max_retries=0)
        usage = (await made.describe(crops(*["shirt"] * count))).usage
        before = made.budget.spent_dollars
        await made.describe(crops(*["shirt"] * count))
        assert usage.dollars is not None
        assert made.budget.spent_dollars - before > usage.dollars


async def test_a_limit_on_dollars_needs_a_price(serve: Serve, describer: Describe) -> None:
    with pytest.raises(OptionError, match="price file"):
        describer(serve(), model="qwen3-vl", budget=Budget(1))
    no_image = PriceTable.model_validate({"as_of": "2026-11-20", "models": {"own": {"input": 1, "output": 1}}})
    with pytest.raises(OptionError, match="how it counts an image"):
        describer(serve(), model="own", budget=Budget(1), prices=no_image)
