"""Multi-scale deformable attention whose levels have symbolic sizes, on the weights of transformers' modules."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.grounding_dino.modeling_grounding_dino import (
    GroundingDinoDeformableLayer,
    GroundingDinoMultiscaleDeformableAttention,
)


@dataclass(frozen=True)
class Levels:
    """The feature levels of one photo, whose tokens lie one level after the other.

    Attributes:
        shapes_hw: height and width of each level.
        sizes_wh: the same as numbers in the graph: float32 [levels, 2], width first.
    """

    shapes_hw: list[tuple[int, int]]
    sizes_wh: Tensor


def deformable_attention(
    attention: GroundingDinoMultiscaleDeformableAttention,
    queries: Tensor,
    features: Tensor,
    reference_points: Tensor,
    levels: Levels,
) -> Tensor:
    """Repeat `GroundingDinoMultiscaleDeformableAttention.forward` for photos without padding.

    The weighted sum is taken level by level: the original first stacks what was sampled from all levels, 292 MB a
    layer at 800x1066. Queries lie innermost wherever every query meets every point: then scaling, weighting and summing
    run over long rows, where the original's order has rows of two numbers (x and y) and four (points).

    Args:
        attention: transformers' module; only its weights are used.
        queries: float32 [batch, queries, channels], position embeddings added.
        features: float32 [batch, tokens, channels], what is sampled from.
        reference_points: [batch or 1, queries, 2] x, y of the query or [batch, queries, 4] centre and size of its
            box, as shares of the photo.
        levels: how `features` is laid out.

    Returns:
        float32 [batch, queries, channels].
    """
    heads, points = attention.n_heads, attention.n_points
    offsets = _offsets(attention, queries)
    weights = attention.attention_weights(queries)
    weights = weights.view(weights.shape[0], weights.shape[1], heads, -1).softmax(-1)
    weights = weights.permute(0, 2, 3, 1)  # [batch, heads, levels * points, queries]
    value = attention.value_proj(features).transpose(1, 2)  # [batch, channels, tokens]
    channels = value.shape[1]
    centres = (2 * reference_points[..., :2] - 1)[:, None]  # as grid_sample counts: the photo goes from -1 to 1
    total: Tensor | None = None
    start = 0
    for level, (height, width) in enumerate(levels.shapes_hw):
        if reference_points.shape[-1] == 2:  # noqa: PLR2004 - a point; otherwise a box
            # As long as the queries, or every one of them would be a broadcast of its own.
            reach = (2 / levels.sizes_wh[level]).expand_as(centres)
        else:
            reach = reference_points[:, None, :, 2:] / points
        grid = offsets[:, level * heads * points : (level + 1) * heads * points] * reach + centres
        feature_map = value[:, :, start : start + height * width]
        sampled = functional.grid_sample(
            feature_map.reshape(-1, channels // heads, height, width),
            grid.reshape(-1, points, grid.shape[2], 2),
            mode="bilinear",
            padding_mode="zeros",
            align_corners=False,
        )  # [batch * heads, head channels, points, queries]
        share = weights[:, :, level * points : (level + 1) * points]
        weighted = (sampled * share.reshape(-1, 1, points, share.shape[3])).sum(2)
        total = weighted if total is None else total + weighted
        start = start + height * width
    if total is None:
        raise ValueError("Deformable attention needs at least one feature level.")
    output: Tensor = attention.output_proj(total.reshape(-1, channels, total.shape[2]).transpose(1, 2))
    return output


def _offsets(attention: GroundingDinoMultiscaleDeformableAttention, queries: Tensor) -> Tensor:
    """How far from each query to look, in cells: float32 [batch, levels * heads * points, queries, 2]."""
    projection = attention.sampling_offsets
    shape = (attention.n_heads, attention.n_levels, attention.n_points * 2)
    # The levels first, so that each is one piece.
    weight = projection.weight.view(*shape, -1).transpose(0, 1).reshape(projection.weight.shape)
    bias = projection.bias.view(shape).transpose(0, 1).flatten()
    offsets = functional.linear(queries, weight, bias)
    return offsets.view(offsets.shape[0], offsets.shape[1], -1, 2).transpose(1, 2)


def deformable_layer(
    layer: GroundingDinoDeformableLayer, features: Tensor, positions: Tensor, reference_points: Tensor, levels: Levels
) -> Tensor:
    """Repeat `GroundingDinoDeformableLayer.forward` on [batch, tokens, channels]."""
    attended = deformable_attention(layer.self_attn, features + positions, features, reference_points, levels)
    features = layer.self_attn_layer_norm(features + attended)
    # In rows, where a product takes its bias along: the hidden features are 146 MB at 800x1066.
    rows = features.reshape(-1, features.shape[2])
    updated: Tensor = layer.final_layer_norm(rows + layer.fc2(layer.activation_fn(layer.fc1(rows))))
    return updated.view(features.shape[0], -1, features.shape[2])


def length_of(count: int) -> Tensor:
    """A length as a number that the graph computes: float32, no dimensions."""
    return torch.ones(count).sum()
