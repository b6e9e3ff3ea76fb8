"""Token ids of the texts that graphs are traced and compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer


def cut_to(ids: NDArray[np.int64], longest: int, *, ending: Sequence[int]) -> NDArray[np.int64]:
    """At most `longest` tokens of each row: int64 [texts, tokens]. What had to be cut ends in `ending`."""
    if ids.shape[1] <= longest:
        return ids
    cut = ids[:, :longest].copy()
    cut[:, -len(ending) :] = ending
    return cut


def token_ids(tokenizer: Tokenizer, texts: Sequence[str], *, padding_id: int = 0) -> NDArray[np.int64]:
    """Ids with the tokeniser's own start and end tokens, padded to the longest: int64 [texts, tokens]."""
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    longest = max(len(ids) for ids in encoded)
    return np.array([ids + [padding_id] * (longest - len(ids)) for ids in encoded], dtype=np.int64)
