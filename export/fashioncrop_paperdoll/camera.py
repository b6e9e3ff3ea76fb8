"""What a camera does to a picture: light, a little vignette, blur, noise and compression, all of them mild."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_GRAIN = 256  # grains along each side, whatever the size


def photographed(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture as a camera may see it.

    Args:
        rng: decides; the number of draws does not depend on the picture.
        image: uint8 [height, width, 3], RGB.

    Returns:
        uint8 [height, width, 3], RGB.
    """
    gain, warmth = rng.uniform(0.97, 1.04), rng.uniform(-0.018, 0.018)
    vignette, blur, noise, quality = (
        rng.uniform(0.03, 0.12),
        rng.uniform(0.0008, 0.0018),
        rng.uniform(1.5, 5),
        rng.integers(78, 96),
    )
    has_vignette, is_blurred, is_noisy, is_compressed = rng.random(4) < (0.5, 0.3, 0.5, 0.3)
    height, width = image.shape[:2]
    levels = np.arange(256)[:, None] * (gain * np.array([1 + warmth, 1.0, 1 - warmth]))
    image = _bytes(cv2.LUT(image, np.clip(levels, 0, 255).astype(np.uint8)[:, None, :]))
    if has_vignette:
        ys, xs = (
            np.linspace(-1, 1, height, dtype=np.float32)[:, None],
            np.linspace(-1, 1, width, dtype=np.float32)[None],
        )
        light = 1 - np.float32(vignette / 3) * (xs * xs + ys * ys) ** 2
        image = _bytes(cv2.multiply(image, cv2.merge([light] * 3), dtype=cv2.CV_8U))
    if is_blurred:
        image = _bytes(cv2.GaussianBlur(image, (0, 0), blur * height))
    if is_noisy:
        grain = rng.integers(0, 256, (_GRAIN, _GRAIN), np.uint8).astype(np.float32) * np.float32(
            noise / 128
        ) - np.float32(noise)
        spread = cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)
        image = _bytes(cv2.add(image, cv2.merge([spread] * 3), dtype=cv2.CV_8U))
    if is_compressed:
        coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
        image = np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])
    return image


def _bytes(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    return np.asarray(values, np.uint8)
