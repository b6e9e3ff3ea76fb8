"""What is said when an analyser is opened as the settings want it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fashioncrop.analyzing import open_analyzer
from fashioncrop.settings import load_settings

NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize(
    ("base_url", "told"),
    [(None, ["old-model was to be shut down by its maker on 2020-01-01"]), ("http://127.0.0.1:1/v1", [])],
    ids=["its maker's endpoint", "the user's own"],
)
async def test_a_model_that_is_shut_down_is_told_before_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base_url: str | None, told: list[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    prices = tmp_path / "prices.json"
    model = {"input": 1, "output": 1, "retires": "2020-01-01"}
    prices.write_text(json.dumps({"as_of": "2019-11-06", "models": {"old-model": model}}))
    given = {"url": NOBODY, "prices": prices, "describer_model": "old-model", "mode": "hybrid", "base_url": base_url}
    settings = load_settings({**given, "cache_dir": tmp_path / "cache"})
    warnings: list[str] = []
    async with open_analyzer(settings, on_warning=warnings.append):
        pass
    assert [warning[: len(start)] for warning, start in zip(warnings, told, strict=True)] == told
