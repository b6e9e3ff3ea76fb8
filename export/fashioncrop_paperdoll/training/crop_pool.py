"""Crops of garments for CLIP, cut as the served pipeline cuts them and kept small."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fashioncrop_paperdoll.scene import draw_scene

SIDE_PX = 112
SCENE_WH = (384, 512)
_CHUNK = 100
_PADDING = 0.05
_JITTER = 0.06
_COPIES = 2


class CropPool:
    """The middle square of each garment's crop with the words for it.

    Args:
        folder: holds the pool; what is missing of it is drawn first.
        seeds: of the scenes.
        processes: how many draw at a time.

    Attributes:
        images: uint8 [crops, SIDE_PX, SIDE_PX, 3], RGB.
        words: for each crop its noun, colour and pattern.
    """

    def __init__(self, folder: Path, seeds: range, *, processes: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        starts = range(seeds.start, seeds.stop, _CHUNK)
        jobs = [(folder, range(start, min(start + _CHUNK, seeds.stop))) for start in starts]
        missing = [job for job in jobs if not _words_file(*job).exists()]
        if missing:
            with ProcessPoolExecutor(processes) as executor:
                for _ in executor.map(_cut_chunk, *zip(*missing, strict=True)):
                    pass
        self.images: NDArray[np.uint8] = np.concatenate([np.load(_images_file(*job)) for job in jobs])
        self.words: list[tuple[str, str, str]] = [
            (noun, colour, pattern)
            for job in jobs
            for noun, colour, pattern in json.loads(_words_file(*job).read_text(encoding="utf-8"))
        ]

    def __len__(self) -> int:
        return len(self.words)


def _images_file(folder: Path, seeds: range) -> Path:
    return folder / f"{seeds.start}-{seeds.stop}-crops.npy"


def _words_file(folder: Path, seeds: range) -> Path:
    return folder / f"{seeds.start}-{seeds.stop}-words.json"


def _cut_chunk(folder: Path, seeds: range) -> None:
    cv2.setNumThreads(1)
    crops, words = [], []
    for seed in seeds:
        scene = draw_scene(seed, *SCENE_WH)
        rng = np.random.default_rng([seed, 1])
        photo = Image.fromarray(scene.image)
        for garment in scene.garments:
            for _ in range(_COPIES):
                crops.append(_middle(photo, garment.box_xyxy, rng))
                words.append((garment.noun, garment.colour, garment.pattern))
    np.save(_images_file(folder, seeds), np.stack(crops))
    target = _words_file(folder, seeds)
    unfinished = target.with_suffix(".part")
    unfinished.write_text(json.dumps(words), encoding="utf-8")
    unfinished.replace(target)


def _middle(
    photo: Image.Image, box_xyxy: tuple[float, float, float, float], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A detector's box is never quite the true one, so each edge moves a little before the padding."""
    x0, y0, x1, y1 = box_xyxy
    size = np.asarray([x1 - x0, y1 - y0] * 2)
    edges = (
        np.asarray(box_xyxy) + rng.uniform(-_JITTER, _JITTER, 4) * size + _PADDING * size * np.asarray([-1, -1, 1, 1])
    )
    left, top = np.floor(np.maximum(edges[:2], 0)).astype(int)
    right, bottom = np.ceil(np.minimum(edges[2:], photo.size)).astype(int)
    crop = photo.crop((int(left), int(top), max(int(right), int(left) + 1), max(int(bottom), int(top) + 1)))
    side = min(crop.size)
    x, y = (crop.size[0] - side) / 2, (crop.size[1] - side) / 2
    square = crop.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC, box=(x, y, x + side, y + side))
    return np.asarray(square, np.uint8)
