"""Prompts as token ids, laid out as the served pipeline lays them out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from fashioncrop_export.small_tokenizers import save_wordpiece
from fashioncrop_paperdoll.training.words import WORDS


class Captions:
    """The detector's tokeniser: `[CLS] phrase . phrase . [SEP]`."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            save_wordpiece(Path(folder), max_tokens=256, words=WORDS)
            self._tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self._cls, self._sep, self._stop = (self._tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]", "."))
        self._known: dict[str, list[int]] = {}

    def batch(self, prompts: Sequence[Sequence[str]]) -> tuple[NDArray[np.int64], list[list[tuple[int, int]]]]:
        """Token ids int64 [prompts, tokens], 0 after the end, and each phrase's first token and one past its last."""
        captions, spans = [], []
        for phrases in prompts:
            ids, own = [self._cls], []
            for phrase in phrases:
                tokens = self._tokens(phrase)
                own.append((len(ids), len(ids) + len(tokens)))
                ids += [*tokens, self._stop]
            captions.append([*ids, self._sep])
            spans.append(own)
        padded = np.zeros((len(captions), max(map(len, captions))), np.int64)
        for row, ids in enumerate(captions):
            padded[row, : len(ids)] = ids
        return padded, spans

    def _tokens(self, phrase: str) -> list[int]:
        if phrase not in self._known:
            self._known[phrase] = self._tokenizer.encode(phrase, add_special_tokens=False).ids
        return self._known[phrase]
