"""The five models of the pipeline, played by a few lines of arithmetic.

They take and give only what the configurations declare, so that who is tested with them is held to those as well.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from categories import DEFAULT_VOCABULARY
from fashioncrop.model_repository import PIPELINE, read_config, shipped_repository
from identity import ENGINES, TEXT_EMBEDDER

Tensors = dict[str, NDArray[Any]]

ENCODER, DETECTOR, DEPTH, EMBEDDER = ENGINES
WIDTH = 512
UNKNOWN = "[UNK]"
START_OF_TEXT, END_OF_TEXT = "<|startoftext|>", "<|endoftext|>"
WORDS = ["[PAD]", UNKNOWN, "[CLS]", "[SEP]", ".", "red", "blue", *(f"word{index}" for index in range(120))]
WORDS += sorted({word for phrase in DEFAULT_VOCABULARY for word in phrase.split()})
EVERYTHING = frozenset(output.name for output in read_config(shipped_repository(), PIPELINE).output)

RED_BOX, BLUE_BOX = (10, 10, 50, 70), (60, 20, 90, 60)
"""Where the photo is red and blue, in pixels of 100 x 80."""


def numpy_type(data_type: int) -> np.dtype[Any]:
    from tritonclient.grpc import model_config_pb2  # noqa: PLC0415 - only the protobuf's names

    names = {"STRING": np.object_, "FP32": np.float32, "BOOL": np.bool_}
    name = model_config_pb2.DataType.Name(data_type).removeprefix("TYPE_")
    return np.dtype(names.get(name, name.lower()))


def assert_declared(model: str, kind: str, tensors: Mapping[str, NDArray[Any]]) -> None:
    config = read_config(shipped_repository(), model)
    declared = {entry.name: entry for entry in getattr(config, kind)}
    for name, array in tensors.items():
        dims = list(declared[name].dims)
        shape = list(array.shape)
        if config.max_batch_size:
            assert 1 <= shape[0] <= config.max_batch_size, (model, name, shape)
            shape = shape[1:]
        assert array.dtype == numpy_type(declared[name].data_type), (model, name)
        assert len(dims) == len(shape), (model, name, shape)
        assert all(dim in (-1, side) for dim, side in zip(dims, shape, strict=True)), (model, name, shape)


class FakeModels:
    """Answers for the models and remembers the calls.

    The detector finds each word of `finds` in its box (pixels of 100 x 80) with its logit, where the caption has the
    word; depth grows from left to right; an embedding begins with the crop's mean colour, a text's with its ids.
    """

    def __init__(self, finds: dict[str, tuple[tuple[float, float, float, float], float]]) -> None:
        self.finds = finds
        self.calls: list[tuple[str, Tensors]] = []
        self.before: dict[str, Callable[[], None]] = {}
        self._lock = threading.Lock()

    def __call__(self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: tuple[str, ...]) -> Tensors:
        with self._lock:
            self.calls.append((model, dict(inputs)))
        assert_declared(model, "input", inputs)
        assert set(inputs) == {entry.name for entry in read_config(shipped_repository(), model).input}
        self.before.get(model, lambda: None)()
        answers = {ENCODER: self._encode, DETECTOR: self._detect, DEPTH: self._depth, EMBEDDER: self._embed}
        answers[TEXT_EMBEDDER] = self._embed_text
        answer = answers[model](inputs)
        assert_declared(model, "output", answer)
        return {name: answer[name] for name in outputs}

    @property
    def called(self) -> list[str]:
        return sorted(model for model, _ in self.calls)

    def inputs_of(self, model: str) -> list[Tensors]:
        return [inputs for one, inputs in self.calls if one == model]

    @staticmethod
    def _encode(inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        ids = inputs["input_ids"]
        tokens = ids.shape[1]
        features = np.zeros((1, tokens, 256), np.float32)
        features[..., 0] = ids
        return {
            "text_features": features,
            "text_mask": np.ones((1, tokens), np.bool_),
            "text_self_attention_mask": np.eye(tokens, dtype=np.bool_)[None],
            "position_ids": np.zeros((1, tokens), np.int64),
        }

    def _detect(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        ids = inputs["text_features"][0, :, 0]
        logits = np.full((1, max(len(self.finds), 1), len(ids)), -20, np.float32)
        boxes = np.full((1, logits.shape[1], 4), 0.5, np.float32)
        for query, (word, ((x0, y0, x1, y1), logit)) in enumerate(self.finds.items()):
            logits[0, query, ids == WORDS.index(word)] = logit
            boxes[0, query] = [(x0 + x1) / 200, (y0 + y1) / 160, (x1 - x0) / 100, (y1 - y0) / 80]
        return {"logits": logits, "boxes_cxcywh": boxes}

    @staticmethod
    def _depth(inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        _, height, width, _ = inputs["image"].shape
        return {"depth": np.tile(np.linspace(0, 10, width, dtype=np.float32), (1, height, 1))}

    @staticmethod
    def _embed(inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        embedding = np.zeros((len(inputs["image"]), WIDTH), np.float32)
        embedding[:, :3] = inputs["image"].mean(axis=(1, 2))
        return {"embedding": embedding}

    @staticmethod
    def _embed_text(inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        ids = inputs["input_ids"]
        embedding = np.zeros((len(ids), WIDTH), np.float32)
        embedding[:, : ids.shape[1]] = ids
        return {"embedding": embedding}


PREPROCESSING = {
    ENCODER: {"tokenizer": "tokenizer.json", "max_tokens": 256},
    DETECTOR: {"shortest_edge": 64, "longest_edge": 120, "resample": "bilinear"},
    DEPTH: {"height": 56, "width": 56, "keep_aspect_ratio": True, "multiple_of": 14, "resample": "bicubic"},
    EMBEDDER: {"shortest_edge": 224, "crop_hw": [224, 224], "resample": "bicubic"},
    TEXT_EMBEDDER: {"tokenizer": "tokenizer.json", "max_tokens": 8},
}


def save_sentence_tokenizer(folder: Path) -> None:
    """CLIP's start and end around words, which are numbered as in `WORDS`."""
    ends = {START_OF_TEXT: len(WORDS), END_OF_TEXT: len(WORDS) + 1}
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)} | ends, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START_OF_TEXT} $A {END_OF_TEXT}", special_tokens=list(ends.items())
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def write_engine(repository: Path, role: str, **changes: Any) -> None:  # noqa: ANN401 - JSON
    folder = repository / role / "1"
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "role": role,
        "name": f"someone/{role}",
        "version": "abc",
        "digest": f"sha256:{role}",
        "source": "full",
        "trained": True,
        "preprocessing": PREPROCESSING[role],
    }
    (folder / "model.json").write_text(json.dumps(about | changes), encoding="utf-8")
