"""The original: transformers' own processors, models and post-processing, put together by hand for one photo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
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

from fashioncrop import Client
from fashioncrop_export.garment_detector import detect_with_original
from fashioncrop_export.quiet import quiet_transformers


@dataclass(frozen=True)
class Found:
    """What the original finds.

    Attributes:
        boxes_xyxy: float32 [n, 4], pixels of the photo, not clipped.
        scores: float32 [n].
        phrase_ids: int64 [n].
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    phrase_ids: NDArray[np.int64]


class Original:
    """The three published models on the same weights."""

    def __init__(self, checkpoints: Path) -> None:
        with quiet_transformers():
            self.detector = _load(GroundingDinoForObjectDetection, checkpoints / "grounding-dino")
            self.processor: Any = _processor(checkpoints / "grounding-dino", AutoProcessor)
            self.depth_model = _load(DepthAnythingForDepthEstimation, checkpoints / "depth-anything")
            self.depth_processor = _processor(checkpoints / "depth-anything")
            self.embedder = _load(CLIPVisionModelWithProjection, checkpoints / "clip")
            self.clip_processor = _processor(checkpoints / "clip")

    def detector_inputs(self, photo: Image.Image, phrases: list[str]) -> dict[str, Any]:
        """What the original processor makes of a photo and its candidate labels."""
        return dict(self.processor(images=photo, text=[phrases], return_tensors="pt"))

    def detect(
        self, photo: Image.Image, phrases: list[str], threshold: float, pinned: NDArray[np.int64] | None
    ) -> Found:
        """Garments above the threshold by the original's post-processing.

        Two things differ from `post_process_grounded_object_detection` as it stands, because they are what this project
        promises: tokens that belong to no phrase ([CLS], full stops) do not score, and a box is named by the phrase
        that holds its best token. The phrases' tokens are found here through character offsets.
        """
        inputs = self.detector_inputs(photo, phrases)
        ids = inputs["input_ids"].numpy()
        answer = detect_with_original(self.detector, inputs["pixel_values"], ids, pinned)
        owner = self._owner_of_tokens(phrases, ids[0])
        logits = np.where(owner[None, None, :] < 0, -np.inf, answer["logits"]).astype(np.float32)
        outputs = SimpleNamespace(
            logits=torch.from_numpy(logits),
            pred_boxes=torch.from_numpy(answer["boxes_cxcywh"]),
            input_ids=inputs["input_ids"],
        )
        (result,) = self.processor.post_process_grounded_object_detection(
            outputs, threshold=threshold, text_threshold=threshold, target_sizes=[(photo.height, photo.width)]
        )
        kept = torch.sigmoid(outputs.logits[0]).amax(-1) > threshold
        best_token = outputs.logits[0][kept].argmax(-1).numpy()
        return Found(result["boxes"].numpy(), result["scores"].numpy(), owner[best_token])

    def _owner_of_tokens(self, phrases: list[str], ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of the phrase that each token belongs to, -1 for none. int64 [tokens]."""
        caption = ". ".join(phrases) + "."
        encoded = self.processor.tokenizer(caption, return_offsets_mapping=True)
        assert encoded["input_ids"] == ids.tolist(), "the processor joins candidate labels in this way"
        owner = np.full(len(ids), -1)
        start = 0
        for number, phrase in enumerate(phrases):
            for token, (first, last) in enumerate(encoded["offset_mapping"]):
                if start <= first < last <= start + len(phrase):
                    owner[token] = number
            start += len(phrase) + 2
        return owner

    def embed(self, crop: Image.Image) -> NDArray[np.float32]:
        """CLIP's image embedding of a crop, L2-normalised. float32 [512]."""
        with torch.inference_mode():
            pixels = self.clip_processor(images=crop, return_tensors="pt")["pixel_values"]
            embedding = self.embedder(pixel_values=pixels).image_embeds[0]
        return np.asarray(embedding / embedding.norm())

    def depth(self, photo: Image.Image) -> NDArray[np.float32]:
        """Relative inverse depth at the photo's resolution. float32 [height, width]."""
        with torch.inference_mode():
            outputs = self.depth_model(**self.depth_processor(images=photo, return_tensors="pt"))
        (result,) = self.depth_processor.post_process_depth_estimation(
            outputs, target_sizes=[(photo.height, photo.width)]
        )
        return np.asarray(result["predicted_depth"])


def _load(model_class: Any, folder: Path) -> Any:  # noqa: ANN401 - any of transformers' classes
    return model_class.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()


def _processor(folder: Path, processor_class: Any = AutoImageProcessor) -> Any:  # noqa: ANN401 - untyped there
    return processor_class.from_pretrained(folder, local_files_only=True)


@dataclass(frozen=True)
class Pair:
    """The service and the original on the same weights."""

    client: Client
    original: Original
    repository: Path
