"""Small networks of the same architectures behind the same interface: narrower, fewer levels, other windows and ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import CLIPTextModelWithProjection, GroundingDinoForObjectDetection

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import Role, engine_folder
from fashioncrop_export import depth_estimator, garment_detector, image_embedder, text_embedder, vocabulary_encoder
from fashioncrop_export.captions import token_ids
from fashioncrop_export.checkpoints import Checkpoint, Family, directory_checkpoint
from fashioncrop_export.garment_detector import detect_with_original, detector_case, image_token_count
from fashioncrop_export.graph_plan import Array, Arrays, Case, GraphPlan, Pin, Tolerance
from fashioncrop_export.originals import Originals, normalised_pixels, tokenizer_of
from fashioncrop_export.validation import session_with_pin
from small_checkpoints import save_clip, save_depth, save_detector

pytestmark = pytest.mark.export

WIDTH, QUERIES = 96, 50


def answers_of(plan: GraphPlan, case: Case) -> tuple[Arrays, Array | None]:
    """What the plan's module computes before it is traced, and what its top-k chose."""
    chosen: list[Array] = []
    topk = torch.topk

    def recorded(scores: torch.Tensor, k: int, dim: int = -1) -> tuple[torch.Tensor, torch.Tensor]:
        values, indices = topk(scores, int(k), dim=dim)
        chosen.append(indices.numpy())
        return values, indices

    feed = [torch.from_numpy(array) for array in case.feed.values()]
    with torch.inference_mode(), patch.object(torch, "topk", recorded):
        answer = plan.module.eval()(*feed)
    tensors = answer if isinstance(answer, tuple) else (answer,)
    names = dict(zip(plan.outputs, (tensor.numpy() for tensor in tensors), strict=True))
    return names, chosen[0] if chosen else None


def assert_as_the_original(plan: GraphPlan) -> None:
    """All the plan's own cases, which `export` compares the finished graph on."""
    for case in plan.cases:
        got, chosen = answers_of(plan, case)
        want = plan.reference(case, chosen)
        for name in plan.outputs:
            masked = plan.masked.get(name)
            magnitudes = np.abs(want[name] if masked is None else want[name][want[name] != masked])
            assert got[name].shape == want[name].shape, (case.name, name)
            difference = np.abs(got[name].astype(np.float64) - want[name]).max()
            assert difference <= 2e-5 * magnitudes.max(initial=0), (case.name, name)


def detector_in(folder: Path) -> Checkpoint:
    return directory_checkpoint(folder, Family.GROUNDING_DINO)


@pytest.fixture(scope="module")
def narrow(small_package: Path) -> Checkpoint:
    return detector_in(small_package / "checkpoints")


@pytest.fixture(scope="module")
def narrow_model(narrow: Checkpoint) -> GroundingDinoForObjectDetection:
    return Originals().load(narrow, GroundingDinoForObjectDetection)


def shipped_engine(package: Path, role: Role) -> Path:
    return package / "engines" / role / "model.onnx"


