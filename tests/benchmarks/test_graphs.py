"""The comparison of graphs, and what batching by size would cost: once on tiny models, and their arithmetic."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

import graphs
import photo_sizes
from documents import read_documents
from fashioncrop.model_repository import Role, prepare_repository
from graph_contenders import EAGER, FP32, INT8, NO_ARENA, PLAIN, Contender, Sizes, Subject, caption
from graphs_run import Measured, Settings, _losses, _table, _targets
from photo_sizes_run import padding_costs
from tiny_models import tiny_checkpoints

pytestmark = pytest.mark.export

SIZES = Sizes((224, 256), (126, 126), 20, 2)


@pytest.fixture(scope="module")
def cache(tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that has the tiny checkpoints and their fp32 engines."""
    cache = tmp_path_factory.mktemp("cache")
    shutil.copytree(tiny_checkpoints(tiny_repository), cache, dirs_exist_ok=True)
    prepare_repository(Path(shutil.copytree(tiny_repository, cache / "repositories" / "tiny")))
    return cache


@pytest.fixture(autouse=True)
def _that_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHIONCROP_CACHE", str(cache))


def test_a_run_has_every_way_to_compute_a_model(tmp_path: Path) -> None:
    words = ["--models", "tiny", "--only", "image_embedder", "--only", "depth_estimator", "--crops", "2"]
    threads = torch.get_num_threads()
    done = CliRunner().invoke(
        graphs.app, [*words, "--depth-size", "126x112", "--rounds", "2", "--no-warm-up", "--out", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    assert torch.get_num_threads() == threads
    (document,) = read_documents(tmp_path).values()
    assert document["benchmark"] == "graphs"
    assert set(document["measured"]) == {"image_embedder", "depth_estimator"}
    assert set(document["measured"]["image_embedder"]) == {EAGER, PLAIN, FP32, INT8}
    assert set(document["measured"]["depth_estimator"]) == {EAGER, PLAIN, FP32, NO_ARENA, INT8}
    for ways in document["measured"].values():
        for name, figures in ways.items():
            assert figures["cpu_s"]["median"] > 0
            assert figures["cpu_s"]["rounds"] == 2
            assert (figures["nodes"] is None) == (figures["file_bytes"] is None) == (name == EAGER)
            assert set(figures["times_faster_than"]) == set(ways) - {name}
    int8, fp32 = (document["measured"]["image_embedder"][name]["file_bytes"] for name in (INT8, FP32))
    assert int8 < fp32
    assert document["targets"] == []  # promised of full-size models
    assert {"torch", "onnxruntime"} <= set(document["environment"]["packages"])
    assert {one["role"] for one in document["models"]} == set(Role)
    assert "times faster than eager" in done.output
    assert (tmp_path / "graphs-tiny.svg").is_file()


def test_the_plain_export_of_the_detector_computes_what_transformers_does(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[int, Any] = {}
    run = onnxruntime.InferenceSession.run

    def keep(session: onnxruntime.InferenceSession, *arguments: Any) -> Any:  # noqa: ANN401 - as it is
        answers[len(session.get_inputs())] = run(session, *arguments)
        return answers[len(session.get_inputs())]

    subject = Subject(Role.GARMENT_DETECTOR, "tiny", cache / "repositories" / "tiny", SIZES)
    monkeypatch.setattr(onnxruntime.InferenceSession, "run", keep)
    with torch.no_grad():
        by_name = {one.name: one for one in subject.contenders(tmp_path, with_arena=False)}
        assert list(by_name)[:3] == [EAGER, PLAIN, FP32]
        want = by_name[EAGER].parts["whole"]()
        answers.clear()
        by_name[PLAIN].parts["whole"]()
    (got,) = answers.values()
    assert isinstance(want, tuple)
    # Near-ties in the choice of queries swap ranks; every answer for a query that they leave alone is the same.
    same = np.isclose(got[1][0], want[1][0].numpy(), atol=1e-4).all(-1)
    assert same.mean() > 0.8
    assert list(by_name[FP32].parts) == [Role.VOCABULARY_ENCODER.value, Role.GARMENT_DETECTOR.value]
    ours, plain = by_name[FP32].nodes, by_name[PLAIN].nodes
    assert ours is not None
    assert plain is not None
    assert ours < plain


def test_a_caption_has_so_many_tokens() -> None:
    for tokens in (5, 6, 7, 80, 256):
        ids = caption(tokens)
        assert ids.shape == (1, tokens)
        assert ids[0, 0] == 101
        assert ids[0, -1] == 102
        assert ids[0, -2] == 1012


def measured(name: str, *seconds: float) -> Measured:
    return Measured(Contender(name, {}, None, None), {"whole": list(seconds)})


def settings(**changes: object) -> Settings:
    told: dict[str, Any] = {
        "models": "random",
        "only": tuple(Role),
        "photo_hw": (800, 1066),
        "depth_hw": (518, 518),
        "tokens": 80,
        "crops": 8,
        "rounds": 3,
        "warm_up": False,
        "arena": False,
    }
    return Settings(**(told | changes))


FOUND = {
    Role.GARMENT_DETECTOR: [
        measured(EAGER, 20.0, 22.0, 21.0),
        measured(PLAIN, 12.0, 12.0, 12.0),
        measured(FP32, 8.0, 10.0, 10.0),
        measured(INT8, 5.0, 5.5, 21.0),
    ]
}


def test_promises_are_judged_round_by_round_at_their_own_size() -> None:
    targets = _targets(FOUND, settings(), is_full=True)
    assert [(target.got.split(" ")[0], target.is_met) for target in targets] == [
        ("2.20", True),
        ("4.00", True),
        ("1.20", False),
    ]
    assert _targets(FOUND, settings(), is_full=False) == []
    assert _targets(FOUND, settings(photo_hw=(400, 533)), is_full=True) == []


def test_what_is_slower_is_said() -> None:
    slower = {Role.IMAGE_EMBEDDER: [measured(PLAIN, 1.0), measured(FP32, 2.0), measured(EAGER, 4.0)]}
    assert _losses(slower) == ["image_embedder: this project, fp32 takes 2.00 times as long as plain export."]
    assert _losses(FOUND) == []
    (row, *_) = _table(slower).rows
    assert row[0] == "image_embedder: plain export"
    assert row[-1] is None  # against itself


def test_padding_to_more_sizes_adds_less() -> None:
    costs = list(padding_costs({"shortest_edge": 800, "longest_edge": 1333}).values())
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 0.5
    assert costs[-1] > 0


def test_batching_by_size_is_weighed(tmp_path: Path) -> None:
    words = ["--models", "tiny", "--photo-size", "160x128", "--batches", "2", "--photos", "2", "--tokens", "8"]
    done = CliRunner().invoke(photo_sizes.app, [*words, "--rounds", "1", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (document,) = read_documents(tmp_path).values()
    found = document["measured"]
    assert set(found["share_saved_by_batch"]) == {"1", "2"}
    assert found["share_saved_by_batch"]["1"]["median"] == 0
    assert found["padded_agreement"]["expected"] >= found["padded_agreement"]["found"]
    assert all(len(after) == 8 for after in found["resident_bytes_after_many_sizes"].values())
    assert json.loads((tmp_path / "photo-sizes-tiny.json").read_text()) == document
