"""Texts to token ids as text_embedder reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from identity import Engine
from problems import refuse

MOST_TEXTS = 256
_END_OF_TEXT = "<|endoftext|>"


class SentenceTokenizer:
    """CLIP's tokeniser, as export put it beside the engine.

    Args:
        engine: text_embedder's.

    Raises:
        ValueError: the tokeniser is not CLIP's.
    """

    def __init__(self, engine: Engine) -> None:
        file = engine.folder / engine.preprocessing["tokenizer"]
        self._tokenizer = Tokenizer.from_file(str(file))
        self._max_tokens = int(engine.preprocessing["max_tokens"])
        end = self._tokenizer.token_to_id(_END_OF_TEXT)
        if end is None:
            raise ValueError(f"{file} has no {_END_OF_TEXT}; run fashioncrop-export --only {engine.role} --force")
        self._end = int(end)

    def ids(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Token ids, int64 [texts, tokens], padded to the longest with the end of text.

        Raises:
            ProblemError: INVALID_ARG; there are too many texts, or one is empty or too long.
        """
        if len(texts) > MOST_TEXTS:
            raise refuse(f"`texts` has {len(texts)} texts; at most {MOST_TEXTS} are taken. Send several requests.")
        rows: list[list[int]] = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        for index, (text, row) in enumerate(zip(texts, rows, strict=True)):
            if not text.strip():
                raise refuse(f"Text {index} of `texts` is empty.")
            if len(row) > self._max_tokens:
                raise refuse(
                    f"Text {index} of `texts` has {len(row)} tokens, its start and end counted; text_embedder reads at "
                    f"most {self._max_tokens}. Send a shorter one."
                )
        longest = max(map(len, rows), default=0)
        ids = np.full((len(rows), longest), self._end, np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
        return ids
