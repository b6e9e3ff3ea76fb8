"""vocabulary_encoder: GroundingDINO's text side, and the masks that say which tokens are one phrase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import GroundingDinoForObjectDetection
from transformers.models.grounding_dino.modeling_grounding_dino import (
    generate_masks_with_special_tokens_and_transfer_map,
)

from fashioncrop.model_repository import Role
from fashioncrop_export.captions import cut_to, token_ids
from fashioncrop_export.checkpoints import TEXT_WIDTH, Checkpoint
from fashioncrop_export.graph_plan import Array, Arrays, Case, GraphPlan, Tolerance
from fashioncrop_export.originals import Originals, tokenizer_of, with_eager_attention
from fashioncrop_export.text_masks import phrase_masks

MAX_TOKENS = 256
# What closes every caption: a full stop and [SEP].
_CAPTION_END = (1012, 102)


class VocabularyEncoder(nn.Module):
    """Token ids to text features and masks.

    Args:
        model: transformers' model; its BERT is copied, the rest only read.
    """

    def __init__(self, model: GroundingDinoForObjectDetection) -> None:
        super().__init__()
        self.delimiters: list[int] = model.model.special_tokens.tolist()
        # Safe with eager attention only because it is given an additive mask.
        self.text_backbone = with_eager_attention(model.model.text_backbone)
        self.text_projection = model.model.text_projection
        self.missing_width = TEXT_WIDTH - model.config.d_model

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """int64 [batch, tokens] -> text_features, text_mask, text_self_attention_mask, position_ids.

        The features of a detector that is narrower than the interface end in zeros.
        """
        mask, position_ids = phrase_masks(input_ids, self.delimiters)
        penalty = (1.0 - mask[:, None].to(torch.float32)) * torch.finfo(torch.float32).min
        hidden = self.text_backbone(input_ids, penalty, torch.zeros_like(input_ids), position_ids).last_hidden_state
        features = self.text_projection(hidden)
        if self.missing_width:
            features = functional.pad(features, (0, self.missing_width))
        return features, input_ids != 0, mask, position_ids


def plan(checkpoint: Checkpoint, originals: Originals) -> GraphPlan:
    """Prepare the export of this model."""
    model = originals.load(checkpoint, GroundingDinoForObjectDetection)
    tokenizer = tokenizer_of(checkpoint)

    def reference(case: Case, _pinned: Array | None) -> Arrays:
        return encode_text(model, case.feed["input_ids"])

    longest = max_tokens(model)
    traced = caption_ids(model, tokenizer, ["t-shirt. blue skirt. bag.", "coat. hat."])
    captions = {
        "one phrase": ["skirt."],
        "two captions, one padded": ["red dress. shoe. hat.", "bag."],
        "27 categories": [". ".join(["shirt, blouse", "top", "jacket", "pants", "shoe", "scarf"] * 4) + "."],
        "no delimiter at the end": ["a person in a coat? hat"],
        "one phrase as long as may be": ["red " * longest],
    }
    return GraphPlan(
        role=Role.VOCABULARY_ENCODER,
        module=VocabularyEncoder(model),
        example={"input_ids": torch.from_numpy(traced)},
        inputs={"input_ids": ("batch", "tokens")},
        outputs={
            "text_features": ("batch", "tokens", TEXT_WIDTH),
            "text_mask": ("batch", "tokens"),
            "text_self_attention_mask": ("batch", "tokens", "tokens"),
            "position_ids": ("batch", "tokens"),
        },
        cases=tuple(
            Case(name, {"input_ids": caption_ids(model, tokenizer, texts)}) for name, texts in captions.items()
        ),
        reference=reference,
        tolerances={"text_features": Tolerance(relative=2e-5)},
        preprocessing={"max_tokens": longest, "tokenizer": "tokenizer.json", "lowercase": True},
    )


def max_tokens(model: GroundingDinoForObjectDetection) -> int:
    """Tokens that a caption may have, and so one phrase, whose tokens BERT counts from the phrase's beginning."""
    text_config: Any = model.config.text_config
    return int(min(MAX_TOKENS, model.config.max_text_len, text_config.max_position_embeddings))


def caption_ids(
    model: GroundingDinoForObjectDetection, tokenizer: Tokenizer, captions: Sequence[str]
) -> NDArray[np.int64]:
    """Token ids of captions, none longer than the model reads: int64 [captions, tokens]."""
    return cut_to(token_ids(tokenizer, captions), max_tokens(model), ending=_CAPTION_END)


def encode_text(model: GroundingDinoForObjectDetection, input_ids: Array) -> dict[str, Array]:
    """What transformers' own forward computes of a caption before it looks at the photo.

    The features end in zeros where the model is narrower than the interface.
    """
    ids = torch.from_numpy(input_ids)
    inner: Any = model.model  # nn.Module's attributes have no types
    with torch.inference_mode():
        mask, position_ids = generate_masks_with_special_tokens_and_transfer_map(
            ids,  # type: ignore[arg-type]  # any int64 tensor will do
            inner.special_tokens,
        )
        hidden = inner.text_backbone(ids, mask[:, None], torch.zeros_like(ids), position_ids).last_hidden_state
        features = inner.text_projection(hidden)
    return {
        "text_features": np.pad(features.numpy(), ((0, 0), (0, 0), (0, TEXT_WIDTH - model.config.d_model))),
        "text_mask": (ids != 0).numpy(),
        "text_self_attention_mask": mask.numpy(),
        "position_ids": position_ids.numpy(),
    }
