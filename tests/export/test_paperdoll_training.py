"""What trains the small models: prompts that fit, losses that mean what they say, a loop that can be stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from categories import DEFAULT_VOCABULARY as SERVED_VOCABULARY
from categories import category_of
from fashioncrop.errors import ModelFileError
from fashioncrop_paperdoll.palette import COLOURS
from fashioncrop_paperdoll.scene import Garment, draw_scene
from fashioncrop_paperdoll.training import shipping
from fashioncrop_paperdoll.training.average_precision import average_precision
from fashioncrop_paperdoll.training.captions import Captions
from fashioncrop_paperdoll.training.depth_task import DepthTask, order_loss
from fashioncrop_paperdoll.training.detector_graph import Answer, TrainedDetector
from fashioncrop_paperdoll.training.detector_loss import (
    Matches,
    Targets,
    answer_loss,
    corners,
    iou_and_giou,
    match_one_to_one,
    match_tokens,
    moved_boxes,
)
from fashioncrop_paperdoll.training.detector_model import new_detector
from fashioncrop_paperdoll.training.loop import Workers, rate_share, train
from fashioncrop_paperdoll.training.pool import Sample
from fashioncrop_paperdoll.training.prompts import DEFAULT_VOCABULARY, SYNONYMS, draw_prompts
from fashioncrop_paperdoll.training.recipes import Model, Recipe
from fashioncrop_paperdoll.training.steering import finds_nothing_else
from fashioncrop_paperdoll.training.views import draw_view

seeds = st.integers(0, 2**32)
garments = st.lists(
    st.builds(
        Garment,
        noun=st.sampled_from(sorted(SYNONYMS)),
        colour=st.sampled_from(sorted(COLOURS)),
        pattern=st.just("plain"),
        box_xyxy=st.just((0.0, 0.0, 9.0, 9.0)),
        visible_pixels=st.just(81),
        person=st.just(0),
    ),
    max_size=9,
)


def test_the_vocabulary_is_the_served_one_and_every_synonym_means_its_noun() -> None:
    assert DEFAULT_VOCABULARY == SERVED_VOCABULARY
    for noun, synonyms in SYNONYMS.items():
        assert {category_of(word) for word in synonyms} == {category_of(noun)} != {None}


@given(seeds, garments)
def test_a_prompt_asks_for_each_garment_by_a_phrase_that_fits_it(seed: int, worn: list[Garment]) -> None:
    (prompt,) = draw_prompts(np.random.default_rng(seed), [worn])
    assert len(set(prompt.phrases)) == len(prompt.phrases) > 0
    assert len(prompt.labels) == len(worn)
    for garment, label in zip(worn, prompt.labels, strict=True):
        fitting = [
            index
            for index, phrase in enumerate(prompt.phrases)
            if phrase in (garment.noun, *SYNONYMS[garment.noun], f"{garment.colour} {garment.noun}")
        ]
        assert fitting == ([label] if label >= 0 else [])


def test_captions_are_laid_out_as_the_pipeline_lays_them_out() -> None:
    ids, spans = Captions().batch([["t-shirt", "a red xylophone"], ["hat"]])
    assert ids[0, 0] == 101
    assert [ids[0, stop] for _, stop in spans[0]] == [1012, 1012]
    assert ids[0, spans[0][1][1] + 1] == 102
    assert not ids[1, 4:].any(), "shorter captions end in zeros"
    assert len(set(ids[0, spans[0][0][0] : spans[0][0][1]])) == 3, "t, - and shirt"


boxes = st.tuples(*[st.floats(0.05, 0.95)] * 2, *[st.floats(0.02, 0.6)] * 2)


@given(boxes, boxes)
def test_generalised_iou_is_that_of_its_definition(one: tuple[float, ...], other: tuple[float, ...]) -> None:
    tensors = corners(torch.tensor([one, other], dtype=torch.float64))
    iou, giou = iou_and_giou(tensors[0], tensors[1])
    (a0, b0, a1, b1), (c0, d0, c1, d1) = tensors.tolist()
    shared = max(min(a1, c1) - max(a0, c0), 0) * max(min(b1, d1) - max(b0, d0), 0)
    union = (a1 - a0) * (b1 - b0) + (c1 - c0) * (d1 - d0) - shared
    hull = (max(a1, c1) - min(a0, c0)) * (max(b1, d1) - min(b0, d0))
    assert float(iou) == pytest.approx(shared / union, abs=1e-3)
    assert float(giou) == pytest.approx(shared / union - (hull - union) / hull, abs=1e-3)


def _two_targets() -> Targets:
    true = torch.tensor([[[0.25, 0.25, 0.2, 0.2], [0.7, 0.6, 0.3, 0.5]], [[0.5, 0.5, 0.4, 0.4], [0.5, 0.5, 0.5, 0.5]]])
    tokens = torch.zeros(2, 2, 5)
    tokens[0, 0, 1], tokens[0, 1, 3], tokens[1, 0, 1:3] = 1, 1, 1
    return Targets(true, torch.tensor([[True, True], [True, False]]), tokens)


def _answer(targets: Targets, order: list[int], confidence: float) -> Answer:
    logits = torch.full((2, 3, 5), -confidence)
    answered = torch.full((2, 3, 4), 0.9)
    for slot, place in enumerate(order):
        answered[:, slot] = targets.boxes_cxcywh[:, place]
        logits[:, slot] = torch.where(targets.tokens[:, place] > 0, confidence, -confidence)
    return Answer(logits, answered)


def test_each_garment_is_matched_to_the_answer_that_found_it() -> None:
    targets = _two_targets()
    matches = match_one_to_one(_answer(targets, [1, 0], 4.0), targets)
    found = sorted(zip(matches.batch.tolist(), matches.answer.tolist(), matches.garment.tolist(), strict=True))
    assert found == [(0, 0, 1), (0, 1, 0), (1, 1, 0)]


def test_a_right_answer_costs_little_and_each_way_to_be_wrong_more() -> None:
    targets = _two_targets()
    mask = torch.ones(2, 5, dtype=torch.bool)

    def cost(answer: Answer) -> tuple[float, float]:
        scores, box = answer_loss(answer, targets, match_one_to_one(answer, targets), mask)
        return float(scores), float(box)

    right = cost(_answer(targets, [0, 1], 9.0))
    assert right[0] < 0.05
    assert right[1] < 1e-4
    unsure = _answer(targets, [0, 1], 0.0)
    assert cost(unsure)[0] > 10 * right[0]
    moved = _answer(targets, [0, 1], 9.0)
    assert cost(replace_boxes(moved, moved.boxes_cxcywh * 0.9))[1] > 0.1
    extra = _answer(targets, [0, 1], 9.0)
    extra.logits[0, 2, 4] = 9.0
    assert cost(extra)[0] > 1, "a third garment that is not there"


def replace_boxes(answer: Answer, boxes_cxcywh: Tensor) -> Answer:
    return Answer(answer.logits, boxes_cxcywh)


def test_masked_tokens_and_unjudged_answers_cost_nothing() -> None:
    targets = _two_targets()
    answer = _answer(targets, [0, 1], 9.0)
    matches = match_one_to_one(answer, targets)
    mask = torch.ones(2, 5, dtype=torch.bool)
    clean, _ = answer_loss(answer, targets, matches, mask)
    answer.logits[0, 2, 4] = 9.0
    mask[0, 4] = False
    assert float(answer_loss(answer, targets, matches, mask)[0]) == pytest.approx(float(clean))
    counts = torch.tensor([[True, True, False]] * 2)
    judged, _ = answer_loss(answer, targets, matches, torch.ones(2, 5, dtype=torch.bool), counts=counts)
    assert float(judged) == pytest.approx(float(clean), rel=0.2)


def test_only_image_tokens_inside_a_garment_stand_for_it() -> None:
    targets = _two_targets()
    grid = (torch.arange(8) + 0.5) / 8
    centres = torch.stack([grid[None].expand(8, 8), grid[:, None].expand(8, 8)], -1).reshape(-1, 2)
    proposals = Answer(
        torch.zeros(2, 64, 5), torch.cat([centres, torch.full((64, 2), 0.1)], -1)[None].expand(2, -1, -1)
    )
    matches = match_tokens(proposals, targets, centres)
    assert len(matches.batch)
    for sample, token, garment in zip(matches.batch, matches.answer, matches.garment, strict=True):
        x0, y0, x1, y1 = corners(targets.boxes_cxcywh)[sample, garment].tolist()
        x, y = centres[token].tolist()
        assert targets.exists[sample, garment]
        assert x0 < x < x1
        assert y0 < y < y1


@given(st.integers(0, 2**31))
def test_moved_boxes_stay_boxes_and_near_ones_overlap_more_than_far_ones(seed: int) -> None:
    targets = _two_targets()
    moved, matches, judged = moved_boxes(targets, 9, torch.Generator().manual_seed(seed))
    edges = corners(moved)
    assert float(edges[judged].min()) >= -1e-5
    assert float(edges[judged].max()) <= 1.00001
    assert float((edges[..., 2:] - edges[..., :2])[judged].min()) > 0.01
    assert judged.sum() == 2 * targets.exists.sum() == 2 * len(matches.batch)
    near, _ = iou_and_giou(edges[:, :2], corners(targets.boxes_cxcywh))
    assert float(near[targets.exists].min()) > 0.2


def test_the_trained_forward_is_transformers_own() -> None:
    torch.manual_seed(0)
    model: Any = new_detector()
    model.eval()
    ids, _ = Captions().batch([["red dress", "hat"], ["shoe", "t-shirt"]])
    input_ids = torch.from_numpy(ids)
    pixels = torch.randn(2, 3, 128, 96)
    with torch.inference_mode():
        own = TrainedDetector(model, 2)(pixels, input_ids, [torch.full((2, 60, 4), 0.3)], 1)
        original = model(pixel_values=pixels, input_ids=input_ids, attention_mask=(input_ids != 0).long())
    served = own.layers[-1][0]
    assert len(own.layers) == 3
    assert {len(groups) for groups in own.layers} == {3}
    torch.testing.assert_close(served.boxes_cxcywh, original.pred_boxes, rtol=0, atol=2e-5)
    kept = (input_ids != 0)[:, None].expand_as(served.logits)
    torch.testing.assert_close(served.logits[kept], original.logits[..., : ids.shape[1]][kept], rtol=1e-4, atol=1e-4)


def test_average_precision_knows_a_perfect_a_shifted_and_a_mistaken_detector() -> None:
    worn = [
        Garment("hat", "red", "plain", (10.0, 10.0, 40.0, 30.0), 600, 0),
        Garment("bag", "red", "plain", (50.0, 60.0, 90.0, 90.0), 1200, 0),
    ]
    true = np.asarray([garment.box_xyxy for garment in worn], np.float32) / np.asarray([100, 100] * 2, np.float32)
    scores, labels = np.asarray([0.9, 0.8], np.float32), np.asarray([0, 1])
    perfect = average_precision([(true, scores, labels)], [worn], ("hat", "bag"), (100, 100))
    assert perfect == pytest.approx({"ap": 1.0, "ap50": 1.0, "ap50 hat": 1.0, "ap50 bag": 1.0})
    shifted = average_precision([(true + 0.05, scores, labels)], [worn], ("hat", "bag"), (100, 100))
    assert 0 < shifted["ap"] < shifted["ap50"]
    mistaken = average_precision([(true, scores, labels[::-1])], [worn], ("hat", "bag"), (100, 100))
    assert mistaken["ap50"] == 0


@settings(deadline=None, max_examples=25)
@given(seeds)
def test_what_is_cut_and_mirrored_keeps_its_garments_under_their_boxes(seed: int) -> None:
    scene = draw_scene(seed % 1000, 96, 128)
    sample = Sample(scene.image, scene.labels, np.zeros((128, 96), np.uint8), scene.garments)
    view = draw_view(np.random.default_rng(seed), sample, (128, 96))
    assert view.image.shape == (128, 96, 3)
    for box, index in zip(view.boxes_cxcywh, view.indices, strict=True):
        rows, columns = np.nonzero(view.labels == index + 1)
        x0, x1 = (box[0] - box[2] / 2) * 96, (box[0] + box[2] / 2) * 96
        y0, y1 = (box[1] - box[3] / 2) * 128, (box[1] + box[3] / 2) * 128
        assert columns.min() + 0.5 == pytest.approx(x0, abs=3)
        assert columns.max() + 0.5 == pytest.approx(x1, abs=3)
        assert rows.min() + 0.5 == pytest.approx(y0, abs=3)
        assert rows.max() + 0.5 == pytest.approx(y1, abs=3)


class _OneScene:
    """A pool of one scene, seen again and again."""

    def __init__(self) -> None:
        scene = draw_scene(1_000_001, 96, 128)
        depth = np.round(scene.depth * 255).astype(np.uint8)
        self._sample = Sample(scene.image, scene.labels, depth, scene.garments)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return self._sample


def test_garments_in_the_wrong_order_cost_what_is_missing_and_others_nothing() -> None:
    """Three garments of 30 pixels at 0.2, 0.25 and 0.9 of the depth, and one of 3 pixels that nobody sees."""
    labels = torch.tensor([0] * 7 + [1] * 30 + [2] * 30 + [3] * 30 + [4] * 3).reshape(1, 10, 10)
    true = torch.tensor([0.0, 0.2, 0.25, 0.9, 0.5])[labels]
    assert order_loss(true, true, labels) == 0
    assert order_loss(true * 2, true, labels) == 0, "farther apart is not wrong"
    swapped = torch.tensor([0.0, 0.25, 0.2, 0.9, 9.0])[labels].requires_grad_()
    cost = order_loss(swapped, true, labels)
    assert cost.item() == pytest.approx(0.1 / 3), "0.05 the wrong way round instead of 0.05: one pair of three"
    (slope,) = torch.autograd.grad(cost, swapped)
    assert (slope[labels == 1] > 0).all(), "must go back"
    assert (slope[labels == 2] < 0).all(), "must come nearer"
    assert (slope[(labels == 0) | (labels == 3) | (labels == 4)] == 0).all()
    flat = torch.zeros_like(true)
    assert order_loss(flat, true, labels).item() == pytest.approx((0.05 + 0.1 + 0.1) / 3), "no more than 0.1 is missed"
    assert order_loss(true, true, torch.zeros_like(labels)) == 0


def test_a_depth_estimator_that_answers_nothing_anywhere_still_learns() -> None:
    pool: Any = _OneScene()
    task = DepthTask(pool, pool, batch=2)
    model: Any = task.modules["model"]
    with torch.no_grad():
        model.head.conv3.bias.fill_(-5.0)
    loss, _ = task.loss(np.random.default_rng(0), 0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(model.head.conv3.bias.grad.abs()) > 0.1


class _Line:
    """Learns to answer 3 x."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.modules = nn.ModuleDict({"model": nn.Linear(1, 1)})

    def loss(self, rng: np.random.Generator, step: int) -> tuple[Tensor, dict[str, float]]:
        del step
        x = torch.from_numpy(rng.normal(size=(16, 1)).astype(np.float32))
        return (self.modules["model"](x) - 3 * x).square().mean(), {"part": 1.0}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {"slope": float(next(model.parameters()))}

    def save(self, model: nn.Module, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), folder / "line.pt")


