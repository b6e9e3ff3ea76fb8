"""Checkpoints with random weights look like published ones to everything that reads them, and hide nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tokenizers import Tokenizer
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoModelForDepthEstimation,
    AutoModelForZeroShotObjectDetection,
    AutoProcessor,
    AutoTokenizer,
)
from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

from fashioncrop.model_repository import Role, engine_folder
from fashioncrop_export.captions import token_ids
from fashioncrop_export.checkpoints import Family, directory_checkpoint
from fashioncrop_export.graph_plan import noise_image
from fashioncrop_export.originals import tokenizer_of
from fashioncrop_export.quiet import quiet_transformers
from fashioncrop_export.random_weights import make_checkpoint
from fashioncrop_export.sources import find_checkpoint

pytestmark = pytest.mark.export

Engine = Callable[[Role], onnxruntime.InferenceSession]
GARMENTS = [
    "shirt",
    "blouse",
    "jacket",
    "pants",
    "skirt",
    "coat",
    "dress",
    "hat",
    "tie",
    "glove",
    "belt",
    "shoe",
    "bag",
]


@pytest.mark.parametrize(
    ("family", "loader"),
    [
        (Family.GROUNDING_DINO, AutoModelForZeroShotObjectDetection),
        (Family.CLIP, AutoModel),
        (Family.DEPTH_ANYTHING, AutoModelForDepthEstimation),
    ],
)
def test_transformers_own_loaders_take_the_folder(checkpoints: Path, family: Family, loader: type[Any]) -> None:
    folder = checkpoints / family
    photo = Image.new("RGB", (300, 200))
    with quiet_transformers():
        _, report = loader.from_pretrained(folder, output_loading_info=True)
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        processor: Any = AutoImageProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
        assert processor(images=photo, return_tensors="np")["pixel_values"].shape[:2] == (1, 3)
        if family is Family.DEPTH_ANYTHING:
            return
        both: Any = AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
        tokenizer = AutoTokenizer.from_pretrained(folder)
        encoded = both(images=photo, text="a red skirt.", return_tensors="np")
        assert encoded["input_ids"].tolist() == [tokenizer("a red skirt.").input_ids]


def test_the_numbers_that_models_know_are_where_they_belong(wordpiece: Tokenizer, checkpoints: Path) -> None:
    tokens = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, "!": 999, ".": 1012, "?": 1029}
    assert {token: wordpiece.token_to_id(token) for token in tokens} == tokens
    byte_pairs = tokenizer_of(directory_checkpoint(checkpoints, Family.CLIP))
    assert byte_pairs.token_to_id("<|startoftext|>") == 49406
    assert byte_pairs.token_to_id("<|endoftext|>") == 49407


@pytest.fixture(scope="module")
def python_bert(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> BertTokenizerLegacy:
    """BERT's original tokeniser in Python, on the same vocabulary."""
    content = json.loads((checkpoints / Family.GROUNDING_DINO / "tokenizer.json").read_text())
    vocabulary = sorted(content["model"]["vocab"], key=content["model"]["vocab"].__getitem__)
    path = tmp_path_factory.mktemp("bert") / "vocab.txt"
    path.write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    return BertTokenizerLegacy(str(path))  # type: ignore[no-untyped-call]


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(max_codepoint=0x24F), max_size=40))
def test_latin_text_is_split_as_bert_splits_it(
    wordpiece: Tokenizer, python_bert: BertTokenizerLegacy, text: str
) -> None:
    for each in (text, f"A Red-ish SKIRT, {text} t-shirt."):
        assert wordpiece.encode(each).ids == python_bert(each).input_ids


def test_garments_are_one_token_and_any_ascii_has_tokens(wordpiece: Tokenizer, checkpoints: Path) -> None:
    byte_pairs = tokenizer_of(directory_checkpoint(checkpoints, Family.CLIP))
    for word in GARMENTS:
        assert len(wordpiece.encode(word).ids) == 3, word
        assert len(byte_pairs.encode(word).ids) == 3, word
        assert len(byte_pairs.encode(f"a {word.upper()}").ids) == 4, word
    printable = "".join(map(chr, range(32, 127)))
    assert 100 not in wordpiece.encode(printable).ids
    assert byte_pairs.encode(f"{printable} é").ids.count(49407) == 1


def test_scores_and_boxes_are_spread(engine: Engine, tiny_repository: Path) -> None:
    tokenizer = Tokenizer.from_file(str(engine_folder(tiny_repository, Role.VOCABULARY_ENCODER) / "tokenizer.json"))
    ids = token_ids(tokenizer, [". ".join(GARMENTS) + "."])
    text = engine(Role.VOCABULARY_ENCODER).run(None, {"input_ids": ids})
    names = ["text_features", "text_mask", "text_self_attention_mask", "position_ids"]
    for seed in range(3):
        feed = {"image": noise_image((1, 224, 300), seed=seed), **dict(zip(names, text, strict=True))}
        logits, boxes = engine(Role.GARMENT_DETECTOR).run(["logits", "boxes_cxcywh"], feed)
        # Each garment is one token: 1, 3, 5 ...
        scores = 1 / (1 + np.exp(-logits[0, :, 1:-1:2]))
        found = scores.max(axis=1) > 0.35
        assert 5 <= found.sum() <= 60
        assert len(set(scores.argmax(axis=1)[found])) >= 5
        centres, sides = boxes[0, found, :2], boxes[0, found, 2:]
        assert (centres.std(axis=0) > 0.1).all()
        assert (sides > 0.02).all()
        assert sides.std() > 0.01


def test_the_same_seed_gives_the_same_weights(checkpoints: Path, tmp_path: Path) -> None:
    for family in Family:
        make_checkpoint("tiny", family, tmp_path / family, recipe="again")
        again, before = directory_checkpoint(tmp_path, family), directory_checkpoint(checkpoints, family)
        assert again.digests["model.safetensors"] == before.digests["model.safetensors"]


def test_a_folder_made_by_other_code_is_made_again(checkpoints: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny" / Family.CLIP
    shutil.copytree(checkpoints / Family.CLIP, folder)
    changed = (folder / "model.safetensors").stat().st_mtime_ns
    find_checkpoint("tiny", Family.CLIP, tmp_path, {})
    assert (folder / "model.safetensors").stat().st_mtime_ns == changed
    marker = json.loads((folder / "fashioncrop.json").read_text())
    (folder / "fashioncrop.json").write_text(json.dumps({**marker, "recipe": "older"}))
    find_checkpoint("tiny", Family.CLIP, tmp_path, {})
    assert (folder / "model.safetensors").stat().st_mtime_ns != changed
    assert json.loads((folder / "fashioncrop.json").read_text()) == marker
