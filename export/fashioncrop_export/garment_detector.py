"""garment_detector: GroundingDINO's image side, from the photo's bytes to logits and boxes."""

from __future__ import annotations

from itertools import count
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import GroundingDinoForObjectDetection

from fashioncrop.model_repository import Role
from fashioncrop_export.checkpoints import TEXT_WIDTH, Checkpoint
from fashioncrop_export.graph_plan import (
    OWN_SCORES,
    PINNED_SCORES,
    Array,
    Arrays,
    Case,
    GraphPlan,
    Pin,
    Quantisation,
    Tolerance,
    noise_image,
)
from fashioncrop_export.grounding_dino import MASKED_LOGIT, GroundingDinoDetector
from fashioncrop_export.originals import Originals, normalised_pixels, tokenizer_of
from fashioncrop_export.pixels import PixelNormalisation
from fashioncrop_export.preprocessing import read_photo_preprocessing
from fashioncrop_export.vocabulary_encoder import caption_ids, encode_text

# The text's side is a hundredth of the work; the rest decides which tokens become queries and where boxes are.
_EXACT_IN_INT8 = frozenset(
    {
        *("text_proj", "values_text_proj", "out_text_proj", "text_enhancer_layer"),
        *("enc_output", "encoder_output_bbox_embed", "reference_points_head", "bbox_embed"),
    }
)
_TRACED_SHAPE_BHW = (1, 320, 416)
_TRACED_CAPTION = "t-shirt. blue skirt. bag. coat."