_RECIPE = Recipe(steps=600, rate=0.05, evaluate_steps=100, report_steps=100, average=0.9, half=False, weight_decay=0.0)


def test_an_interrupted_training_ends_like_one_that_was_not(tmp_path: Path) -> None:
    train(_Line(), _RECIPE, tmp_path / "whole", Workers())
    whole = torch.load(tmp_path / "whole" / "checkpoint" / "line.pt")
    assert float(whole["weight"]) == pytest.approx(3, abs=0.05)

    class Stops(_Line):
        def loss(self, rng: np.random.Generator, step: int) -> tuple[Tensor, dict[str, float]]:
            if step == 350:
                raise KeyboardInterrupt
            return super().loss(rng, step)

    with pytest.raises(KeyboardInterrupt):
        train(Stops(), _RECIPE, tmp_path / "parts", Workers())
    assert not (tmp_path / "parts" / "checkpoint").exists()
    stopped = torch.load(tmp_path / "parts" / "state.pt")
    torch.save({**stopped, "spent": {"seconds": 1000.0, "cpu_seconds": 700.0}}, tmp_path / "parts" / "state.pt")
    train(_Line(), _RECIPE, tmp_path / "parts", Workers())
    parts = torch.load(tmp_path / "parts" / "checkpoint" / "line.pt")
    assert torch.equal(whole["weight"], parts["weight"])
    assert torch.equal(whole["bias"], parts["bias"])
    log = [json.loads(line) for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log if "slope" in entry] == [100, 200, 300, 400, 500, 600]
    assert log[-1]["seconds"] >= 1000, "what the first part took counts too"
    assert log[-1]["cpu_seconds"] >= 700


