"""The detector's graph computes what transformers computes, whatever the photo's size, batch and text."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer
from transformers import GroundingDinoForObjectDetection
from transformers.models.grounding_dino.modeling_grounding_dino import MultiScaleDeformableAttention

from fashioncrop.model_repository import Role, engine_folder
from fashioncrop_export import garment_detector
from fashioncrop_export.checkpoints import Checkpoint
from fashioncrop_export.garment_detector import detect_with_original, detector_case
from fashioncrop_export.graph_plan import OWN_SCORES, PINNED_SCORES, Array, Case, Pin, Tolerance, noise_image
from fashioncrop_export.grounding_dino import MASKED_LOGIT
from fashioncrop_export.onnx_graph import FORBIDDEN_OPS
from fashioncrop_export.originals import Originals, normalised_pixels
from fashioncrop_export.swin import swin_feature_maps
from fashioncrop_export.validation import session_with_pin

pytestmark = pytest.mark.export

Answers = tuple[Array, Array, Array]
Detect = Callable[[Case], Answers]
QUERIES = 100


@pytest.fixture(scope="module")
def detect(tiny_repository: Path) -> Detect:
    """Logits, boxes and the image tokens that the graph itself chose."""
    path = engine_folder(tiny_repository, Role.GARMENT_DETECTOR) / "model.onnx"
    session = session_with_pin(path, Pin("TopK", 1, Tolerance(relative=1e-4)))

    def run(case: Case) -> Answers:
        logits, boxes, chosen = session.run(None, dict(case.feed))
        return logits, boxes, chosen

    return run


def image_tokens(height: int, width: int) -> int:
    """Tokens of the four levels: strides 8, 16, 32 and 64, each side rounded up."""
    rows, columns = -(-height // 4), -(-width // 4)
    total = 0
    for _ in range(4):
        rows, columns = -(-rows // 2), -(-columns // 2)
        total += rows * columns
    return total


def with_queries(model: GroundingDinoForObjectDetection, queries: int) -> GroundingDinoForObjectDetection:
    """The original cut to fewer queries: its own top-k fails where a photo has fewer tokens than queries."""
    cut = copy.deepcopy(model)
    cut.config.num_queries = queries
    embeddings: Any = cut.model.query_position_embeddings
    embeddings.weight = torch.nn.Parameter(embeddings.weight[:queries])
    return cut


def largest_share(got: Array, want: Array, masked: float | None = None) -> float:
    """Largest difference as a share of the largest magnitude."""
    magnitudes = np.abs(want if masked is None else want[want != masked])
    return float(np.abs(got - want).max() / magnitudes.max())


SIZES_HW = [
    *((224, 224), (224, 373), (373, 224), (225, 301), (65, 65), (97, 400), (131, 90), (256, 320), (320, 65)),
    *(
        (40, 400),
        (400, 40),
        (33, 500),
        (64, 64),
        (28, 700),
        (199, 201),
        (4, 500),
        (12, 12),
        (1, 1),
        (8, 300),
        (57, 113),
    ),
]


@pytest.mark.parametrize("size_hw", SIZES_HW, ids=lambda size: f"{size[0]}x{size[1]}")
def test_any_size_gives_what_the_original_gives(
    detect: Detect,
    grounding_dino: GroundingDinoForObjectDetection,
    grounding_dino_checkpoint: Checkpoint,
    wordpiece: Tokenizer,
    size_hw: tuple[int, int],
) -> None:
    case = detector_case(grounding_dino, wordpiece, "", (1, *size_hw), ["a red dress. shoe. hair accessory."])
    logits, boxes, chosen = detect(case)
    queries = min(QUERIES, image_tokens(*size_hw))
    assert logits.shape == (1, queries, case.hidden["input_ids"].shape[1])
    assert boxes.shape == (1, queries, 4)
    model = grounding_dino if queries == QUERIES else with_queries(grounding_dino, queries)
    pixels = normalised_pixels(grounding_dino_checkpoint, case.feed["image"])
    want = detect_with_original(model, pixels, case.hidden["input_ids"], chosen)
    assert largest_share(logits, want["logits"]) < 2e-5
    assert largest_share(boxes, want["boxes_cxcywh"]) < 2e-5
    # And the graph's own choice is as good as the original's.
    assert largest_share(want[PINNED_SCORES], want[OWN_SCORES]) < 2e-5


def test_a_thin_photo_takes_every_token_it_has(
    detect: Detect, grounding_dino: GroundingDinoForObjectDetection, wordpiece: Tokenizer
) -> None:
    case = detector_case(grounding_dino, wordpiece, "", (1, 8, 300), ["tie."])
    _, _, chosen = detect(case)
    assert image_tokens(8, 300) < QUERIES
    assert sorted(chosen[0]) == list(range(image_tokens(8, 300)))


def test_a_photo_in_a_batch_is_answered_as_alone(
    detect: Detect, grounding_dino: GroundingDinoForObjectDetection, wordpiece: Tokenizer
) -> None:
    captions = ["hat. scarf. watch.", "blue jeans."]
    both = detector_case(grounding_dino, wordpiece, "", (2, 224, 256), captions)
    logits, boxes, chosen = detect(both)
    for index in range(2):
        alone = Case("", {name: array[index : index + 1] for name, array in both.feed.items()})
        alone_logits, alone_boxes, alone_chosen = detect(alone)
        assert set(alone_chosen[0]) == set(chosen[index])
        # Near-ties may swap ranks, and rank decides which learned query a token gets.
        same = alone_chosen[0] == chosen[index]
        assert same.mean() > 0.9
        if same.all():
            assert largest_share(logits[index], alone_logits[0], MASKED_LOGIT) < 2e-5
            assert largest_share(boxes[index], alone_boxes[0]) < 2e-5
        else:
            assert np.median(np.abs(boxes[index] - alone_boxes[0])[same]) < 1e-3


def test_what_pads_the_text_is_masked_and_changes_nothing(
    detect: Detect, grounding_dino: GroundingDinoForObjectDetection, wordpiece: Tokenizer
) -> None:
    photos = (2, 160, 224)
    padded = detector_case(grounding_dino, wordpiece, "", photos, ["skirt.", "a person in a long red coat. umbrella."])
    logits, _, _ = detect(padded)
    is_padding = ~padded.feed["text_mask"]
    assert is_padding[0].any()
    assert not is_padding[1].any()
    assert (logits[0][:, is_padding[0]] == MASKED_LOGIT).all()
    assert np.isfinite(logits).all()
    assert (logits[0][:, ~is_padding[0]] > MASKED_LOGIT / 2).all()


def test_bytes_are_normalised_as_the_image_processor_does(
    grounding_dino_checkpoint: Checkpoint,
) -> None:
    plan = garment_detector.plan(grounding_dino_checkpoint, Originals())
    image = noise_image((1, 40, 50), seed=3)
    normalisation: Any = plan.module.normalisation
    want = normalised_pixels(grounding_dino_checkpoint, image)
    torch.testing.assert_close(normalisation(torch.from_numpy(image)), want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size_hw", [(224, 224), (65, 130), (27, 40), (113, 57), (300, 28)])
@pytest.mark.parametrize("batch", [1, 2])
def test_swin_alone_gives_the_feature_maps_of_the_original(
    grounding_dino: GroundingDinoForObjectDetection, size_hw: tuple[int, int], batch: int
) -> None:
    backbone: Any = grounding_dino.model.backbone.conv_encoder.model
    pixels = torch.randn(batch, 3, *size_hw, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        want = backbone(pixels).feature_maps
        got = swin_feature_maps(backbone, pixels)
    assert len(got) == len(want) == 3
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-5)


def test_the_graph_has_no_operator_that_servers_trip_over(tiny_repository: Path) -> None:
    model = onnx.load(str(engine_folder(tiny_repository, Role.GARMENT_DETECTOR) / "model.onnx"))
    operators = {node.op_type for node in model.graph.node}
    assert not operators & FORBIDDEN_OPS
    # And what the rewrites are for is there: one operator each.
    assert {"LayerNormalization", "Gelu", "GridSample", "TopK"} <= operators


def test_the_reference_stays_as_transformers_made_it(grounding_dino_checkpoint: Checkpoint) -> None:
    forward = MultiScaleDeformableAttention.forward
    originals = Originals()
    plan = garment_detector.plan(grounding_dino_checkpoint, originals)
    model = originals.load(grounding_dino_checkpoint, GroundingDinoForObjectDetection)
    assert MultiScaleDeformableAttention.forward is forward
    assert forward.__module__.startswith("transformers.")
    text_backbone: Any = model.model.text_backbone
    assert text_backbone.config._attn_implementation == "sdpa"
    assert torch.topk.__module__ != plan.reference.__module__


def test_the_pin_is_taken_off_again(
    grounding_dino: GroundingDinoForObjectDetection, grounding_dino_checkpoint: Checkpoint, wordpiece: Tokenizer
) -> None:
    topk = torch.topk
    case = detector_case(grounding_dino, wordpiece, "", (1, 224, 224), ["vest."])
    pixels = normalised_pixels(grounding_dino_checkpoint, case.feed["image"])
    first = np.arange(QUERIES)[None]
    pinned = detect_with_original(grounding_dino, pixels, case.hidden["input_ids"], first)
    assert torch.topk is topk
    free = detect_with_original(grounding_dino, pixels, case.hidden["input_ids"], None)
    assert largest_share(pinned["boxes_cxcywh"], free["boxes_cxcywh"]) > 0.1


def test_sessions_accept_every_size_one_after_the_other(engine: Callable[[Role], onnxruntime.InferenceSession]) -> None:
    session = engine(Role.GARMENT_DETECTOR)
    shapes = {tensor.name: tensor.shape for tensor in (*session.get_inputs(), *session.get_outputs())}
    assert shapes["image"] == ["batch", "height", "width", 3]
    assert shapes["logits"] == ["batch", "queries", "tokens"]
    assert shapes["boxes_cxcywh"] == ["batch", "queries", 4]
