"""depth_estimator: Depth Anything, from the photo's bytes to relative inverse depth at the photo's size."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DepthAnythingForDepthEstimation

from fashioncrop.model_repository import Role
from fashioncrop_export.checkpoints import Checkpoint
from fashioncrop_export.graph_plan import Array, Arrays, Case, GraphPlan, Quantisation, Tolerance, noise_image
from fashioncrop_export.originals import Originals, normalised_pixels, with_eager_attention
from fashioncrop_export.pixels import PixelNormalisation
from fashioncrop_export.preprocessing import read_photo_preprocessing


class DepthEstimator(nn.Module):
    """The photo's bytes to depth.

    Args:
        normalisation: of the checkpoint's image processor.
        model: a copy of transformers' model with eager attention.
    """

    def __init__(self, normalisation: PixelNormalisation, model: DepthAnythingForDepthEstimation) -> None:
        super().__init__()
        self.normalisation = normalisation
        self.backbone = model.backbone
        self.neck = model.neck
        self.head: Any = model.head

    def forward(self, image: Tensor) -> Tensor:
        """uint8 [batch, height, width, 3], both multiples of the patch -> float32 [batch, height, width]."""
        pixels = self.normalisation(image)
        patch = self.head.patch_size
        rows, columns = image.shape[1] // patch, image.shape[2] // patch
        features = self.neck(self.backbone(pixels).feature_maps, rows, columns)[self.head.head_in_index]
        # The original's head calls int() on the size, which an exporter turns into a constant: the graph would answer
        # at the traced size whatever it is given.
        features = functional.interpolate(
            self.head.conv1(features), size=(rows * patch, columns * patch), mode="bilinear", align_corners=True
        )
        depth = self.head.conv3(self.head.activation1(self.head.conv2(features)))
        depth = self.head.activation2(depth) * self.head.max_depth
        squeezed: Tensor = depth.squeeze(1)
        return squeezed


def plan(checkpoint: Checkpoint, originals: Originals) -> GraphPlan:
    """Prepare the export of this model."""
    model = originals.load(checkpoint, DepthAnythingForDepthEstimation)
    photo = read_photo_preprocessing(checkpoint, ("height", "width"))
    patch = cast("int", model.config.patch_size)

    def reference(case: Case, _pinned: Array | None) -> Arrays:
        with torch.inference_mode():
            answer = model(pixel_values=normalised_pixels(checkpoint, case.feed["image"]))
        return {"depth": answer.predicted_depth.numpy()}

    return GraphPlan(
        role=Role.DEPTH_ESTIMATOR,
        module=DepthEstimator(
            PixelNormalisation(photo.rescale_factor, photo.mean, photo.std), with_eager_attention(model)
        ),
        # Height and width differ, so that swapping them would show.
        example={"image": torch.from_numpy(noise_image((1, 12 * patch, 9 * patch), seed=0))},
        inputs={"image": ("batch", "height", "width", 3)},
        outputs={"depth": ("batch", "height", "width")},
        cases=tuple(
            Case(f"{rows * patch}x{columns * patch}, batch {batch}", {"image": noise_image(shape, seed=rows)})
            for batch, rows, columns in ((1, 9, 17), (2, 18, 11), (1, max(1, photo.size["height"] // patch // 2), 37))
            for shape in [(batch, rows * patch, columns * patch)]
        ),
        reference=reference,
        tolerances={"depth": Tolerance(relative=1e-4)},
        quantisation=Quantisation(Tolerance(relative=0.2)),
        preprocessing={
            "height": photo.size["height"],
            "width": photo.size["width"],
            "keep_aspect_ratio": bool(photo.settings.get("keep_aspect_ratio", False)),
            "multiple_of": int(photo.settings.get("ensure_multiple_of", patch)),
            "resample": photo.resample,
        },
    )
