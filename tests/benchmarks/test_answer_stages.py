from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answer_stages import DEPTH, DETECTOR, EMBEDDER, ENCODER, is_alone, stages_of, summary_of
from triton_statistics import ModelTimes, difference

MS = st.floats(0, 1e5)
STAGES = ("queue", "decode", "encode_text", "detect", "crop", "embed", "measure", "depth", "total")
TOLD = st.fixed_dictionaries({**dict.fromkeys(STAGES, MS), "request": st.floats(0.01, 1e5)})


def times(request_ms: float, infer_ms: float, requests: int = 1) -> ModelTimes:
    return ModelTimes(requests, 0, request_ms, 0.0, infer_ms)


def test_by_hand() -> None:
    told = {"queue": 1, "decode": 10, "encode_text": 2, "detect": 100, "crop": 5, "embed": 20, "measure": 8}
    models = {ENCODER: times(1.5, 1), DETECTOR: times(85, 80), EMBEDDER: times(12, 10), DEPTH: times(30, 25)}
    found = stages_of({**told, "depth": 40, "total": 150, "request": 160}, models)
    assert found.inside == {ENCODER: 1, DETECTOR: 80, EMBEDDER: 10, DEPTH: 0}
    assert found.beside == 25
    assert found.outside == {
        "network, serialisation, client": 10,
        "waiting for a worker": 1,
        "decode": 10,
        "text: tokens and the way to the encoder": 1,
        "detector: queue and copies in the server": 5,
        "detector: resize, the way there, scores": 15,
        "crops as JPEG": 5,
        "embedder: queue and copies in the server": 2,
        "embedder: resize, the way there": 8,
        "waiting for depth outside its model": 0,
        "measure: depth, flags, colours": 8,
        "rest": 4,
    }
    assert found.outside_ms == 69


def test_depth_counts_where_the_answer_waits_for_it() -> None:
    models = {DETECTOR: times(9, 9), DEPTH: times(95, 90)}
    found = stages_of({"detect": 10, "depth": 100, "total": 105, "request": 110}, models)
    assert found.inside[DEPTH] == 90
    assert found.outside["waiting for depth outside its model"] == 0
    waited_less = stages_of({"detect": 80, "depth": 100, "total": 105, "request": 110}, models)
    assert waited_less.inside[DEPTH] == 20


@given(TOLD, st.lists(st.tuples(MS, MS), min_size=4, max_size=4))
def test_stages_add_up_to_the_answer(told: dict[str, float], models: list[tuple[float, float]]) -> None:
    """Whatever the clocks say."""
    named = dict(zip((ENCODER, DETECTOR, EMBEDDER, DEPTH), (times(*pair) for pair in models), strict=True))
    found = stages_of(told, named)
    assert sum(found.inside.values()) + found.outside_ms == pytest.approx(told["request"], abs=1e-4)
    summary = summary_of([found] * 3)
    assert summary.outside_ms.median == pytest.approx(found.outside_ms)


def test_a_request_without_garments_asks_no_embedder() -> None:
    found = stages_of({"detect": 10, "total": 12, "request": 13}, {DETECTOR: times(8, 7)})
    assert found.inside[EMBEDDER] == found.inside[DEPTH] == 0


def test_others_requests_are_told_apart() -> None:
    alone = {ENCODER: times(0, 0, 0), DETECTOR: times(1, 1), EMBEDDER: times(1, 1, 2), DEPTH: times(1, 1)}
    assert is_alone(alone, most_embedded=2)
    assert not is_alone(alone, most_embedded=1)
    assert not is_alone({**alone, DETECTOR: times(1, 1, 2)}, most_embedded=2)
    assert not is_alone({**alone, ENCODER: times(1, 1, 2)}, most_embedded=2)
    assert not is_alone({name: one for name, one in alone.items() if name != DEPTH}, most_embedded=2)


def test_statistics_are_subtracted_model_by_model() -> None:
    after, before = {"a": ModelTimes(5, 1, 50, 5, 40), "new": times(1, 1)}, {"a": ModelTimes(3, 0, 30, 4, 20)}
    assert difference(after, before) == {"a": ModelTimes(2, 1, 20, 1, 20)}
    with pytest.raises(ValueError, match="no answers"):
        summary_of([])
