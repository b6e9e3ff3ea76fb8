"""A typical request for each model, made from a photo as the pipeline would make it."""

from __future__ import annotations

import base64
import json
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

import pipeline_code  # noqa: F401 - makes the pipeline's modules known
import resizing
from categories import DEFAULT_VOCABULARY
from fashioncrop._channel import channel_args
from fashioncrop.errors import ServerFaultError
from fashioncrop.model_repository import Role
from identity import read_engine
from photo import Limits, decode_photo
from sample_photos import SamplePhoto
from text_embedding import TextTokenizer, tokenizer_in
from vocabulary import captions, normalised

Inputs = Mapping[str, NDArray[Any]]
"""A request's tensors; with a batch axis of 1 where the model has one."""

_LIMITS = Limits(max_bytes=2**26, max_pixels=64_000_000)
_SENTENCE = "a red checked shirt with short sleeves"
_TEXT_OUTPUTS = ("text_features", "text_mask", "text_self_attention_mask", "position_ids")


class Asked:
    """Asks models over gRPC with plain tensors.

    Args:
        url: `host:port`.
    """

    def __init__(self, url: str) -> None:
        self._client = triton.InferenceServerClient(url, channel_args=channel_args(url))

    def ask(self, model: str, inputs: Inputs, outputs: tuple[str, ...] = ()) -> dict[str, NDArray[Any]]:
        """The named outputs.

        Raises:
            ServerFaultError: the model does not answer.
        """
        tensors = []
        for name, array in inputs.items():
            datatype = "BYTES" if array.dtype == np.object_ else np_to_triton_dtype(array.dtype)
            tensor = triton.InferInput(name, list(array.shape), datatype)
            tensor.set_data_from_numpy(array)
            tensors.append(tensor)
        try:
            answer = self._client.infer(model, tensors)
        except InferenceServerException as error:
            raise ServerFaultError(f"The model {model} does not answer: {error.message()}") from error
        return {name: answer.as_numpy(name) for name in outputs}

    def seconds(self, model: str, inputs: Inputs) -> float:
        """How long an answer takes, when it is not the first."""
        self.ask(model, inputs)
        start_s = time.perf_counter()
        self.ask(model, inputs)
        return time.perf_counter() - start_s

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def model_inputs(repository: Path, photo: SamplePhoto, server: Asked) -> dict[Role, Inputs]:
    """A request for each model: the photo at that model's size, the default vocabulary, a sentence.

    Args:
        repository: has the engines and what export wrote beside them.
        photo: any.
        server: serves them; vocabulary_encoder is asked for what garment_detector takes.
    """
    image = decode_photo(photo.data, _LIMITS).image
    rules = {
        role: read_engine(repository, role).preprocessing
        for role in (Role.VOCABULARY_ENCODER, Role.GARMENT_DETECTOR, Role.DEPTH_ESTIMATOR, Role.IMAGE_EMBEDDER)
    }
    encoder = read_engine(repository, Role.VOCABULARY_ENCODER)
    phrases = normalised(DEFAULT_VOCABULARY, max_phrases=len(DEFAULT_VOCABULARY))
    tokenizer = Tokenizer.from_file(str(encoder.folder / encoder.preprocessing["tokenizer"]))
    text = {
        "input_ids": captions(phrases, tokenizer, max_tokens=encoder.preprocessing["max_tokens"])[0].input_ids[None]
    }
    detector, depth = rules[Role.GARMENT_DETECTOR], rules[Role.DEPTH_ESTIMATOR]
    return {
        Role.VOCABULARY_ENCODER: text,
        Role.GARMENT_DETECTOR: {
            "image": resizing.resized(image, resizing.detector_size_hw(image.size, detector), detector)[None],
            **server.ask(Role.VOCABULARY_ENCODER, text, _TEXT_OUTPUTS),
        },
        Role.DEPTH_ESTIMATOR: {
            "image": resizing.resized(image, resizing.depth_size_hw(image.size, depth), depth)[None]
        },
        Role.IMAGE_EMBEDDER: {"image": resizing.embedder_input(image, rules[Role.IMAGE_EMBEDDER])[None]},
        Role.TEXT_EMBEDDER: {"input_ids": TextTokenizer(tokenizer_in(repository)).ids([_SENTENCE])},
    }


def photo_inputs(photo: SamplePhoto) -> tuple[Inputs, Inputs]:
    """The same photo as its file and as its pixels, without a batch axis."""
    encoded = np.empty(1, np.object_)
    encoded[0] = photo.data
    return {"image": encoded}, {"image": np.asarray(decode_photo(photo.data, _LIMITS).image)}


def write_inputs(path: Path, inputs: Inputs, *, is_batched: bool) -> None:
    """A request as perf_analyzer reads it: every tensor's bytes in base64.

    Args:
        path: the file.
        inputs: the tensors.
        is_batched: whether they begin with a batch axis, which perf_analyzer adds itself.
    """
    tensors = {
        name: {
            "content": {"b64": base64.b64encode(_wire(array)).decode()},
            "shape": list(array.shape[1:] if is_batched else array.shape),
        }
        for name, array in inputs.items()
    }
    path.write_text(json.dumps({"data": [tensors]}), encoding="utf-8")


def _wire(array: NDArray[Any]) -> bytes:
    """As it travels: BYTES elements each behind its length."""
    if array.dtype == np.object_:
        return b"".join(struct.pack("<I", len(value)) + value for value in array.reshape(-1))
    return np.ascontiguousarray(array).tobytes()
