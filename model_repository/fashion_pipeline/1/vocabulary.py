"""From phrases to the token ids that the text encoder reads, remembering which tokens belong to which phrase.

GroundingDINO scores tokens, not phrases. Because each phrase's own tokens are known here, a phrase can be scored by
them alone, and two phrases never merge into one label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from problems import quoted, refuse

SEPARATORS = ".?"
"""GroundingDINO ends a phrase at these (token ids 1012 and 1029 in `generate_masks_with_special_tokens...`)."""


class Encoding(Protocol):
    """What is used of `tokenizers.Encoding`."""

    @property
    def ids(self) -> list[int]:
        """Token ids."""


class Tokenizer(Protocol):
    """What is used of `tokenizers.Tokenizer`."""

    def encode(self, sequence: str, *, add_special_tokens: bool = ...) -> Encoding:
        """Token ids of a text."""

    def token_to_id(self, token: str) -> int | None:
        """Id of one token, None where it does not exist."""


@dataclass(frozen=True)
class Span:
    """Where a phrase's own tokens are in a caption.

    Attributes:
        phrase_id: index into the vocabulary as it was sent.
        start: first token, counted from [CLS] at 0.
        stop: one past the last token.
    """

    phrase_id: int
    start: int
    stop: int


@dataclass(frozen=True)
class Caption:
    """One pass over the text: as many phrases as fit.

    Attributes:
        input_ids: int64 [tokens], [CLS] phrase . phrase . [SEP].
        spans: one for each phrase in it.
    """

    input_ids: NDArray[np.int64]
    spans: tuple[Span, ...]


def normalised(phrases: Sequence[str], *, max_phrases: int) -> tuple[str, ...]:
    """Phrases as the detector reads them: lower case, single spaces, no closing full stop.

    Raises:
        ProblemError: INVALID_ARG; there are none, too many, an empty one, or one that holds a separator.
    """
    if not phrases:
        raise refuse("The vocabulary is empty. Send at least one phrase, or leave `vocabulary` out for the default.")
    if len(phrases) > max_phrases:
        raise refuse(
            f"The vocabulary has {len(phrases)} phrases; this server takes at most {max_phrases}. Send fewer, or raise "
            "the pipeline's parameter max_vocabulary_phrases."
        )
    result = []
    for index, phrase in enumerate(phrases):
        text = " ".join(phrase.lower().split()).rstrip(SEPARATORS + " ")
        if not text:
            raise refuse(f"Phrase {index} of the vocabulary ({quoted(phrase)}) is empty. Leave it out.")
        if any(separator in text for separator in SEPARATORS):
            raise refuse(
                f"Phrase {index} of the vocabulary ({quoted(phrase)}) holds '.' or '?', which end a phrase for "
                "GroundingDINO. Send one phrase an element."
            )
        result.append(text)
    return tuple(result)


def captions(phrases: Sequence[str], tokenizer: Tokenizer, *, max_tokens: int) -> tuple[Caption, ...]:
    """Pack normalised phrases into as few captions as their order allows, each at most `max_tokens` long.

    A phrase that occurs twice is encoded once, under its first index.

    Raises:
        ProblemError: INVALID_ARG; a phrase alone is too long, or the tokeniser knows nothing of it.
    """
    cls, sep, stop, unknown = (_id_of(tokenizer, token) for token in ("[CLS]", "[SEP]", ".", "[UNK]"))
    result: list[Caption] = []
    ids, spans = [cls], list[Span]()
    seen = set[str]()
    for phrase_id, phrase in enumerate(phrases):
        if phrase in seen:
            continue
        seen.add(phrase)
        tokens = tokenizer.encode(phrase, add_special_tokens=False).ids
        if not tokens or all(token == unknown for token in tokens):
            raise refuse(
                f"Phrase {phrase_id} of the vocabulary ({quoted(phrase)}) has no word that the text encoder knows, so "
                "nothing could be told from anything else. Say it in English."
            )
        if len(tokens) + 3 > max_tokens:
            raise refuse(
                f"Phrase {phrase_id} of the vocabulary has {len(tokens)} tokens; the text encoder reads at most "
                f"{max_tokens - 3} a phrase. Shorten it."
            )
        if len(ids) + len(tokens) + 2 > max_tokens:
            result.append(_caption([*ids, sep], spans))
            ids, spans = [cls], []
        spans.append(Span(phrase_id, len(ids), len(ids) + len(tokens)))
        ids += [*tokens, stop]
    result.append(_caption([*ids, sep], spans))
    return tuple(result)


def _caption(ids: list[int], spans: list[Span]) -> Caption:
    return Caption(np.asarray(ids, np.int64), tuple(spans))


def _id_of(tokenizer: Tokenizer, token: str) -> int:
    token_id = tokenizer.token_to_id(token)
    if token_id is None:
        raise ValueError(f"the tokeniser beside vocabulary_encoder has no {token}; export it again")
    return token_id
