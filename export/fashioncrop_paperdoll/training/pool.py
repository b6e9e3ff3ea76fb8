"""Scenes drawn once and seen many times: drawing costs as much as a training step, cutting next to nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fashioncrop_paperdoll.scene import Garment, draw_scene

WIDTH_PX, HEIGHT_PX = 192, 256
_CHUNK = 200


@dataclass(frozen=True)
class Sample:
    """One scene as it was kept.

    Attributes:
        image: uint8 [height, width, 3], RGB.
        labels: uint8 [height, width], 0 or 1 + the garment's index.
        depth: uint8 [height, width], 255 is nearest.
        garments: the ground truth.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    depth: NDArray[np.uint8]
    garments: tuple[Garment, ...]


class Pool:
    """Scenes of consecutive seeds on disk, read through the page cache, so that several processes share them.

    Args:
        folder: holds the pool; what is missing of it is drawn first.
        seeds: of the scenes.
        processes: how many draw at a time.
    """

    def __init__(self, folder: Path, seeds: range, *, processes: int = 1) -> None:
        self._chunks: list[tuple[dict[str, NDArray[np.uint8]], list[Any]]] = []
        folder.mkdir(parents=True, exist_ok=True)
        starts = range(seeds.start, seeds.stop, _CHUNK)
        jobs = [(folder, range(start, min(start + _CHUNK, seeds.stop))) for start in starts]
        missing = [job for job in jobs if not _garments_file(*job).exists()]
        if missing:
            with ProcessPoolExecutor(processes) as executor:
                for _ in executor.map(_draw_chunk, *zip(*missing, strict=True)):
                    pass
        for job in jobs:
            arrays = {kind: np.load(_array_file(*job, kind), mmap_mode="r") for kind in ("image", "labels", "depth")}
            self._chunks.append((arrays, json.loads(_garments_file(*job).read_text(encoding="utf-8"))))

    def __len__(self) -> int:
        return sum(len(garments) for _, garments in self._chunks)

    def __getitem__(self, index: int) -> Sample:
        arrays, garments = self._chunks[index // _CHUNK]
        place = index % _CHUNK
        truth = tuple(Garment(**{**garment, "box_xyxy": tuple(garment["box_xyxy"])}) for garment in garments[place])
        return Sample(arrays["image"][place], arrays["labels"][place], arrays["depth"][place], truth)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


def _array_file(folder: Path, seeds: range, kind: str) -> Path:
    return folder / f"{seeds.start}-{seeds.stop}-{kind}.npy"


def _garments_file(folder: Path, seeds: range) -> Path:
    return folder / f"{seeds.start}-{seeds.stop}-garments.json"


def _draw_chunk(folder: Path, seeds: range) -> None:
    cv2.setNumThreads(1)
    scenes = [draw_scene(seed, WIDTH_PX, HEIGHT_PX) for seed in seeds]
    stacks = {
        "image": np.stack([scene.image for scene in scenes]),
        "labels": np.stack([scene.labels for scene in scenes]),
        "depth": np.stack([np.round(scene.depth * 255).astype(np.uint8) for scene in scenes]),
    }
    for kind, stack in stacks.items():
        np.save(_array_file(folder, seeds, kind), stack)
    # Last, and at once: its presence says that the chunk is whole.
    target = _garments_file(folder, seeds)
    unfinished = target.with_suffix(".part")
    unfinished.write_text(json.dumps([[asdict(garment) for garment in scene.garments] for scene in scenes]))
    unfinished.replace(target)
