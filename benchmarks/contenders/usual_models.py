"""The three published models as transformers runs them, one photo at a time, one model after the other.

What is not a model, its processor or its post-processing is the pipeline's own code, so that the same work is done and
the answers can be compared: decoding, phrase scores by token span, suppression, crops, flags, colours.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoProcessor,
    CLIPVisionModelWithProjection,
    DepthAnythingForDepthEstimation,
    GroundingDinoForObjectDetection,
)

import pipeline_code  # noqa: F401 - makes the pipeline's modules known
from categories import DEFAULT_VOCABULARY
from contenders.garments import crop_boxes, cut_out, garments_of
from crops import jpeg
from detections import Detections, from_queries, selected
from fashioncrop_export.quiet import quiet_transformers
from options import DEFAULT_IOU_THRESHOLD
from photo import Limits, decode_photo
from vocabulary import Caption, captions, normalised

_LIMITS = Limits(max_bytes=2**25, max_pixels=64_000_000)
_MAX_TOKENS = 256
_MAX_PHRASES = 1000


@dataclass(frozen=True)
class Checkpoints:
    """Folders of the three checkpoints."""

    detector: Path
    embedder: Path
    depth: Path


class UsualModels:
    """Loads the checkpoints as their model cards say, and answers for one photo at a time.

    Args:
        checkpoints: the folders.
        is_compiled: run each model through `torch.compile`.
    """

    def __init__(self, checkpoints: Checkpoints, *, is_compiled: bool) -> None:
        with quiet_transformers():
            self._detector = _load(GroundingDinoForObjectDetection, checkpoints.detector)
            self._processor = _load(AutoProcessor, checkpoints.detector)
            self._embedder = _load(CLIPVisionModelWithProjection, checkpoints.embedder)
            self._clip_processor = _load(AutoImageProcessor, checkpoints.embedder)
            self._depth_model = _load(DepthAnythingForDepthEstimation, checkpoints.depth)
            self._depth_processor = _load(AutoImageProcessor, checkpoints.depth)
        if is_compiled:
            self._detector = torch.compile(self._detector)
            self._embedder = torch.compile(self._embedder)
            self._depth_model = torch.compile(self._depth_model)
        self._phrases = list(DEFAULT_VOCABULARY)
        self._caption = self._packed()

    @torch.inference_mode()
    def answer(self, data: bytes, *, score_threshold: float, max_garments: int) -> dict[str, Any]:
        """What the pipeline answers, as a document for JSON.

        Raises:
            ProblemError: the photo cannot be decoded.
        """
        photo = decode_photo(data, _LIMITS)
        found = self._detect(photo.image, score_threshold, max_garments)
        images = cut_out(photo, crop_boxes(photo, found))
        embeddings = self._embed(images)
        garments = garments_of(photo, found, self._phrases, self._depth(photo.image))
        for garment, image, embedding in zip(garments, images, embeddings, strict=True):
            garment["crop_jpeg"] = base64.b64encode(jpeg(image)).decode()
            garment["embedding"] = embedding.tolist()
        width, height = photo.size_wh
        return {"photo": {"width": width, "height": height, "format": photo.format}, "garments": garments}

    def _packed(self) -> Caption:
        """Which tokens are whose, by the pipeline's rule; the processor must make the same tokens of the phrases."""
        tokenizer = self._processor.tokenizer.backend_tokenizer
        packed = captions(normalised(self._phrases, max_phrases=_MAX_PHRASES), tokenizer, max_tokens=_MAX_TOKENS)
        theirs = self._inputs(Image.new("RGB", (64, 64)))["input_ids"][0].tolist()
        if len(packed) != 1 or packed[0].input_ids.tolist() != theirs:
            raise ValueError("transformers' processor reads the default vocabulary as other tokens than the pipeline")
        return packed[0]

    def _inputs(self, photo: Image.Image) -> dict[str, Any]:
        return dict(self._processor(images=photo, text=[self._phrases], return_tensors="pt"))

    def _detect(self, photo: Image.Image, score_threshold: float, max_garments: int) -> Detections:
        inputs = self._inputs(photo)
        outputs = self._detector(**inputs)
        logits = outputs.logits[0, :, : inputs["input_ids"].shape[1]].numpy()
        found = from_queries(logits, outputs.pred_boxes[0].numpy(), self._caption.spans, photo.size)
        return selected(
            found, score_threshold=score_threshold, iou_threshold=DEFAULT_IOU_THRESHOLD, max_garments=max_garments
        )

    def _embed(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """All crops in one run, which is kind to this contender. float32 [crops, width]."""
        if not images:
            return np.zeros((0, 0), np.float32)
        pixels = self._clip_processor(images=list(images), return_tensors="pt")["pixel_values"]
        embeddings = self._embedder(pixel_values=pixels).image_embeds
        return np.asarray(embeddings / embeddings.norm(dim=-1, keepdim=True))

    def _depth(self, photo: Image.Image) -> NDArray[np.float32]:
        outputs = self._depth_model(**self._depth_processor(images=photo, return_tensors="pt"))
        (result,) = self._depth_processor.post_process_depth_estimation(
            outputs, target_sizes=[(photo.height, photo.width)]
        )
        return np.asarray(result["predicted_depth"], np.float32)


def _load(kind: Any, folder: Path) -> Any:  # noqa: ANN401 - any of transformers' classes
    loaded = kind.from_pretrained(folder, local_files_only=True)
    return loaded.to(torch.float32).eval() if isinstance(loaded, torch.nn.Module) else loaded
