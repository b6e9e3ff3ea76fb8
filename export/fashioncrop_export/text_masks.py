"""Which tokens of a caption belong to one phrase, with operators that every runtime has."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def phrase_masks(input_ids: Tensor, delimiters: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Repeat transformers' `generate_masks_with_special_tokens_and_transfer_map` without isin, cummax, flip and eye.

    A delimiter closes the block of tokens before it. Tokens of one block see each other, except in a block that ends at
    the first or last position or never; every token sees itself.

    Args:
        input_ids: int64 [batch, tokens].
        delimiters: ids of [CLS], [SEP], "." and "?".

    Returns:
        bool [batch, tokens, tokens], true where the row's token sees the column's; and int64 [batch, tokens], the
        position inside the block, from 0.
    """
    tokens = input_ids.shape[1]
    is_delimiter = input_ids == delimiters[0]
    for delimiter in delimiters[1:]:
        is_delimiter = is_delimiter | (input_ids == delimiter)
    columns = torch.arange(tokens)
    rows = columns[:, None]
    is_delimiter = is_delimiter[:, None, :]
    # The delimiter that closes each token's block (itself for a delimiter), and the one before the block.
    closing = torch.where(is_delimiter & (columns >= rows), columns, tokens).amin(-1)
    opening = torch.where(is_delimiter & (columns < rows), columns, -1).amax(-1)
    is_closed = (closing != 0) & (closing != tokens - 1) & (closing != tokens)
    same_block = closing[:, :, None] == closing[:, None, :]
    mask = (same_block & is_closed[:, None, :]) | (rows == columns)
    position_ids = torch.where(is_closed, (columns - opening - 1).clamp(min=0), 0)
    return mask, position_ids
