"""Which tokens see each other is decided exactly as transformers decides it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.grounding_dino.modeling_grounding_dino import (
    SPECIAL_TOKENS,
    generate_masks_with_special_tokens_and_transfer_map,
)

from fashioncrop.model_repository import Role
from fashioncrop_export.text_masks import phrase_masks

pytestmark = pytest.mark.export

DELIMITERS = [101, 102, 1012, 1029]
ids = st.sampled_from([*DELIMITERS, 0, 2000, 2001])
captions = st.integers(1, 40).flatmap(
    lambda tokens: st.lists(st.lists(ids, min_size=tokens, max_size=tokens), min_size=1, max_size=3)
)


def original(input_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return generate_masks_with_special_tokens_and_transfer_map(
        input_ids,  # type: ignore[arg-type]  # any int64 tensor will do
        torch.tensor(DELIMITERS),  # type: ignore[arg-type]
    )


@settings(max_examples=300, deadline=None)
@given(captions)
def test_any_caption_has_the_masks_of_the_original(caption_ids: list[list[int]]) -> None:
    input_ids = torch.tensor(caption_ids)
    mask, positions = phrase_masks(input_ids, DELIMITERS)
    expected_mask, expected_positions = original(input_ids)
    assert torch.equal(mask, expected_mask)
    assert torch.equal(positions, expected_positions)
    assert positions.dtype == expected_positions.dtype


def test_the_delimiters_are_those_of_transformers() -> None:
    assert SPECIAL_TOKENS == DELIMITERS


@pytest.mark.parametrize("tokens", [1, 2, 3, 17, 256])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_exported_graph_has_them_at_every_length(
    engine: Callable[[Role], onnxruntime.InferenceSession], tokens: int, batch: int
) -> None:
    generator = np.random.default_rng(tokens)
    input_ids = generator.choice([*DELIMITERS, 1200, 1201, 1202], (batch, tokens))
    input_ids[-1, tokens // 2 + 1 :] = 0
    names = ["text_mask", "text_self_attention_mask", "position_ids"]
    text_mask, mask, positions = engine(Role.VOCABULARY_ENCODER).run(names, {"input_ids": input_ids})
    expected_mask, expected_positions = original(torch.from_numpy(input_ids))
    np.testing.assert_array_equal(text_mask, input_ids != 0)
    np.testing.assert_array_equal(mask, expected_mask.numpy())
    np.testing.assert_array_equal(positions, expected_positions.numpy())