def test_the_rate_rises_stays_and_falls() -> None:
    recipe = Recipe(steps=1000, decay_share=0.4)
    assert rate_share(0, recipe) < 0.01
    assert rate_share(300, recipe) == rate_share(599, recipe) == pytest.approx(1)
    assert rate_share(800, recipe) == pytest.approx(0.51, abs=0.01)
    assert rate_share(999, recipe) < 0.03
    tail = Recipe(steps=1000, tail_steps=100, decay_share=0.4)
    assert [rate_share(step, tail) for step in range(1000)] == [rate_share(step, recipe) for step in range(1000)]
    assert rate_share(1000, tail) == pytest.approx(0.1)
    assert rate_share(1099, tail) < 0.001


@pytest.mark.parametrize(("focused", "chance"), [(True, 1 / 21), (False, 0.52)])
def test_a_score_of_the_default_threshold_means(*, focused: bool, chance: float) -> None:
    """The score of least loss of an answer that is right by `chance` is 0.35."""
    box = torch.tensor([[[0.5, 0.5, 0.2, 0.2]]])
    targets = Targets(box, torch.ones(1, 1, dtype=torch.bool), torch.ones(1, 1, 1))
    none = torch.zeros(0, dtype=torch.long)
    right, wrong = Matches(*(torch.zeros(1, dtype=torch.long),) * 3), Matches(none, none, none)
    logit = torch.logit(torch.tensor(0.35)).reshape(1, 1, 1).requires_grad_()
    mask = torch.ones(1, 1, dtype=torch.bool)
    losses = [answer_loss(Answer(logit, box), targets, matches, mask, focused=focused)[0] for matches in (right, wrong)]
    (slope,) = torch.autograd.grad(chance * losses[0] + (1 - chance) * losses[1], logit)
    assert abs(float(slope)) < 0.02