class GarmentDetector(nn.Module):
    """The photo's bytes and vocabulary_encoder's answer to logits and boxes.

    Args:
        normalisation: of the checkpoint's image processor.
        model: transformers' model; it is only read.
    """

    def __init__(self, normalisation: PixelNormalisation, model: GroundingDinoForObjectDetection) -> None:
        super().__init__()
        self.normalisation = normalisation
        self.detector = GroundingDinoDetector(model)
        self.width = model.config.d_model

    def forward(self, image: Tensor, text_features: Tensor, *text_side: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [batch, height, width, 3] and the text -> logits [batch, queries, tokens], boxes_cxcywh.

        A detector that is narrower than the interface takes the first channels of `text_features`; the rest is zeros.
        """
        if self.width < TEXT_WIDTH:
            text_features = text_features[:, :, : self.width]
        logits, boxes = self.detector(self.normalisation(image), text_features, *text_side)
        return logits, boxes


def plan(checkpoint: Checkpoint, originals: Originals) -> GraphPlan:
    """Prepare the export of this model."""
    model = originals.load(checkpoint, GroundingDinoForObjectDetection)
    photo = read_photo_preprocessing(checkpoint, ("shortest_edge", "longest_edge"))
    tokenizer = tokenizer_of(checkpoint)
    scale = _scale_for_queries(model, 288, 192)
    traced = detector_case(model, tokenizer, "traced", _TRACED_SHAPE_BHW, [_TRACED_CAPTION])

    def reference(case: Case, pinned: Array | None) -> Arrays:
        pixels = normalised_pixels(checkpoint, case.feed["image"])
        return detect_with_original(model, pixels, case.hidden["input_ids"], pinned)

    return GraphPlan(
        role=Role.GARMENT_DETECTOR,
        module=GarmentDetector(PixelNormalisation(photo.rescale_factor, photo.mean, photo.std), model),
        example={name: torch.from_numpy(array) for name, array in traced.feed.items()},
        inputs={
            "image": ("batch", "height", "width", 3),
            "text_features": ("batch", "tokens", TEXT_WIDTH),
            "text_mask": ("batch", "tokens"),
            "text_self_attention_mask": ("batch", "tokens", "tokens"),
            "position_ids": ("batch", "tokens"),
        },
        outputs={"logits": ("batch", "queries", "tokens"), "boxes_cxcywh": ("batch", "queries", 4)},
        cases=(
            detector_case(
                model,
                tokenizer,
                f"{224 * scale}x{256 * scale}",
                (1, 224 * scale, 256 * scale),
                ["red dress. shoe. hat. a person."],
            ),
            detector_case(
                model,
                tokenizer,
                f"{288 * scale}x{192 * scale}, two photos, one text padded",
                (2, 288 * scale, 192 * scale),
                ["tie.", "sock. vest."],
            ),
        ),
        reference=reference,
        tolerances={"logits": Tolerance(relative=1e-4), "boxes_cxcywh": Tolerance(relative=1e-4)},
        pin=Pin(op_type="TopK", output=1, tolerance=Tolerance(relative=1e-4)),
        masked={"logits": MASKED_LOGIT},
        quantisation=Quantisation(Tolerance(relative=0.5), _EXACT_IN_INT8),
        preprocessing={
            "shortest_edge": photo.size["shortest_edge"],
            "longest_edge": photo.size["longest_edge"],
            "resample": photo.resample,
        },
    )


def _scale_for_queries(model: GroundingDinoForObjectDetection, height: int, width: int) -> int:
    """How many times larger a photo must be to have more image tokens than queries, as transformers' top-k needs."""
    config: Any = model.config
    return next(
        scale for scale in count(1) if image_token_count(config, height * scale, width * scale) > config.num_queries
    )


def image_token_count(config: Any, height: int, width: int) -> int:  # noqa: ANN401 - the backbone's is untyped
    """Tokens of all feature levels of a photo of this size; every stage and level rounds its sides up."""
    backbone = config.backbone_config
    tokens: list[int] = []
    rows, columns = -(-height // backbone.patch_size), -(-width // backbone.patch_size)
    for stage in count(1):
        if stage in backbone.out_indices or stage > max(backbone.out_indices):
            tokens.append(rows * columns)
        if len(tokens) == config.num_feature_levels:
            break
        rows, columns = -(-rows // 2), -(-columns // 2)
    return sum(tokens)


def detector_case(
    model: GroundingDinoForObjectDetection,
    tokenizer: Tokenizer,
    name: str,
    shape_bhw: tuple[int, int, int],
    captions: list[str],
) -> Case:
    """A noise photo of the given shape, with the original's own text features."""
    input_ids = caption_ids(model, tokenizer, captions)
    feed: dict[str, Array] = {"image": noise_image(shape_bhw, seed=shape_bhw[1]), **encode_text(model, input_ids)}
    return Case(name, feed, hidden={"input_ids": input_ids})


def detect_with_original(
    model: GroundingDinoForObjectDetection, pixels: Tensor, input_ids: NDArray[np.int64], pinned: Array | None
) -> dict[str, Array]:
    """Run transformers' own forward.

    Args:
        model: transformers' model.
        pixels: float32 [batch, 3, height, width], normalised.
        input_ids: int64 [batch, tokens].
        pinned: int64 [batch, queries], the image tokens to take in the two-stage choice instead of its own: scores of
            neighbouring ranks are often equal to the last bits, and the rank decides which learned query a token gets.

    Returns:
        `logits`, cut to the caption's tokens with the graph's value where masked, and `boxes_cxcywh`; with `pinned`
        also the scores of the pinned image tokens and of those that the model would have chosen itself.
    """
    ids = torch.from_numpy(input_ids)
    topk = torch.topk
    scores_of: dict[str, Array] = {}

    def pinned_topk(scores: Tensor, k: int, dim: int = -1, **options: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        values, indices = topk(scores, k, dim=dim, **options)
        if pinned is None:
            return values, indices
        chosen = torch.from_numpy(pinned)
        pinned_values = scores.gather(dim, chosen)
        scores_of.update({PINNED_SCORES: pinned_values.numpy(), OWN_SCORES: values.numpy()})
        return pinned_values, chosen

    with torch.inference_mode(), patch.object(torch, "topk", pinned_topk):
        answer = model(pixel_values=pixels, input_ids=ids, attention_mask=(ids != 0).to(torch.int64))
    logits = answer.logits[:, :, : ids.shape[1]].masked_fill((ids == 0)[:, None, :], MASKED_LOGIT)
    return {"logits": logits.numpy(), "boxes_cxcywh": answer.pred_boxes.numpy(), **scores_of}
