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
    layer at 800x1066.

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
    batch, query_count = queries.shape[0], queries.shape[1]
    heads, points, level_count = attention.n_heads, attention.n_points, attention.n_levels
    value = attention.value_proj(features).unflatten(-1, (heads, -1)).permute(0, 2, 3, 1).flatten(0, 1)
    offsets = attention.sampling_offsets(queries).view(batch, query_count, heads, level_count, points, 2)
    weights = attention.attention_weights(queries).view(batch, query_count, heads, level_count * points).softmax(-1)
    weights = weights.view(batch, query_count, heads, level_count, points)
    centres = reference_points[:, :, None, None, None, :2]
    if reference_points.shape[-1] == 2:  # noqa: PLR2004 - a point; otherwise a box
        locations = centres + offsets / levels.sizes_wh[None, None, None, :, None, :]
    else:
        locations = centres + offsets / points * reference_points[:, :, None, None, None, 2:] * 0.5
    grids = (2 * locations - 1).permute(0, 2, 3, 1, 4, 5).flatten(0, 1)  # [batch * heads, levels, queries, points, 2]
    weights = weights.permute(0, 2, 3, 1, 4).flatten(0, 1)
    total: Tensor | None = None
    start = 0
    for level, (height, width) in enumerate(levels.shapes_hw):
        feature_map = value[:, :, start : start + height * width].unflatten(2, (height, width))
        sampled = functional.grid_sample(
            feature_map, grids[:, level], mode="bilinear", padding_mode="zeros", align_corners=False
        )
        weighted = (sampled * weights[:, level, None]).sum(-1)  # [batch * heads, head channels, queries]
        total = weighted if total is None else total + weighted
        start = start + height * width
    if total is None:
        raise ValueError("Deformable attention needs at least one feature level.")
    total = total.reshape(batch, heads, -1, query_count).permute(0, 3, 1, 2).flatten(2)
    output: Tensor = attention.output_proj(total)
    return output


def deformable_layer(
    layer: GroundingDinoDeformableLayer, features: Tensor, positions: Tensor, reference_points: Tensor, levels: Levels
) -> Tensor:
    """Repeat `GroundingDinoDeformableLayer.forward` on [batch, tokens, channels]."""
    attended = deformable_attention(layer.self_attn, features + positions, features, reference_points, levels)
    features = layer.self_attn_layer_norm(features + attended)
    updated: Tensor = layer.final_layer_norm(features + layer.fc2(layer.activation_fn(layer.fc1(features))))
    return updated


def length_of(count: int) -> Tensor:
    """A length as a number that the graph computes: float32, no dimensions."""
    return torch.ones(count).sum()
