"""Swin with free height and width, on the weights of transformers' `SwinBackbone`.

transformers pads, rolls and cuts windows with sizes that an exporter turns into constants. Here padding, cyclic shift
and window partition are one gather by an index that is computed in the graph from height and width, and its inverse
gather; patch merging is a gather too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.swin.modeling_swin import SwinBackbone, SwinLayer, SwinPatchMerging

# What transformers' `SwinLayer.get_attn_mask` adds between regions that the cyclic shift made neighbours.
_SHIFT_PENALTY = -100.0


@dataclass(frozen=True)
class _Windows:
    """How the tokens of one feature map are cut into windows.

    Attributes:
        gather: int64 [windows * area]: the token at each place of each window; height * width is the padding token.
        scatter: int64 [height * width]: where each token went.
        penalty: float32 [windows, 1, area, area] added to the attention scores, None without a shift.
        count: number of windows.
    """

    gather: Tensor
    scatter: Tensor
    penalty: Tensor | None
    count: int


def swin_feature_maps(backbone: SwinBackbone, pixels: Tensor) -> list[Tensor]:
    """Repeat `SwinBackbone.forward`.

    Args:
        backbone: transformers' module; only its weights and configuration are used.
        pixels: float32 [batch, 3, height, width], normalised.

    Returns:
        One map per stage in `out_features`: float32 [batch, channels, stage height, stage width].
    """
    inner: Any = backbone.swin  # nn.Module's attributes have no types
    embeddings = inner.embeddings
    patch = embeddings.patch_embeddings.patch_size[0]
    # Always one patch less a pixel: the convolution drops what is left over, and no size decides the padding.
    padded = functional.pad(pixels, (0, patch - 1, 0, patch - 1))
    features = embeddings.patch_embeddings.projection(padded)
    height, width = features.shape[2], features.shape[3]
    tokens = embeddings.norm(features.flatten(2).transpose(1, 2))
    feature_maps = []
    stage_names = list(backbone.stage_names)[1:]  # the first is the stem
    for stage, name in zip(inner.encoder.layers, stage_names, strict=True):
        windows_by_shift: dict[int, _Windows] = {}
        for layer in stage.blocks:
            if layer.shift_size not in windows_by_shift:
                windows_by_shift[layer.shift_size] = _windows(height, width, layer.window_size, layer.shift_size)
            tokens = _swin_layer(layer, tokens, windows_by_shift[layer.shift_size])
        if name in backbone.out_features:
            normed = backbone.hidden_states_norms[name](tokens)
            feature_maps.append(normed.transpose(1, 2).reshape(normed.shape[0], normed.shape[2], height, width))
        if stage.downsample is not None:
            tokens, height, width = _merge_patches(stage.downsample, tokens, height, width)
    return feature_maps


def _with_padding_token(tokens: Tensor) -> Tensor:
    """[batch, n, channels] -> [batch, n + 1, channels]: token n is zero."""
    return torch.cat([tokens, torch.zeros_like(tokens[:, :1])], dim=1)


def _axis_order(length: int, padded: int, shift: int) -> tuple[Tensor, Tensor]:
    """Order of one axis after padding and rolling back by `shift`, and where each of the first `length` places went."""
    places = torch.arange(padded)
    originals = torch.arange(length)
    if shift == 0:
        return places, originals
    rolled = torch.where(places < padded - shift, places + shift, places + (shift - padded))
    inverse = torch.where(originals < shift, originals + (padded - shift), originals - shift)
    return rolled, inverse


def _axis_regions(windows: int, size: int, shift: int) -> Tensor:
    """Which of the three regions of `SwinLayer.get_attn_mask` each place of an axis is in: float32 [windows, size]."""
    places = torch.arange(windows * size)
    in_last_window = (places >= windows * size - size).to(torch.float32)
    wrapped = (places >= windows * size - shift).to(torch.float32)
    return (in_last_window + wrapped).view(windows, size)


def _windows(height: int, width: int, size: int, shift: int) -> _Windows:
    rows, columns = (height + size - 1) // size, (width + size - 1) // size
    area = size * size
    row_order, row_inverse = _axis_order(height, rows * size, shift)
    column_order, column_inverse = _axis_order(width, columns * size, shift)
    inside = (row_order < height)[:, None] & (column_order < width)[None]
    gather = torch.where(inside, row_order[:, None] * width + column_order[None], height * width)
    gather = gather.view(rows, size, columns, size).transpose(1, 2).reshape(rows * columns * area)
    scatter = torch.arange(rows * columns * area).view(rows, columns, size, size).transpose(1, 2)
    scatter = scatter.reshape(rows * size, columns * size).index_select(0, row_inverse).index_select(1, column_inverse)
    penalty = None
    if shift > 0:
        row_regions = _axis_regions(rows, size, shift)[:, None, :, None]
        column_regions = _axis_regions(columns, size, shift)[None, :, None, :]
        regions = (row_regions * 3 + column_regions).reshape(rows * columns, area)
        penalty = torch.where(regions[:, None, :] != regions[:, :, None], _SHIFT_PENALTY, 0.0)[:, None]
    return _Windows(gather, scatter.reshape(height * width), penalty, rows * columns)


def _swin_layer(layer: SwinLayer, tokens: Tensor, windows: _Windows) -> Tensor:
    """Repeat `SwinLayer.forward` on [batch, height * width, channels]."""
    attention = layer.attention
    heads, head_size = attention.num_attention_heads, attention.head_dim
    channels, area = tokens.shape[-1], layer.window_size * layer.window_size
    # Linear layers get rows: there a bias comes with the product, and is no pass of its own over all tokens.
    cut = _with_padding_token(layer.layernorm_before(tokens)).index_select(1, windows.gather).view(-1, channels)
    # Three products: one for all of them, and cutting it apart, takes half as long again on a CPU.
    query, key, value = (
        project(cut).view(-1, area, heads, head_size).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    scores = (query * attention.scaling) @ key.transpose(-1, -2) + attention.relative_position_bias()
    if windows.penalty is not None:
        scores = scores.view(-1, windows.count, heads, area, area) + windows.penalty
        scores = scores.view(-1, heads, area, area)
    mixed = attention.o_proj((scores.softmax(-1) @ value).transpose(1, 2).reshape(-1, channels))
    tokens = tokens + mixed.view(tokens.shape[0], -1, channels).index_select(1, windows.scatter)
    updated: Tensor = layer.mlp(layer.layernorm_after(tokens).view(-1, channels))
    return tokens + updated.view(tokens.shape[0], -1, channels)


def _merge_patches(merging: SwinPatchMerging, tokens: Tensor, height: int, width: int) -> tuple[Tensor, int, int]:
    """Repeat `SwinPatchMerging.forward`: four neighbours become one token, odd sides are padded with zeros."""
    merged_height, merged_width = (height + 1) // 2, (width + 1) // 2
    rows, columns = torch.arange(merged_height) * 2, torch.arange(merged_width) * 2
    corners = []
    for row_offset, column_offset in ((0, 0), (1, 0), (0, 1), (1, 1)):
        row, column = rows + row_offset, columns + column_offset
        inside = (row < height)[:, None] & (column < width)[None]
        corners.append(torch.where(inside, row[:, None] * width + column[None], height * width))
    index = torch.stack(corners, dim=-1).reshape(merged_height * merged_width * 4)
    gathered = _with_padding_token(tokens).index_select(1, index)
    gathered = gathered.view(tokens.shape[0], merged_height * merged_width, 4 * tokens.shape[-1])
    return merging.reduction(merging.norm(gathered)), merged_height, merged_width