def test_a_find_on_what_nobody_asked_for_is_seen() -> None:
    skirt, bag = (
        Garment(noun, "red", "plain", box, visible_pixels=2500, person=0)
        for noun, box in (("skirt", (0, 0, 50, 50)), ("bag", (60, 60, 100, 100)))
    )
    on_skirt, on_bag, beside = (0, 0, 0.5, 0.5), (0.6, 0.6, 1, 1), (0.5, 0, 0.9, 0.4)

    def clean(boxes: list[tuple[float, ...]], score: float, asked: tuple[str, ...]) -> bool:
        shares = np.asarray(boxes, np.float32).reshape(-1, 4)
        scores, labels = np.full(len(boxes), score, np.float32), np.zeros(len(boxes), np.int64)
        return finds_nothing_else((shares, scores, labels), [skirt, bag], asked, (100, 100))

    assert clean([on_skirt, on_bag], 0.9, ("skirt", "bag"))
    assert not clean([on_skirt, on_bag], 0.9, ("skirt", "coat"))
    assert clean([on_skirt, on_bag], 0.3, ("skirt", "coat"))
    assert clean([on_skirt, beside], 0.9, ("skirt", "coat"))
    assert not clean([on_skirt], 0.9, ("hat", "coat"))
    assert clean([], 0.9, ("hat", "coat"))


