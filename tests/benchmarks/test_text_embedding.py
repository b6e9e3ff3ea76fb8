from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from fashioncrop.errors import ModelFileError
from text_embedding import TextTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = {"red": 0, "striped": 1, "skirt": 2, START: 3, END: 4}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(WordLevel(VOCABULARY, unk_token="red"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single=f"{START} $A {END}", special_tokens=[(START, 3), (END, 4)])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_texts_are_padded_with_their_end(file: Path) -> None:
    ids = TextTokenizer(file).ids(["red striped skirt", "skirt"])
    assert ids.dtype == "int64"
    assert ids.tolist() == [[3, 0, 1, 2, 4], [3, 2, 4, 4, 4]]


def test_the_engines_own_length_is_kept(file: Path) -> None:
    file.with_name("model.json").write_text(json.dumps({"preprocessing": {"max_tokens": 4}}))
    assert TextTokenizer(file).ids(["red striped skirt", "skirt"]).tolist() == [[3, 0, 1, 4], [3, 2, 4, 4]]


def test_without_model_json_it_is_clips(file: Path) -> None:
    assert TextTokenizer(file).ids(["red " * 100]).shape == (1, 77)


def test_what_is_no_tokeniser_is_named(file: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read: No such file"):
        TextTokenizer(file.with_name("missing.json"))
    file.with_name("model.json").write_text("{}")
    with pytest.raises(ModelFileError, match=r"does not say preprocessing\.max_tokens"):
        TextTokenizer(file)
    file.write_text(file.read_text().replace(END, "<end>"))
    with pytest.raises(ModelFileError, match=r"has no <\|endoftext\|>"):
        TextTokenizer(file)
    file.write_text("{}")
    with pytest.raises(ModelFileError, match=r"is not a tokenizer\.json"):
        TextTokenizer(file)
