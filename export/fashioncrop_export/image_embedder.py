"""image_embedder: CLIP's image side with its projection, from a crop's bytes to a unit vector."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionModelWithProjection

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import Role
from fashioncrop_export.checkpoints import Checkpoint
from fashioncrop_export.graph_plan import Array, Arrays, Case, GraphPlan, Quantisation, Tolerance, noise_image
from fashioncrop_export.originals import Originals, normalised_pixels, with_eager_attention
from fashioncrop_export.pixels import PixelNormalisation
from fashioncrop_export.preprocessing import crop_hw, read_photo_preprocessing


class ImageEmbedder(nn.Module):
    """A crop's bytes to a unit vector.

    Args:
        normalisation: of the checkpoint's image processor.
        model: a copy of transformers' model with eager attention.
    """

    def __init__(self, normalisation: PixelNormalisation, model: CLIPVisionModelWithProjection) -> None:
        super().__init__()
        self.normalisation = normalisation
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        """uint8 [batch, side, side, 3], RGB -> float32 [batch, width], L2 norm 1."""
        embeds = self.model(pixel_values=self.normalisation(image)).image_embeds
        return functional.normalize(embeds, dim=-1)


def plan(checkpoint: Checkpoint, originals: Originals) -> GraphPlan:
    """Prepare the export of this model."""
    model = originals.load(checkpoint, CLIPVisionModelWithProjection)
    photo = read_photo_preprocessing(checkpoint, ("shortest_edge",))
    side = cast("int", model.config.image_size)
    crop = crop_hw(photo)
    if crop != [side, side]:
        raise ModelFileError(
            f"{checkpoint.folder}: the network takes {side}x{side}, its image processor crops to {crop}."
        )

    def reference(case: Case, _pinned: Array | None) -> Arrays:
        with torch.inference_mode():
            embeds = model(pixel_values=normalised_pixels(checkpoint, case.feed["image"])).image_embeds
        return {"embedding": functional.normalize(embeds, dim=-1).numpy()}

    return GraphPlan(
        role=Role.IMAGE_EMBEDDER,
        module=ImageEmbedder(
            PixelNormalisation(photo.rescale_factor, photo.mean, photo.std), with_eager_attention(model)
        ),
        example={"image": torch.from_numpy(noise_image((2, side, side), seed=0))},
        inputs={"image": ("batch", side, side, 3)},
        outputs={"embedding": ("batch", model.visual_projection.out_features)},
        cases=(
            Case("one crop", {"image": noise_image((1, side, side), seed=1)}),
            Case("three crops", {"image": noise_image((3, side, side), seed=2)}),
        ),
        reference=reference,
        tolerances={"embedding": Tolerance(relative=1e-4)},
        quantisation=Quantisation(Tolerance(relative=0.1), frozenset({"visual_projection"})),
        preprocessing={
            "shortest_edge": photo.size["shortest_edge"],
            "crop_hw": crop,
            "resample": photo.resample,
        },
    )
