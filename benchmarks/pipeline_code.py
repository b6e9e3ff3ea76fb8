"""What benchmarks take from the served pipeline's own code: its categories, and its way to lay depth over a photo.

That code is in the model repository, which is Triton's layout and not a Python package.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from fashioncrop.model_repository import PIPELINE, shipped_repository

sys.path.append(str(shipped_repository() / PIPELINE / "1"))

from categories import CATEGORIES, Category, category_of

__all__ = ["CATEGORIES", "Category", "category_of", "depth_over_photo"]


def depth_over_photo(depth_map: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """The depth map at the photo's resolution, bicubic, as the pipeline reads garments' depths: [height, width]."""
    from depths import over_photo  # noqa: PLC0415 - needs OpenCV, which only drawn scenes need

    return over_photo(depth_map, size_wh)
