"""The first nodes of every vision graph: from the photo's bytes to the network's numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PixelNormalisation(nn.Module):
    """(image * rescale - mean) / std, as transformers' image processors do it.

    Args:
        rescale_factor: usually 1/255.
        mean: per channel, after rescaling.
        std: per channel, after rescaling.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, rescale_factor: float, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.rescale_factor = rescale_factor
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """uint8 [batch, height, width, 3], RGB -> float32 [batch, 3, height, width]."""
        pixels = image.to(torch.float32).permute(0, 3, 1, 2)
        return (pixels * self.rescale_factor - self.mean) / self.std
