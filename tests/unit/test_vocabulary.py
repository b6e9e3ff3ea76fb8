from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from problems import ProblemError
from vocabulary import captions, normalised

CLS, SEP, STOP, UNKNOWN = 101, 102, 1012, 100


class WordTokenizer:
    """A token a word, so that spans can be counted by hand."""

    class Encoded:
        def __init__(self, ids: list[int]) -> None:
            self.ids = ids

    def encode(self, sequence: str, *, add_special_tokens: bool = True) -> Encoded:
        assert not add_special_tokens
        return self.Encoded([UNKNOWN if not word.isascii() else 2000 + len(word) for word in sequence.split()])

    def token_to_id(self, token: str) -> int | None:
        return {"[CLS]": CLS, "[SEP]": SEP, ".": STOP, "[UNK]": UNKNOWN}.get(token)


def test_spans_hold_a_phrases_own_tokens() -> None:
    (caption,) = captions(["red shirt", "hat"], WordTokenizer(), max_tokens=256)
    assert caption.input_ids.tolist() == [CLS, 2003, 2005, STOP, 2003, STOP, SEP]
    assert [(span.phrase_id, span.start, span.stop) for span in caption.spans] == [(0, 1, 3), (1, 4, 5)]
    assert caption.input_ids.dtype == np.int64


@given(
    phrases=st.lists(
        st.lists(st.text("abcdefgh", min_size=1, max_size=8), min_size=1, max_size=6).map(" ".join),
        min_size=1,
        max_size=80,
    ),
    max_tokens=st.integers(9, 40),
)
def test_every_phrase_is_in_exactly_one_caption_and_no_caption_is_too_long(phrases: list[str], max_tokens: int) -> None:
    packed = captions(phrases, WordTokenizer(), max_tokens=max_tokens)
    seen = []
    for caption in packed:
        ids = caption.input_ids.tolist()
        assert len(ids) <= max_tokens
        assert ids[0] == CLS
        assert ids[-1] == SEP
        for span in caption.spans:
            seen.append(phrases[span.phrase_id])
            assert ids[span.start : span.stop] == [2000 + len(word) for word in phrases[span.phrase_id].split()]
            assert ids[span.stop] == STOP
    assert seen == list(dict.fromkeys(phrases)), "each once, in order"


def test_a_repeated_phrase_keeps_its_first_index() -> None:
    (caption,) = captions(["hat", "shirt", "hat"], WordTokenizer(), max_tokens=256)
    assert [span.phrase_id for span in caption.spans] == [0, 1]


def test_case_space_and_closing_stop_do_not_matter() -> None:
    assert normalised(["  Red\tSHIRT. ", "hat?"], max_phrases=9) == ("red shirt", "hat")


@pytest.mark.parametrize(
    ("phrases", "words"),
    [
        ([], "vocabulary is empty"),
        (["hat", "  "], "Phrase 1 .* is empty"),
        (["."], "Phrase 0 .* is empty"),
        (["shirt. pants"], "end a phrase"),
        (["what? hat"], "end a phrase"),
        (["hat"] * 10, "at most 9"),
    ],
)
def test_a_bad_vocabulary_is_refused_in_a_sentence(phrases: list[str], words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        normalised(phrases, max_phrases=9)


def test_a_phrase_of_unknown_words_only_is_refused() -> None:
    with pytest.raises(ProblemError, match="no word that the text encoder knows"):
        captions(["hat", "치마"], WordTokenizer(), max_tokens=256)
    (caption,) = captions(["치마 skirt"], WordTokenizer(), max_tokens=256)
    assert len(caption.spans) == 1


def test_a_phrase_longer_than_the_encoder_reads_is_refused() -> None:
    captions([" ".join(["word"] * 253)], WordTokenizer(), max_tokens=256)
    with pytest.raises(ProblemError, match="254 tokens"):
        captions([" ".join(["word"] * 254)], WordTokenizer(), max_tokens=256)
