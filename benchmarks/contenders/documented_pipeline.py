"""The pipeline as Triton's documentation writes business logic: `async def execute`, and `async_exec` for each model.

The same modules do the same work; only who waits for whom differs. The benchmark puts this file as `1/model.py` beside
copies of the pipeline's modules into a temporary model repository.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray
from tokenizers import Tokenizer

import resizing
from categories import DEFAULT_VOCABULARY
from contenders.garments import crop_boxes, cut_out, garments_of
from crops import jpeg
from depths import over_photo
from detections import Detections, from_queries, selected
from identity import ENGINES, read_engine
from options import Options, read_options
from photo import Limits, Photo, decode_photo
from problems import ProblemError
from vocabulary import captions, normalised

_EMBEDDER = "image_embedder"
_EMBED_BATCH = 16
_EMBEDDING_WIDTH = 512
_TEXT_OUTPUTS = ("text_features", "text_mask", "text_self_attention_mask", "position_ids")


class TritonPythonModel:
    """The name that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the configuration and what export wrote beside the engines."""
        parameters = {
            key: value["string_value"] for key, value in json.loads(args["model_config"])["parameters"].items()
        }
        self._limits = Limits(int(parameters["max_image_bytes"]), int(parameters["max_image_pixels"]))
        engines = {role: read_engine(Path(args["model_repository"]).parent, role) for role in ENGINES}
        self._preprocessing = {role: engine.preprocessing for role, engine in engines.items()}
        encoder = engines["vocabulary_encoder"]
        tokenizer = Tokenizer.from_file(str(encoder.folder / encoder.preprocessing["tokenizer"]))
        phrases = normalised(DEFAULT_VOCABULARY, max_phrases=len(DEFAULT_VOCABULARY))
        (self._caption,) = captions(phrases, tokenizer, max_tokens=encoder.preprocessing["max_tokens"])
        self._text: Mapping[str, NDArray[Any]] | None = None  # kept, as the pipeline keeps it

    async def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests of one call; Triton makes the next call when this one has returned."""
        return list(await asyncio.gather(*(self._respond(request) for request in requests)))

    async def _respond(self, request: Any) -> Any:  # noqa: ANN401 - pb_utils types are not published
        try:
            tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            answer = await self._answer(tensors["image"].reshape(-1)[0], read_options(tensors))
        except ProblemError as problem:
            code = getattr(pb_utils.TritonError, problem.code)
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(problem.sentence, code))
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in answer.items()])

    async def _answer(self, data: bytes, options: Options) -> dict[str, NDArray[Any]]:
        photo = decode_photo(data, self._limits)
        found, depth = await asyncio.gather(self._detect(photo, options), self._depth(photo))
        images = cut_out(photo, crop_boxes(photo, found))
        embeddings = await self._embed([resizing.embedder_input(one, self._preprocessing[_EMBEDDER]) for one in images])
        width, height = photo.size_wh
        about = {
            "photo": {"width": width, "height": height, "format": photo.format},
            "garments": garments_of(photo, found, DEFAULT_VOCABULARY, over_photo(depth, photo.size_wh)),
        }
        return {
            "analysis": _objects([json.dumps(about).encode()]),
            "crops": _objects([jpeg(image) for image in images]),
            "embeddings": embeddings,
        }

    async def _detect(self, photo: Photo, options: Options) -> Detections:
        if self._text is None:
            self._text = await _ask("vocabulary_encoder", {"input_ids": self._caption.input_ids[None]}, _TEXT_OUTPUTS)
        rule = self._preprocessing["garment_detector"]
        pixels = resizing.resized(photo.image, resizing.detector_size_hw(photo.size_wh, rule), rule)[None]
        answer = await _ask("garment_detector", {"image": pixels, **self._text}, ("logits", "boxes_cxcywh"))
        return selected(
            from_queries(answer["logits"][0], answer["boxes_cxcywh"][0], self._caption.spans, photo.size_wh),
            score_threshold=options.score_threshold,
            iou_threshold=options.iou_threshold,
            max_garments=options.max_garments,
        )

    async def _depth(self, photo: Photo) -> NDArray[np.float32]:
        rule = self._preprocessing["depth_estimator"]
        pixels = resizing.resized(photo.image, resizing.depth_size_hw(photo.size_wh, rule), rule)[None]
        depth: NDArray[np.float32] = (await _ask("depth_estimator", {"image": pixels}, ("depth",)))["depth"][0]
        return depth

    async def _embed(self, inputs: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if not inputs:
            return np.zeros((0, _EMBEDDING_WIDTH), np.float32)
        batches = [np.stack(inputs[start : start + _EMBED_BATCH]) for start in range(0, len(inputs), _EMBED_BATCH)]
        answers = await asyncio.gather(*(_ask(_EMBEDDER, {"image": batch}, ("embedding",)) for batch in batches))
        return np.concatenate([answer["embedding"] for answer in answers])


async def _ask(model: str, inputs: Mapping[str, NDArray[Any]], outputs: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    request = pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=list(outputs),
        inputs=[pb_utils.Tensor(name, np.ascontiguousarray(value)) for name, value in inputs.items()],
    )
    response = await request.async_exec()
    if response.has_error():
        raise pb_utils.TritonModelException(response.error().message())
    return {name: pb_utils.get_output_tensor_by_name(response, name).as_numpy().copy() for name in outputs}


def _objects(values: list[bytes]) -> NDArray[np.object_]:
    result = np.empty(len(values), np.object_)
    result[:] = values
    return result
