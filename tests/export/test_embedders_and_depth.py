"""The other three vision and text graphs, on inputs that they were not traced with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
    DepthAnythingForDepthEstimation,
    PreTrainedModel,
)

from fashioncrop.model_repository import Role
from fashioncrop_export import depth_estimator, image_embedder
from fashioncrop_export.checkpoints import Family, directory_checkpoint
from fashioncrop_export.graph_plan import noise_image
from fashioncrop_export.originals import Originals, normalised_pixels, with_eager_attention
from fashioncrop_export.text_embedder import TextEmbedder

pytestmark = pytest.mark.export

Engine = Callable[[Role], onnxruntime.InferenceSession]
START, END = 49406, 49407


@pytest.mark.parametrize("size_hw", [(126, 126), (14, 14), (28, 280), (252, 98), (518, 126)])
@pytest.mark.parametrize("batch", [1, 2])
def test_depth_has_the_photos_size_and_the_originals_values(
    engine: Engine, checkpoints: Path, size_hw: tuple[int, int], batch: int
) -> None:
    checkpoint = directory_checkpoint(checkpoints, Family.DEPTH_ANYTHING)
    image = noise_image((batch, *size_hw), seed=1)
    (depth,) = engine(Role.DEPTH_ESTIMATOR).run(None, {"image": image})
    assert depth.shape == (batch, *size_hw)
    model = Originals().load(checkpoint, DepthAnythingForDepthEstimation)
    with torch.inference_mode():
        want = model(pixel_values=normalised_pixels(checkpoint, image)).predicted_depth.numpy()
    np.testing.assert_allclose(depth, want, rtol=0, atol=5e-5 * np.abs(want).max())
    # A dead last ReLU would make every comparison pass.
    assert want.std() > 0.01 * want.mean() > 0


@pytest.mark.parametrize("crops", [1, 16])
def test_image_embeddings_are_the_originals_at_length_one(engine: Engine, checkpoints: Path, crops: int) -> None:
    checkpoint = directory_checkpoint(checkpoints, Family.CLIP)
    image = noise_image((crops, 224, 224), seed=4)
    (embedding,) = engine(Role.IMAGE_EMBEDDER).run(None, {"image": image})
    model = Originals().load(checkpoint, CLIPVisionModelWithProjection)
    with torch.inference_mode():
        embeds = model(pixel_values=normalised_pixels(checkpoint, image)).image_embeds
    want = functional.normalize(embeds, dim=-1).numpy()
    assert embedding.shape == (crops, 512)
    np.testing.assert_allclose(embedding, want, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=-1), 1, atol=1e-6)


@pytest.mark.parametrize("tokens", [2, 3, 40, 77])
def test_text_embeddings_do_not_see_the_padding(engine: Engine, tokens: int) -> None:
    generator = np.random.default_rng(tokens)
    words = generator.integers(0, 500, (1, tokens - 2))
    alone = np.concatenate([[[START]], words, [[END]]], axis=1)
    padded = np.concatenate([alone, np.full((1, 77 - tokens), END)], axis=1)
    session = engine(Role.TEXT_EMBEDDER)
    (embedding,) = session.run(None, {"input_ids": alone})
    (with_padding,) = session.run(None, {"input_ids": padded})
    np.testing.assert_allclose(embedding, with_padding, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=-1), 1, atol=1e-6)


@pytest.mark.parametrize("end_id", [2, END])
def test_text_is_read_at_its_first_end_by_either_convention(end_id: int) -> None:
    torch.manual_seed(0)
    # A dictionary, because the annotations of transformers' configurations are not complete.
    options: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": 49408,
        "projection_dim": 512,
        "eos_token_id": end_id,
    }
    model: Any = CLIPTextModelWithProjection(CLIPTextConfig(**options))
    model.eval()
    ids = torch.tensor([[START, 7, 9, END, END, END], [START, 7, 2, 11, 300, END], [START, END, END, 2, 5, END]])
    with torch.inference_mode():
        want = functional.normalize(model(input_ids=ids).text_embeds, dim=-1)
        got = TextEmbedder(with_eager_attention(model))(ids)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("role", "family", "model_class"),
    [
        (image_embedder, Family.CLIP, CLIPVisionModelWithProjection),
        (depth_estimator, Family.DEPTH_ANYTHING, DepthAnythingForDepthEstimation),
    ],
)
def test_the_reference_keeps_its_attention(
    checkpoints: Path, role: ModuleType, family: Family, model_class: type[PreTrainedModel]
) -> None:
    originals, checkpoint = Originals(), directory_checkpoint(checkpoints, family)
    plan = role.plan(checkpoint, originals)
    model: Any = originals.load(checkpoint, model_class)
    exported: Any = plan.module.model if hasattr(plan.module, "model") else plan.module.backbone
    original: Any = model if hasattr(plan.module, "model") else model.backbone
    assert exported.config._attn_implementation == "eager"
    assert original.config._attn_implementation == "sdpa"
