"""vocabulary_encoder: GroundingDINO's text side, and the masks that say which tokens are one phrase."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import GroundingDinoForObjectDetection
from transformers.models.grounding_dino.modeling_grounding_dino import (
    generate_masks_with_special_tokens_and_transfer_map,
)

from fashioncrop.model_repository import Role
from fashioncrop_export.captions import token_ids
from fashioncrop_export.checkpoints import Checkpoint
from fashioncrop_export.graph_plan import Array, Arrays, Case, GraphPlan, Tolerance
from fashioncrop_export.originals import Originals, tokenizer_of, with_eager_attention
from fashioncrop_export.text_masks import phrase_masks

MAX_TOKENS = 256


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

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """int64 [batch, tokens] -> text_features, text_mask, text_self_attention_mask, position_ids."""
        mask, position_ids = phrase_masks(input_ids, self.delimiters)
        penalty = (1.0 - mask[:, None].to(torch.float32)) * torch.finfo(torch.float32).min
        hidden = self.text_backbone(input_ids, penalty, torch.zeros_like(input_ids), position_ids).last_hidden_state
        return self.text_projection(hidden), input_ids != 0, mask, position_ids


def plan(checkpoint: Checkpoint, originals: Originals) -> GraphPlan:
    """Prepare the export of this model."""
    model = originals.load(checkpoint, GroundingDinoForObjectDetection)
    tokenizer = tokenizer_of(checkpoint)

    def reference(case: Case, _pinned: Array | None) -> Arrays:
        return encode_text(model, case.feed["input_ids"])

    captions = {
        "one phrase": ["skirt."],
        "two captions, one padded": ["red dress. shoe. hat.", "bag."],
        "27 categories": [". ".join(["shirt, blouse", "top", "jacket", "pants", "shoe", "scarf"] * 4) + "."],
        "no delimiter at the end": ["a person in a coat? hat"],
    }
    return GraphPlan(
        role=Role.VOCABULARY_ENCODER,
        module=VocabularyEncoder(model),
        example={"input_ids": torch.from_numpy(token_ids(tokenizer, ["t-shirt. blue skirt. bag.", "coat. hat."]))},
        inputs={"input_ids": ("batch", "tokens")},
        outputs={
            "text_features": ("batch", "tokens", model.config.d_model),
            "text_mask": ("batch", "tokens"),
            "text_self_attention_mask": ("batch", "tokens", "tokens"),
            "position_ids": ("batch", "tokens"),
        },
        cases=tuple(Case(name, {"input_ids": token_ids(tokenizer, texts)}) for name, texts in captions.items()),
        reference=reference,
        tolerances={"text_features": Tolerance(relative=2e-5)},
        preprocessing={"max_tokens": MAX_TOKENS, "tokenizer": "tokenizer.json", "lowercase": True},
    )


def encode_text(model: GroundingDinoForObjectDetection, input_ids: Array) -> dict[str, Array]:
    """What transformers' own forward computes of a caption before it looks at the photo."""
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
        "text_features": features.numpy(),
        "text_mask": (ids != 0).numpy(),
        "text_self_attention_mask": mask.numpy(),
        "position_ids": position_ids.numpy(),
    }
