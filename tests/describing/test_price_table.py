"""Prices: the shipped table, the user's over it, how images are counted, and the sum that the project promises."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from fashioncrop.describing import DescriberSettings, PriceTable, estimate
from fashioncrop.describing.settings import DEFAULT_MODEL, Detail
from fashioncrop.errors import OptionError
from fashioncrop.results import Usage

SHIPPED = PriceTable.load()


def own(tmp_path: Path, models: dict[str, Any], **fields: object) -> PriceTable:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"as_of": "2026-12-24", "models": models, **fields}))
    return PriceTable.load(file)


def used(model: str, *, sent: int, cached: int = 0, answered: int = 0) -> Usage:
    return Usage(
        model=model, calls=1, input_tokens=sent, cached_input_tokens=cached, output_tokens=answered, dollars=None
    )


def test_four_garments_cost_less_than_a_tenth_of_a_cent() -> None:
    """At list prices of gpt-4o-mini with one low-detail sheet."""
    expected = estimate(4, DescriberSettings(), SHIPPED)
    assert expected.model == "gpt-4o-mini"
    assert expected.calls == 1
    assert expected.image_tokens == 2833
    by_hand = (2833 + expected.text_tokens) * 0.15 / 1e6 + expected.output_tokens * 0.60 / 1e6
    assert expected.dollars == pytest.approx(by_hand)
    assert by_hand < 0.001
    assert 400 < expected.text_tokens < 1000
    assert expected.output_tokens == 4 * 120 + 12


def test_a_sheet_each_would_cost_several_times_that() -> None:
    together = estimate(4, DescriberSettings(), SHIPPED).dollars
    alone = estimate(1, DescriberSettings(), SHIPPED).dollars
    assert together is not None
    assert alone is not None
    assert 4 * alone > 2.5 * together


def test_estimates_grow_with_sheets_and_detail() -> None:
    assert estimate(17, DescriberSettings(), SHIPPED).calls == 2
    assert estimate(17, DescriberSettings(), SHIPPED).image_tokens == 2 * 2833
    assert estimate(4, DescriberSettings(detail="high"), SHIPPED).image_tokens == 2833 + 4 * 5667
    assert estimate(0, DescriberSettings(), SHIPPED).dollars == 0


def test_a_model_without_a_price_has_no_dollars() -> None:
    expected = estimate(4, DescriberSettings(model="qwen3-vl"), SHIPPED)
    assert (expected.image_tokens, expected.dollars) == (None, None)
    assert SHIPPED.dollars(used("qwen3-vl", sent=10)) is None
    assert SHIPPED.image_tokens("qwen3-vl", (9, 9), "low") is None


@pytest.mark.parametrize(
    ("model", "size_wh", "detail", "tokens"),
    [
        # 12 tokens of each are text: https://community.openai.com/t/1262691
        ("gpt-4o-mini", (128, 64), "low", 2845 - 12),
        ("gpt-4o-mini", (128, 64), "high", 8512 - 12),
        ("gpt-4o", (128, 64), "low", 97 - 12),
        ("gpt-4o", (128, 64), "high", 267 - 12),
        ("gpt-4.1-mini", (128, 64), "low", 26 - 13),
        ("gpt-4.1-mini", (128, 64), "high", 26 - 13),
        # the maker's own examples
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4.1-mini", (1024, 1024), "high", 1659),
        # our sheets
        ("gpt-4.1-mini", (512, 512), "low", 415),
        ("gpt-4o-mini", (2048, 768), "high", 2833 + 8 * 5667),
        ("gpt-4.1-mini", (5000, 5000), "high", 2489),
    ],
)
def test_images_are_counted_as_their_makers_count(
    model: str, size_wh: tuple[int, int], detail: Detail, tokens: int
) -> None:
    assert SHIPPED.image_tokens(model, size_wh, detail) == tokens


def test_cached_tokens_are_cheaper() -> None:
    assert SHIPPED.dollars(used("gpt-4o-mini", sent=1_000_000)) == pytest.approx(0.15)
    assert SHIPPED.dollars(used("gpt-4o-mini", sent=1_000_000, cached=400_000)) == pytest.approx(0.12)
    assert SHIPPED.dollars(used("gpt-4o-mini", sent=0, answered=1_000_000)) == pytest.approx(0.60)


def test_tokens_kept_for_later_may_cost_more_and_the_worst_case_counts_them() -> None:
    luna = SHIPPED.models["gpt-6-luna"]
    assert luna.dollars(input_tokens=1_000_000, output_tokens=0, written=1_000_000) == pytest.approx(0.125)
    assert luna.most_dollars(input_tokens=1_000_000, output_tokens=0) == pytest.approx(0.125)
    mini = SHIPPED.models["gpt-4o-mini"]
    assert mini.most_dollars(input_tokens=1_000_000, output_tokens=0) == pytest.approx(0.15)


def test_snapshots_have_their_models_price_and_others_none() -> None:
    assert SHIPPED.price_of("gpt-4o-mini-2024-07-18") == SHIPPED.models["gpt-4o-mini"]
    assert SHIPPED.price_of("gpt-4o-2024-05-13") is None, "it cost twice as much"


def test_the_shipped_table_is_dated_and_knows_the_default() -> None:
    assert SHIPPED.as_of >= dt.date(2026, 11, 1)
    assert "openai.com" in SHIPPED.source
    price = SHIPPED.price_of(DEFAULT_MODEL)
    assert price is not None
    assert price.image is not None


def test_a_users_table_lies_over_the_shipped_one(tmp_path: Path) -> None:
    table = own(tmp_path, {"gpt-4o-mini": {"input": 1, "output": 2}, "mine": {"input": 0, "output": 0}})
    assert table.dollars(used("gpt-4o-mini", sent=1_000_000, cached=500_000)) == pytest.approx(1.0)
    assert table.dollars(used("mine", sent=10)) == 0
    assert table.price_of("gpt-4o") == SHIPPED.price_of("gpt-4o")
    assert table.as_of == dt.date(2026, 12, 24)


def test_a_users_price_for_a_snapshot_goes_before_its_familys(tmp_path: Path) -> None:
    table = own(tmp_path, {"mine": {"input": 7, "output": 7, "also_named": ["gpt-4o-mini-2024-07-18"]}})
    assert table.dollars(used("gpt-4o-mini-2024-07-18", sent=1_000_000)) == pytest.approx(7)
    assert table.dollars(used("gpt-4o-mini", sent=1_000_000)) == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ({"m": {"input": -1, "output": 0}}, "models.m.input"),
        ({"m": {"input": 1}}, "models.m.output"),
        ({"m": {"input": 1, "output": 1, "typo": 1}}, "models.m.typo"),
        ({"m": {"input": "NaN", "output": 1}}, "models.m.input"),
        ({"m": {"input": 1, "output": 1, "image": {"counted_in": "inches"}}}, "models.m.image"),
    ],
)
def test_a_wrong_table_says_where(tmp_path: Path, models: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        own(tmp_path, models)


def test_a_table_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"cannot be read: No such file"):
        PriceTable.load(tmp_path / "missing.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(OptionError, match=r"not of the form"):
        PriceTable.load(tmp_path / "broken.json")


def test_a_model_that_will_be_shut_down_is_told_in_time() -> None:
    retires = SHIPPED.models["gpt-4o-mini"].retires
    assert retires is not None
    day = dt.timedelta(days=1)
    assert SHIPPED.retirement("gpt-4o-mini", retires - 91 * day) is None
    before = SHIPPED.retirement("gpt-4o-mini-2024-07-18", retires - 90 * day)
    assert before is not None
    assert "gpt-4o-mini-2024-07-18 will be shut down by its maker on 2027-01-14" in before
    assert "--describer-model, gpt-6-luna for instance" in before
    assert "was to be" in (SHIPPED.retirement("gpt-4o-mini", retires) or "")
    assert SHIPPED.retirement("gpt-6-luna", retires) is SHIPPED.retirement("my own", retires) is None
