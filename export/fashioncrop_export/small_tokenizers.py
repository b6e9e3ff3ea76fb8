"""Tokenisers for models with random weights: made here, because the published vocabularies come from a hub.

They split text as the published ones do, only into smaller pieces: every ASCII text has ids, words of fashion are one
token, and the ids that the models know by number are where they belong.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel
from transformers import BertTokenizer, CLIPTokenizer

_WORDS = (
    # The words of Fashionpedia's 27 main categories ...
    *("shirt", "blouse", "top", "t", "sweatshirt", "sweater", "cardigan", "jacket", "vest", "pants", "shorts"),
    *("skirt", "coat", "dress", "jumpsuit", "cape", "glasses", "hat", "headband", "head", "covering", "hair"),
    *("accessory", "tie", "glove", "watch", "belt", "leg", "warmer", "tights", "stockings", "sock", "shoe", "bag"),
    *("wallet", "scarf", "umbrella"),
    # ... and what people write around them.
    *("a", "an", "and", "in", "of", "the", "with", "photo", "person", "man", "woman", "garment", "red", "blue"),
    *("green", "yellow", "black", "white", "grey", "brown", "pink", "orange", "purple", "beige", "striped", "plain"),
    *("leather", "wool", "cotton", "denim", "silk", "long", "short", "sleeve", "jeans", "boot", "sneaker"),
)
# https://huggingface.co/google-bert/bert-base-uncased: the ids that GroundingDINO and BERT know by number.
_FIRST_ASCII_ID = 999
_BERT_SPECIAL_IDS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
# Printable ASCII without the space and the capitals, in BERT's own order, so that "." is 1012 and "?" is 1029.
_ASCII = [chr(code) for code in range(ord("!"), ord("~") + 1) if not chr(code).isupper()]
_CLIP_SPECIAL_IDS = {"<|startoftext|>": 49406, "<|endoftext|>": 49407}
_CLIP_MAX_TOKENS = 77


def save_wordpiece(folder: Path, *, max_tokens: int, words: Sequence[str] = _WORDS) -> None:
    """BERT's lower-case WordPiece with a vocabulary of ASCII and these words, in their order after the ASCII."""
    vocabulary = {f"[unused{index}]": index for index in range(_FIRST_ASCII_ID)}
    for token, index in _BERT_SPECIAL_IDS.items():
        del vocabulary[f"[unused{index}]"]
        vocabulary[token] = index
    pieces = [*_ASCII, *(f"##{character}" for character in _ASCII), *(word for word in words if len(word) > 1)]
    vocabulary |= {piece: _FIRST_ASCII_ID + index for index, piece in enumerate(pieces)}
    vocabulary = dict(sorted(vocabulary.items(), key=lambda entry: entry[1]))
    BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=max_tokens).save_pretrained(folder)


def save_byte_pairs(
    folder: Path, *, words: Sequence[str] = _WORDS, max_tokens: int = _CLIP_MAX_TOKENS, compact: bool = False
) -> None:
    """CLIP's lower-case byte-level pairs: 256 bytes, the same at a word's end, and merges that make these words.

    Args:
        folder: to write into.
        words: one token each.
        max_tokens: of a text, its start and end counted.
        compact: give start and end of a text the next free ids, not those of the published tokeniser.
    """
    characters = sorted(ByteLevel.alphabet())
    vocabulary = {piece: index for index, piece in enumerate([*characters, *(f"{each}</w>" for each in characters)])}
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            # Merges apply in the order in which they were learned, so an earlier word's come first here too.
            pair = next((each for each in merges if each in set(pairwise(pieces))), (pieces[0], pieces[1]))
            place = list(pairwise(pieces)).index(pair)
            pieces[place : place + 2] = ["".join(pair)]
            merges[pair] = None
            vocabulary.setdefault(pieces[place], len(vocabulary))
    ends = {token: len(vocabulary) + index for index, token in enumerate(_CLIP_SPECIAL_IDS)}
    vocabulary |= ends if compact else _CLIP_SPECIAL_IDS
    pairs: Any = list(merges)  # the annotation says strings, the library takes tuples
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=pairs, model_max_length=max_tokens)
    tokenizer.save_pretrained(folder)
