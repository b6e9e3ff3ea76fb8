"""Trains the small Depth Anything on drawn scenes, whose depth is known everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

from fashioncrop_paperdoll.training.checkpoint import save_checkpoint
from fashioncrop_paperdoll.training.pool import Pool
from fashioncrop_paperdoll.training.views import IMAGENET_MEAN, IMAGENET_STD, normalised, resized

SIDE_PX = 168
PATCH_PX = 14
SIZE_HW = (SIDE_PX * 4 // 3, SIDE_PX)
_CHANNELS = 96
_GARMENT_WEIGHT = 3.0
_TOLD_APART, _CLEARLY_APART = 0.01, 0.1
"""Shares of the scene's depth."""
_FEWEST_PIXELS = 20


class DepthTask:
    """See `loop.Task`.

    Args:
        pool: scenes to learn from.
        validation: scenes to be judged by.
        batch: scenes a step and process.
        device: of the model.
    """

    def __init__(self, pool: Pool, validation: Pool, *, batch: int, device: str = "cpu") -> None:
        self.pool, self.validation, self.batch = pool, validation, batch
        self.device = torch.device(device)
        model: Any = new_depth_estimator()
        # A ReLU that answers 0 everywhere learns nothing any more, and a first step too far is enough for that. Depths
        # are positive, so that what is learnt without it is right with it.
        model.head.activation2 = nn.Identity()
        self.modules = nn.ModuleDict({"model": model}).to(self.device)

    def loss(self, rng: np.random.Generator, step: int) -> tuple[Tensor, dict[str, float]]:
        """Absolute difference, that of slopes, so that edges stay sharp (Ranftl et al. 2020, MiDaS), and order.

        Garments count more than walls: their depth is what is asked for, and walls are most of a picture.
        """
        del step
        images, depths, worn = [], [], []
        for index in rng.integers(len(self.pool), size=self.batch):
            sample = self.pool[int(index)]
            image = resized(sample.image, SIZE_HW, cv2.INTER_AREA)
            depth = resized(sample.depth, SIZE_HW, cv2.INTER_AREA)
            label = resized(sample.labels, SIZE_HW, cv2.INTER_NEAREST)
            if rng.random() < 0.5:
                image, depth, label = image[:, ::-1], depth[:, ::-1], label[:, ::-1]
            if rng.random() < 0.5:
                image = np.clip(image * rng.uniform(0.85, 1.15) + rng.normal(0, 6), 0, 255).astype(np.uint8)
            images.append(image)
            depths.append(depth)
            worn.append(label)
        said = self.modules["model"](pixel_values=torch.from_numpy(normalised(images)).to(self.device)).predicted_depth
        true = torch.from_numpy(np.stack(depths).astype(np.float32) / 255).to(self.device)
        labels = torch.from_numpy(np.stack(worn).astype(np.int64)).to(self.device)
        error = said.float() - true
        weight = 1 + (_GARMENT_WEIGHT - 1) * (labels > 0)
        distance = (error.abs() * weight).sum() / weight.sum()
        slopes = (error[:, 1:] - error[:, :-1]).abs().mean() + (error[:, :, 1:] - error[:, :, :-1]).abs().mean()
        pairs = order_loss(said.float(), true, labels)
        parts = {"distance": distance, "slopes": slopes, "pairs": pairs}
        return distance + slopes + pairs, {name: float(part.detach()) for name, part in parts.items()}

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Pearson's correlation with the truth, and how often two garments are in the right order."""
        correlations, right, pairs = [], 0, 0
        for sample in self.validation:
            image = resized(sample.image, SIZE_HW, cv2.INTER_AREA)
            said = model(pixel_values=torch.from_numpy(normalised([image])).to(self.device)).predicted_depth.clamp(
                min=0
            )
            height, width = sample.depth.shape
            depth = functional.interpolate(said[None].float(), size=(height, width), mode="bicubic")[0, 0].cpu().numpy()
            correlations.append(float(np.corrcoef(depth.ravel(), sample.depth.ravel())[0, 1]))
            masks = [sample.labels == index + 1 for index in range(len(sample.garments))]
            medians = [(np.median(depth[mask]), np.median(sample.depth[mask]) / 255) for mask in masks if mask.any()]
            for index, (own, true) in enumerate(medians):
                for other, other_true in medians[:index]:
                    if abs(true - other_true) > 0.03:
                        pairs += 1
                        right += (own > other) == (true > other_true)
        return {"correlation": round(float(np.mean(correlations)), 4), "order": round(right / max(pairs, 1), 4)}

    def save(self, model: nn.Module, folder: Path) -> None:
        """The checkpoint as the published one is laid out, weights in fp16."""
        if not isinstance(model, DepthAnythingForDepthEstimation):
            raise TypeError("the depth task saves a Depth Anything")
        save_checkpoint(
            folder,
            model,
            name="paperdoll depth-anything",
            processor="DPTImageProcessor",
            preprocessing={
                "size": {"height": SIDE_PX, "width": SIDE_PX},
                "keep_aspect_ratio": True,
                "ensure_multiple_of": PATCH_PX,
                "resample": 3,
                "image_mean": list(IMAGENET_MEAN),
                "image_std": list(IMAGENET_STD),
            },
        )


def order_loss(said: Tensor, true: Tensor, labels: Tensor) -> Tensor:
    """How much is missing to the distance between each two garments of a photo, up to a distance anybody could see.

    A bag of the colour of the coat behind it is few pixels, which cost little where they are taken for the coat's; that
    one of the two is nearer is what is asked for (ranking of pairs: Chen et al. 2016, Depth in the Wild).

    Args:
        said: float32 [batch, height, width], depth as it was found.
        true: the same as it is.
        labels: int64 [batch, height, width], 0 or 1 + the garment's index.
    """
    kinds = int(labels.max()) + 1
    own = functional.one_hot(labels.flatten(1), kinds)[..., 1:].float().transpose(1, 2)
    pixels = own.sum(-1)
    means = [torch.einsum("bgp,bp->bg", own, depth.flatten(1)) / pixels.clamp(min=1) for depth in (said, true)]
    found, wanted = (each[:, :, None] - each[:, None] for each in means)
    there = pixels >= _FEWEST_PIXELS
    pairs = (wanted > _TOLD_APART) & there[:, :, None] & there[:, None]
    missing = (wanted.clamp(max=_CLEARLY_APART) - found).clamp(min=0) * pairs
    return missing.sum() / pairs.sum().clamp(min=1)


def new_depth_estimator() -> DepthAnythingForDepthEstimation:
    """An untrained Depth Anything of less than a million parameters."""
    backbone = Dinov2Config(  # type: ignore[call-arg]  # out_indices is taken by the base class
        image_size=SIDE_PX,
        patch_size=PATCH_PX,
        hidden_size=_CHANNELS,
        num_attention_heads=4,
        num_hidden_layers=4,
        mlp_ratio=3,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
        layerscale_value=0.5,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=_CHANNELS,
        neck_hidden_sizes=[24, 48, 72, 72],
        fusion_hidden_size=32,
        head_hidden_size=16,
    )
    model = DepthAnythingForDepthEstimation(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("weight") and parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
    return model