def _trained(folder: Path, judged: list[dict[str, float]]) -> None:
    checkpoint = folder / "depth" / "checkpoint"
    checkpoint.mkdir(parents=True)
    (checkpoint / "config.json").write_text("{}")
    lines = [json.dumps({"step": 50, "loss": 1.0}), *map(json.dumps, judged)]
    (folder / "depth" / "log.jsonl").write_text("\n".join(lines) + "\n")


def test_what_is_shipped_comes_with_its_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "package_folder", lambda: tmp_path / "package")
    monkeypatch.setattr(shipping, "refresh", list)
    stale = tmp_path / "package" / "checkpoints" / "depth-anything" / "old.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    judged = [{"step": step, "correlation": 0.5, "order": step / 2000} for step in (500, 1000, 1000)]
    _trained(tmp_path / "run", judged)
    (target,) = shipping.ship(tmp_path / "run", (Model.DEPTH,))
    assert {path.name for path in target.iterdir()} == {"config.json", "training.jsonl", "training.svg"}
    kept = [json.loads(line) for line in (target / "training.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in kept] == [500, 1000]
    curves = (target / "training.svg").read_bytes()
    assert b"order" in curves
    shipping.ship(tmp_path / "run", (Model.DEPTH,))
    assert (target / "training.svg").read_bytes() == curves


def test_a_training_that_has_not_ended_is_not_shipped(tmp_path: Path) -> None:
    _trained(tmp_path, [])
    with pytest.raises(ModelFileError, match="train detector"):
        shipping.ship(tmp_path, (Model.DEPTH, Model.DETECTOR))
