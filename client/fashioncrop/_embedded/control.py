"""The supervisor's own talk with the server: is it live, load and reload models, ask each for a real answer."""

from __future__ import annotations

import io
from collections.abc import Callable
from enum import Enum, auto

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from PIL import Image
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from fashioncrop._channel import channel_args, is_overload
from fashioncrop.model_repository import PIPELINE, Role

_LOAD_TIMEOUT_S = 300


TritonError = InferenceServerException
"""What any call here may raise that does not say otherwise."""


class Health(Enum):
    """What a real inference tells of a model."""

    WELL = auto()
    DEAD = auto()
    BUSY = auto()


class Control:
    """A gRPC connection for model control and probes."""

    def __init__(self, grpc_url: str, server_id: str) -> None:
        self._client = triton.InferenceServerClient(grpc_url, channel_args=channel_args(grpc_url))
        self._server_id = server_id

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def is_live(self) -> bool:
        """Does the server answer, and not another at its port?"""
        try:
            return bool(self._client.get_server_metadata(client_timeout=1).name == self._server_id)
        except InferenceServerException:
            return False

    def load(self, model: str) -> str | None:
        """Load or reload a model; None, or the server's words on why it could not."""
        try:
            self._client.load_model(model, client_timeout=_LOAD_TIMEOUT_S)
        except InferenceServerException as error:
            return str(error.message())
        return None

    def unload(self, model: str, timeout_s: float) -> str | None:
        """Unload a model; None, or the server's words on why it could not."""
        try:
            self._client.unload_model(model, client_timeout=timeout_s)
        except InferenceServerException as error:
            return str(error.message())
        return None

    def unloaded(self) -> frozenset[str]:
        """Models that somebody told the server to unload; none where nobody can say."""
        try:
            index = self._client.get_model_repository_index(client_timeout=2)
        except InferenceServerException:
            return frozenset()
        return frozenset(one.name for one in index.models if one.state == "UNLOADING" or one.reason == "unloaded")

    def is_ready(self, model: str) -> bool:
        """Does the server call the model ready?"""
        try:
            return bool(self._client.is_model_ready(model, client_timeout=2))
        except InferenceServerException:
            return False

    def answered(self) -> int | None:
        """How many requests all models have ended, well or not; None where nobody can say.

        All of them, because the pipeline ends nothing while it waits for others on a long vocabulary.
        """
        try:
            answer = self._client.get_inference_statistics(client_timeout=2)
        except InferenceServerException:
            return None
        return int(
            sum(one.inference_stats.success.count + one.inference_stats.fail.count for one in answer.model_stats)
        )

    def probe(self, model: str, timeout_s: float) -> tuple[Health, str]:
        """Ask the model for a real, small answer. A model that takes too long may only be busy."""
        try:
            inputs, outputs = _PROBES[model]()
            self._client.infer(model, inputs, outputs=outputs, client_timeout=timeout_s)
        except InferenceServerException as error:
            words = str(error.message())
            if is_overload(words):
                return Health.WELL, ""  # it turns requests away, which a dead one does not
            late = "DEADLINE_EXCEEDED" in str(error.status())
            return (Health.BUSY if late else Health.DEAD), words
        return Health.WELL, ""


_Probe = tuple[list[triton.InferInput], list[triton.InferRequestedOutput]]


def _probe(inputs: dict[str, NDArray[np.generic]], output: str) -> _Probe:
    tensors = []
    for name, array in inputs.items():
        tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    return tensors, [triton.InferRequestedOutput(output)]


def _pipeline_probe() -> _Probe:
    """Decodes a photo and asks no other model, so that only the pipeline's own health shows."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    photo = np.empty(1, np.object_)
    photo[0] = file.getvalue()
    phrase = np.empty(1, np.object_)
    phrase[0] = b"probe"
    boxes = np.asarray([[0, 0, 8, 8]], np.float32)
    return _probe({"image": photo, "boxes_xyxy": boxes, "box_phrases": phrase}, "scores")


def _detector_probe() -> _Probe:
    tokens = 3
    return _probe(
        {
            "image": np.zeros((1, 64, 64, 3), np.uint8),
            "text_features": np.zeros((1, tokens, 256), np.float32),
            "text_mask": np.ones((1, tokens), np.bool_),
            "text_self_attention_mask": np.eye(tokens, dtype=np.bool_)[None],
            "position_ids": np.zeros((1, tokens), np.int64),
        },
        "boxes_cxcywh",
    )


_PROBES: dict[str, Callable[[], _Probe]] = {
    Role.VOCABULARY_ENCODER: lambda: _probe({"input_ids": np.asarray([[101, 1012, 102]])}, "text_features"),
    Role.GARMENT_DETECTOR: _detector_probe,
    Role.IMAGE_EMBEDDER: lambda: _probe({"image": np.zeros((1, 224, 224, 3), np.uint8)}, "embedding"),
    Role.TEXT_EMBEDDER: lambda: _probe({"input_ids": np.asarray([[0, 1]])}, "embedding"),
    Role.DEPTH_ESTIMATOR: lambda: _probe({"image": np.zeros((1, 28, 28, 3), np.uint8)}, "depth"),
    PIPELINE: _pipeline_probe,
}