@pytest.mark.parametrize("size_hw", [(192, 256), (225, 161), (40, 400), (12, 12)], ids=str)
def test_a_narrow_detector_answers_as_the_original(
    small_package: Path, narrow: Checkpoint, narrow_model: GroundingDinoForObjectDetection, size_hw: tuple[int, int]
) -> None:
    case = detector_case(narrow_model, tokenizer_of(narrow), "", (1, *size_hw), ["a red dress. shoe. hat."])
    session = session_with_pin(
        shipped_engine(small_package, Role.GARMENT_DETECTOR), Pin("TopK", 1, Tolerance(relative=1e-4))
    )
    logits, boxes, chosen = session.run(None, dict(case.feed))
    queries = min(QUERIES, image_token_count(narrow_model.config, *size_hw))
    assert boxes.shape == (1, queries, 4)
    if queries < QUERIES:
        return  # the original's own top-k fails here
    pixels = normalised_pixels(narrow, case.feed["image"])
    want = detect_with_original(narrow_model, pixels, case.hidden["input_ids"], chosen)
    np.testing.assert_allclose(logits, want["logits"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(boxes, want["boxes_cxcywh"], rtol=0, atol=1e-5)


def test_narrow_text_features_end_in_zeros(
    small_package: Path, narrow: Checkpoint, narrow_model: GroundingDinoForObjectDetection
) -> None:
    ids = token_ids(tokenizer_of(narrow), ["red dress. shoe.", "a long coat."])
    session = onnxruntime.InferenceSession(str(shipped_engine(small_package, Role.VOCABULARY_ENCODER)))
    (features,) = session.run(["text_features"], {"input_ids": ids})
    assert features.shape == (*ids.shape, 256)
    assert (features[..., WIDTH:] == 0).all()
    projection: Any = narrow_model.model.text_projection
    taken: list[torch.Tensor] = []
    handle = projection.register_forward_hook(lambda _module, _inputs, output: taken.append(output))
    pixels = torch.zeros(2, 3, 160, 160)
    with torch.inference_mode():
        narrow_model(pixel_values=pixels, input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(ids != 0))
    handle.remove()
    np.testing.assert_allclose(features[..., :WIDTH], taken[0].numpy(), rtol=0, atol=1e-5)


def test_only_a_narrow_detector_pays_for_the_width(tiny_repository: Path, small_package: Path) -> None:
    def operators(path: Path) -> tuple[bool, bool]:
        """Whether text features are padded, and whether they are cut."""
        encoder = onnx.load(str(path / Role.VOCABULARY_ENCODER / "1" / "model.onnx"))
        detector = onnx.load(str(path / Role.GARMENT_DETECTOR / "1" / "model.onnx"))
        cut = [node.op_type for node in detector.graph.node if "text_features" in node.input]
        return any(node.op_type == "Pad" for node in encoder.graph.node), "Slice" in cut

    assert operators(tiny_repository) == (False, False)
    linked = small_package.parent / "linked"
    for role in (Role.VOCABULARY_ENCODER, Role.GARMENT_DETECTOR):
        folder = engine_folder(linked, role)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(shipped_engine(small_package, role).read_bytes())
    assert operators(linked) == (True, True)


DETECTORS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "wider, more heads": {"d_model": 128, "encoder_attention_heads": 8, "decoder_attention_heads": 8},
    "four levels": {"num_feature_levels": 4},
    "two points in the decoder, four in the encoder": {"encoder_n_points": 4, "decoder_n_points": 2},
    "window of 4": {"swin": {"window_size": 4}},
    "window of 7": {"swin": {"window_size": 7}},
    "window of 8, patches of 2": {"swin": {"window_size": 8, "patch_size": 2}},
    "three stages": {"swin": {"depths": [1, 2, 1], "num_heads": [1, 2, 4], "out_indices": [1, 2, 3]}},
    "two stages of four, one level more": {"swin": {"out_indices": [2, 3]}},
    "each layer its own box head": {"decoder_bbox_embed_share": False},
    "the first boxes share the head": {"two_stage_bbox_embed_share": True},
    "short texts": {"max_text_len": 20, "bert": {"max_position_embeddings": 24}},
    "few positions": {"bert": {"max_position_embeddings": 16}},
    "more queries than a small photo has tokens": {"num_queries": 1300},
}


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_of_other_shapes_answer_as_the_original(tmp_path: Path, name: str) -> None:
    save_detector(tmp_path / Family.GROUNDING_DINO, **DETECTORS[name])
    originals, checkpoint = Originals(), detector_in(tmp_path)
    assert_as_the_original(garment_detector.plan(checkpoint, originals))
    assert_as_the_original(vocabulary_encoder.plan(checkpoint, originals))


@pytest.mark.parametrize(
    ("changes", "longest"),
    [
        ({}, 256),
        ({"max_text_len": 20}, 20),
        ({"bert": {"max_position_embeddings": 24}}, 24),
        ({"max_text_len": 512, "bert": {"max_position_embeddings": 512}}, 256),
    ],
)
def test_captions_are_as_long_as_the_text_side_reads(tmp_path: Path, changes: dict[str, Any], longest: int) -> None:
    save_detector(tmp_path / Family.GROUNDING_DINO, **changes)
    plan = vocabulary_encoder.plan(detector_in(tmp_path), Originals())
    assert plan.preprocessing["max_tokens"] == longest
    assert max(case.feed["input_ids"].shape[1] for case in plan.cases) == longest


def test_box_heads_are_shared_or_not(tmp_path: Path) -> None:
    def heads(**changes: Any) -> list[Any]:  # noqa: ANN401 - of the configuration
        save_detector(tmp_path / Family.GROUNDING_DINO, **changes)
        model: Any = Originals().load(detector_in(tmp_path), GroundingDinoForObjectDetection)
        return [model.bbox_embed[0].layers[2].weight, model.bbox_embed[1].layers[2].weight]

    assert torch.equal(*heads())
    assert not torch.equal(*heads(decoder_bbox_embed_share=False))


def clip_in(folder: Path) -> Checkpoint:
    return directory_checkpoint(folder, Family.CLIP)


@pytest.mark.parametrize("patch", [16, 28, 32, 56])
def test_crops_are_cut_into_patches_of_any_size(tmp_path: Path, patch: int) -> None:
    save_clip(tmp_path / Family.CLIP, vision={"patch_size": patch})
    assert_as_the_original(image_embedder.plan(clip_in(tmp_path), Originals()))


@pytest.mark.parametrize("max_positions", [12, 32, 77])
def test_sentences_are_read_at_the_compact_tokenisers_end(tmp_path: Path, max_positions: int) -> None:
    save_clip(tmp_path / Family.CLIP, text={"max_position_embeddings": max_positions})
    checkpoint, originals = clip_in(tmp_path), Originals()
    plan = text_embedder.plan(checkpoint, originals)
    assert plan.preprocessing["max_tokens"] == max_positions
    assert_as_the_original(plan)
    end = tokenizer_of(checkpoint).token_to_id("<|endoftext|>")
    assert end is not None
    assert end < 1000
    # The vector is that of the end, wherever it is; were it read elsewhere, padding would not change where.
    start = end - 1
    ids = np.array([[start, 300, 301, end, end], [start, 300, 301, end, 7]])
    got, _ = answers_of(plan, Case("", {"input_ids": ids}))
    np.testing.assert_allclose(got["embedding"][0], got["embedding"][1], atol=1e-6)
    model: Any = originals.load(checkpoint, CLIPTextModelWithProjection)
    with torch.inference_mode():
        hidden = model.text_model(input_ids=torch.from_numpy(ids)).last_hidden_state[:, 3]
        want = functional.normalize(model.text_projection(hidden), dim=-1).numpy()
    np.testing.assert_allclose(got["embedding"], want, atol=1e-6)


END_FAULTS: dict[str, tuple[dict[str, int], str]] = {
    "not the tokeniser's": ({"eos_token_id": 49407}, r"expected an eos_token_id of \d+ in text_config, .* got 49407"),
    "legacy, but another id is larger": ({"eos_token_id": 2, "vocab_size": 2000}, r"expected 1999, got \d+"),
}


@pytest.mark.parametrize("fault", END_FAULTS)
def test_a_model_that_misses_the_end_of_its_texts_is_refused(tmp_path: Path, fault: str) -> None:
    changes, message = END_FAULTS[fault]
    save_clip(tmp_path / Family.CLIP, text=changes)
    if "vocab_size" in changes:
        path = tmp_path / Family.CLIP / "tokenizer.json"
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.add_tokens([f"more{index}" for index in range(2000 - tokenizer.get_vocab_size())])
        tokenizer.save(str(path))
    with pytest.raises(ModelFileError, match=message):
        text_embedder.plan(clip_in(tmp_path), Originals())


def test_the_legacy_end_is_the_largest_id(tmp_path: Path) -> None:
    save_clip(tmp_path / Family.CLIP, text={"eos_token_id": 2})
    assert_as_the_original(text_embedder.plan(clip_in(tmp_path), Originals()))


@pytest.mark.parametrize(
    "changes", [{}, {"patch_size": 16, "image_size": 64}, {"patch_size": 8, "image_size": 16}], ids=str
)
def test_depth_of_other_patches_is_the_originals(tmp_path: Path, changes: dict[str, Any]) -> None:
    save_depth(tmp_path / Family.DEPTH_ANYTHING, **changes)
    plan = depth_estimator.plan(directory_checkpoint(tmp_path, Family.DEPTH_ANYTHING), Originals())
    assert plan.preprocessing["multiple_of"] == changes.get("patch_size", 14)
    assert_as_the_original(plan)
