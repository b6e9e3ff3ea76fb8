"""Draws parts of a random GroundingDINO again, so that it hides no error and its scores and boxes are spread.

The numbers here were found by trying them on photos; all they have to do is leave some tens of boxes above the usual
threshold of 0.35, of many sizes and places and phrases, as a trained model would.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import GroundingDinoForObjectDetection

# Every logit is a dot product of the two last norms' outputs over 256 channels. Those have no mean over channels, so
# constant biases of a and b move all logits by 256ab and nothing else.
_TEXT_BIAS = 0.1
_QUERY_SCALE = 0.2


def spread_detector(model: GroundingDinoForObjectDetection, *, query_bias: float) -> None:
    """Replace what transformers initialises to nothing, in place, from torch's current random state.

    Args:
        model: with transformers' own initialisation.
        query_bias: moves all logits by 25.6 times itself; depends on the architecture and the seed.
    """
    seen: set[int] = set()
    for name, parameter in model.named_parameters():
        if parameter.data_ptr() not in seen:  # tied heads come more than once
            seen.add(parameter.data_ptr())
            _redraw(name, parameter, torch.randn_like(parameter))
    inner: Any = model.model  # nn.Module's attributes have no types
    heads: list[Any] = [inner.encoder_output_bbox_embed, model.bbox_embed[0]]
    for box_head in heads:
        # Centres stay near where they were found: six steps the same way would end at the photo's edge.
        box_head.layers[2].weight[:2].mul_(0.3)
    inner.encoder_output_bbox_embed.layers[2].bias.copy_(torch.tensor([0.0, 0.0, 0.7, 0.7]))
    # A proposal outside the photo has no features: without biases it scores lower than any inside.
    inner.enc_output.bias.zero_()
    inner.enc_output_norm.bias.zero_()
    text_norm = inner.encoder.layers[-1].text_enhancer_layer.layer_norm_after
    text_norm.weight.fill_(1.0)
    text_norm.bias.fill_(_TEXT_BIAS)
    inner.decoder.layer_norm.weight.fill_(_QUERY_SCALE)
    inner.decoder.layer_norm.bias.fill_(query_bias)


def _redraw(name: str, parameter: Tensor, noise: Tensor) -> None:
    if name.endswith("sampling_offsets.weight"):
        parameter.copy_(0.05 * noise)
    elif name.endswith("attention_weights.weight"):
        parameter.copy_(0.1 * noise)
    elif name.endswith(("vision_param", "text_param")):
        parameter.copy_(0.3 + 0.05 * noise)
    elif "bbox_embed" in name and name.endswith("layers.2.weight"):
        parameter.copy_(0.15 * noise)
    elif name.endswith("relative_position_bias_table"):
        parameter.copy_(0.5 * noise)
    elif name.endswith("query_position_embeddings.weight"):
        # Each query is its own: giving one another's token shows.
        parameter.copy_(2.0 * noise)
    elif ".layers." in name and name.endswith(("out_proj.weight", "output_proj.weight", "fc2.weight")):
        # Small updates, or what all tokens have in common drowns what tells them apart.
        parameter.mul_(0.4).add_(0.004 * noise)
    elif name.endswith("bias") and parameter.ndim == 1:
        parameter.add_(0.02 * noise)
    elif name.endswith("weight") and parameter.ndim > 1 and "embed" not in name:
        parameter.add_(0.01 * noise)
