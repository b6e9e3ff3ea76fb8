"""The words that the small text encoders have whole; any other word is spelled."""

from __future__ import annotations

from fashioncrop_paperdoll.palette import COLOURS, PATTERNS
from fashioncrop_paperdoll.training.prompts import DEFAULT_VOCABULARY, SYNONYMS

_PHRASES = (
    *SYNONYMS,
    *(synonym for synonyms in SYNONYMS.values() for synonym in synonyms),
    *DEFAULT_VOCABULARY,
    *COLOURS,
    *PATTERNS,
    *(
        "a photo of a person wearing an",
        "the and with in",
        "man woman garment clothes clothing",
        "gray spotted plaid solid",
    ),
)
WORDS = tuple(dict.fromkeys(word for phrase in _PHRASES for word in phrase.replace("-", " ").split() if len(word) > 1))

FIRST_WORDPIECE_ID = 999 + 2 * 68
"""BERT's ids up to 1029 ("?") are fixed, and every ASCII character comes twice: see small_tokenizers."""
WORDPIECES = FIRST_WORDPIECE_ID + len(WORDS)
