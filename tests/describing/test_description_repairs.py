"""A bad answer is repaired once; what stays bad is reported, and nothing that was paid for is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fashioncrop.describing import CropToDescribe, Describer
from fashioncrop.errors import OptionError, ServerUnavailableError
from scripted_answers import (
    Step,
    counted_from_zero,
    fault,
    good,
    invented,
    refusal,
    says,
    truncated,
    twice,
    without,
    wrong,
)
from scripted_openai import ScriptedOpenAI

Serve = Callable[..., ScriptedOpenAI]
Describe = Callable[..., Describer]
Crops = Callable[..., list[CropToDescribe]]


@pytest.mark.parametrize(
    ("step", "asked_again"),
    [
        (without(2), [2]),
        (twice(2), [2]),
        (wrong(2, sentence=""), [2]),
        (wrong(3, fit=7, colours=None), [3]),
        (counted_from_zero(), [1, 2, 3]),
        (invented(9), [1, 2, 3]),
        (refusal(), [1, 2, 3]),
        (says("Sorry?"), [1, 2, 3]),
        (says(None), [1, 2, 3]),
        (truncated(900), [3]),
        (says("{}", finish_reason="content_filter"), [1, 2, 3]),
        (fault(400, "flagged", code="content_policy_violation"), [1, 2, 3]),
    ],
)
async def test_a_bad_answer_is_repaired_once_and_only_where_it_is_bad(
    serve: Serve, describer: Describe, crops: Crops, step: Step, asked_again: list[int]
) -> None:
    server = serve(step)
    described = await describer(server).describe(crops("shirt", "skirt", "hat"))
    assert [one.type for one in described.descriptions.values()] == ["shirt", "skirt", "hat"]
    assert described.problems == {}
    assert [request.indices for request in server.requests] == [[1, 2, 3], asked_again]
    assert "An earlier answer could not be used" in server.requests[1].text
    assert all(f"- number {number}: " in server.requests[1].text for number in asked_again)
    assert described.usage.calls == 2


async def test_what_stays_bad_is_reported_and_the_rest_is_described(
    serve: Serve, describer: Describe, crops: Crops
) -> None:
    server = serve(default=without(2))
    described = await describer(server).describe(crops("shirt", "skirt", "hat"))
    assert list(described.descriptions) == [10, 12]
    assert described.problems == {11: "The model gave no usable description: the answer lacks it. It was asked twice."}
    assert len(server.requests) == 2


async def test_a_model_that_always_refuses_leaves_a_reason_for_each(
    serve: Serve, describer: Describe, crops: Crops
) -> None:
    described = await describer(serve(default=refusal("Not today."))).describe(crops("shirt", "skirt"))
    assert described.descriptions == {}
    assert described.problems.keys() == {10, 11}
    assert all("refused: Not today." in problem for problem in described.problems.values())


async def test_descriptions_that_were_only_doubted_stay(serve: Serve, describer: Describe, crops: Crops) -> None:
    described = await describer(serve(invented(9), says("nonsense"))).describe(crops("shirt", "skirt"))
    assert list(described.descriptions) == [10, 11]
    assert described.problems == {}


async def test_a_repair_that_fails_does_not_lose_what_was_paid_for(
    serve: Serve, describer: Describe, crops: Crops
) -> None:
    described = await describer(serve(without(2), fault(401))).describe(crops("shirt", "skirt"))
    assert list(described.descriptions) == [10]
    assert "the answer lacks it. Asking again failed:" in described.problems[11]
    assert "does not know the key" in described.problems[11]
    assert described.usage.calls == 1


async def test_a_sheet_that_fails_does_not_lose_the_others(serve: Serve, describer: Describe, crops: Crops) -> None:
    server = serve(good(), default=fault(503))
    described = await describer(server, max_concurrency=1, max_retries=1).describe(crops(*["shirt"] * 20))
    assert len(described.descriptions) == 10
    assert len(described.problems) == 10
    assert all("not able to answer just now (503)" in problem for problem in described.problems.values())


async def test_an_error_is_raised_where_nothing_was_described(serve: Serve, describer: Describe, crops: Crops) -> None:
    with pytest.raises(ServerUnavailableError):
        await describer(serve(default=fault(503)), max_retries=0).describe(crops(*["shirt"] * 20))


async def test_a_crop_that_is_no_image_has_a_problem_and_is_not_sent(
    serve: Serve, describer: Describe, jpeg: Callable[..., bytes]
) -> None:
    server = serve()
    crops = [CropToDescribe(0, "shirt", b"broken"), CropToDescribe(1, "skirt", jpeg())]
    described = await describer(server).describe(crops)
    assert list(described.descriptions) == [1]
    assert described.problems == {0: "The crop cannot be read as an image, so it was not described."}
    assert server.requests[0].phrases == {2: "skirt"}
    assert (await describer(server).describe(crops[:1])).usage.calls == 0
    assert len(server.requests) == 1


async def test_an_id_belongs_to_one_crop(serve: Serve, describer: Describe, jpeg: Callable[..., bytes]) -> None:
    with pytest.raises(OptionError, match="id of its own"):
        await describer(serve()).describe([CropToDescribe(1, "a", jpeg()), CropToDescribe(1, "b", jpeg())])
