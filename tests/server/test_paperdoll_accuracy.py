"""What the shipped small models see in 200 drawn scenes that nobody trained on, through the real server.

The floors are a little under what was measured (the model card, beside the checkpoints, has the figures).
"""

from __future__ import annotations

from typing import Any

import pytest

from measuring import measure
from settings import Settings, Vocabulary

pytestmark = [pytest.mark.server, pytest.mark.timeout(1200)]

FLOORS = {
    ("detection", "ap50"): 0.92,
    ("detection", "ap"): 0.69,
    ("default_threshold", "precision"): 0.95,
    ("default_threshold", "recall"): 0.92,
    ("steering", "nothing_else_found"): 0.95,
    ("steering", "recall"): 0.95,
    ("colours", "strict"): 0.95,
    ("colours", "with_shades"): 0.96,
    ("depth_order", "held_person_background"): 0.98,
    ("depth_order", "garment_pairs_right_by_outlines"): 0.97,
    ("text_to_crop", "recall_at_1"): 0.81,
}


@pytest.fixture(scope="module")
def measures() -> dict[str, Any]:
    settings = Settings("paperdoll", None, 200, None, Vocabulary.AUTO, 0)
    document = measure(settings, words=lambda _text: None, on_photo=lambda _done, _total: None)
    assert document["dataset"]["photos"] == 200
    assert document["left_out"] == {}
    assert any("drawn scenes" in warning for warning in document["warnings"])
    taken: dict[str, Any] = document["measures"]
    return taken


@pytest.mark.parametrize(("measure_name", "figure"), FLOORS)
def test_what_is_seen_reaches_its_floor(measures: dict[str, Any], measure_name: str, figure: str) -> None:
    assert measures[measure_name][figure] >= FLOORS[measure_name, figure]
