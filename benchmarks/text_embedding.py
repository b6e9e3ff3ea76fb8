"""Texts to token ids as text_embedder reads them, where it is asked without the pipeline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fashioncrop.errors import DeploymentError, ModelFileError
from fashioncrop.model_repository import Role, engine_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_END_OF_TEXT = "<|endoftext|>"
_CLIP_MAX_TOKENS = 77


def tokenizer_in(repository: Path) -> Path:
    """Where export puts text_embedder's tokeniser."""
    return engine_folder(repository, Role.TEXT_EMBEDDER) / "tokenizer.json"


class TextTokenizer:
    """Texts to token ids as text_embedder reads them.

    Args:
        file: `tokenizer.json`; `model.json` beside it says how long a text may be, otherwise CLIP's 77 tokens.

    Raises:
        ModelFileError: a file is not what it has to be.
        DeploymentError: the package tokenizers is missing.
    """

    def __init__(self, file: Path) -> None:
        self._tokenizer = _read(file)
        end = self._tokenizer.token_to_id(_END_OF_TEXT)
        if end is None:
            raise ModelFileError(f"The tokeniser {file} has no {_END_OF_TEXT}; it is not text_embedder's.")
        self._end = end
        self._max_tokens = _max_tokens(file.with_name("model.json"))

    def ids(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Token ids padded to the longest with the end of text, int64 [texts, tokens]."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        rows = [row if len(row) <= self._max_tokens else [*row[: self._max_tokens - 1], self._end] for row in rows]
        longest = max(map(len, rows))
        return np.asarray([row + [self._end] * (longest - len(row)) for row in rows], np.int64)


def _read(file: Path) -> Tokenizer:
    try:
        from tokenizers import Tokenizer as Loaded  # noqa: PLC0415 - an extra, for this measure only
    except ModuleNotFoundError as error:
        raise DeploymentError(
            "Text to crop needs tokenizers, which is missing. Run: pip install tokenizers, or leave --tokenizer out."
        ) from error
    try:
        return Loaded.from_str(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFileError(
            f"The tokeniser {file} cannot be read: {error.strerror}. Name it: --tokenizer FILE."
        ) from error
    except Exception as error:  # what the Rust side raises has no class of its own
        raise ModelFileError(f"{file} is not a tokenizer.json: {error}.") from error


def _max_tokens(file: Path) -> int:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))["preprocessing"]["max_tokens"]
    except FileNotFoundError:
        return _CLIP_MAX_TOKENS
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{file} does not say preprocessing.max_tokens. Export text_embedder again.") from error
    return int(value)
