"""One look at a kept scene: cut, mirrored and in other light, with its ground truth following."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fashioncrop_paperdoll.scene import Garment
from fashioncrop_paperdoll.training.pool import Sample

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_LEAST_VISIBLE = 0.35
_LEAST_CUT = 0.75


@dataclass(frozen=True)
class View:
    """What the model is shown.

    Attributes:
        image: uint8 [height, width, 3], RGB.
        labels: uint8 [height, width], 0 or 1 + index in the scene's garments (not in this view's).
        garments: those of which enough is visible.
        boxes_cxcywh: float32 [garments, 4], shares of the view.
        indices: of the garments in the scene.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    garments: tuple[Garment, ...]
    boxes_cxcywh: NDArray[np.float32]
    indices: tuple[int, ...]


def draw_view(rng: np.random.Generator, sample: Sample, size_hw: tuple[int, int]) -> View:
    """A part of the scene at the size, perhaps mirrored, its light changed a little."""
    height, width = sample.labels.shape
    part_h, part_w, top, left = height, width, 0, 0
    if rng.random() < 0.5:
        part_h, part_w = (int(side * rng.uniform(_LEAST_CUT, 1)) for side in (height, width))
        top, left = int(rng.integers(height - part_h + 1)), int(rng.integers(width - part_w + 1))
    window = np.s_[top : top + part_h, left : left + part_w]
    image, labels = sample.image[window], sample.labels[window]
    boxes, seen = _extents(labels, len(sample.garments))
    if image.shape[:2] != size_hw:
        image = resized(image, size_hw, cv2.INTER_AREA if size_hw[0] < part_h else cv2.INTER_LINEAR)
        labels = resized(labels, size_hw, cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        image, labels = image[:, ::-1], labels[:, ::-1]
        boxes[:, [0, 2]] = 1 - boxes[:, [2, 0]]
    if rng.random() < 0.5:
        gain = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 3)
        table = np.clip(np.arange(256)[:, None] * gain + rng.normal(0, 6), 0, 255).astype(np.uint8)
        image = np.stack([table[image[..., channel], channel] for channel in range(3)], -1)
    whole = np.asarray([garment.visible_pixels for garment in sample.garments])
    kept = np.flatnonzero(seen > _LEAST_VISIBLE * whole)
    return View(
        image,
        labels,
        tuple(sample.garments[index] for index in kept),
        _centred(boxes[kept]),
        tuple(int(index) for index in kept),
    )


def resized(picture: NDArray[np.uint8], size_hw: tuple[int, int], interpolation: int) -> NDArray[np.uint8]:
    """A picture or a map at another size, by one of OpenCV's interpolations."""
    return np.asarray(cv2.resize(picture, size_hw[::-1], interpolation=interpolation), np.uint8)


def normalised(images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """What GroundingDINO's and Depth Anything's image processors make of them: float32 [n, 3, height, width]."""
    mean, std = np.asarray(IMAGENET_MEAN, np.float32) * 255, np.asarray(IMAGENET_STD, np.float32) * 255
    pixels = (np.stack(images).astype(np.float32) - mean) / std
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)


def _extents(labels: NDArray[np.uint8], count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Of each garment what is left of it: x0, y0, x1, y1 as shares of the labels' size [n, 4], and pixels [n]."""
    height, width = labels.shape
    boxes, pixels = np.zeros((count, 4), np.float32), np.zeros(count, np.int64)
    for index in range(count):
        mask = (labels == index + 1).view(np.uint8)
        pixels[index] = cv2.countNonZero(mask)
        x, y, wide, high = cv2.boundingRect(mask)
        boxes[index] = x / width, y / height, (x + wide) / width, (y + high) / height
    return boxes, pixels


def _centred(boxes_xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    return np.asarray(np.concatenate([(low + high) / 2, high - low], 1), np.float32)
