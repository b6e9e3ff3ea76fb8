"""What the pipeline's own work on a photo costs in processor time, part by part, with the pipeline's own code.

Beside the time that an answer took, because that also counts what others did on the machine meanwhile.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

import pipeline_code  # noqa: F401 - makes the pipeline's modules known
import resizing
from colours import garment_colours
from crops import crop_box, jpeg
from depths import measure, over_photo
from fashioncrop.model_repository import Role
from identity import read_engine
from options import DEFAULT_CROP_PADDING
from photo import Limits, decode_photo
from quality import sharpness
from summaries import Spread, spread

Boxes = Sequence[tuple[float, float, float, float]]
"""x0, y0, x1, y1 of each garment in pixels of the upright photo."""

ALL = "all of it"
_ROUNDS = 5
_MS = 1000
_LIMITS = Limits(max_bytes=2**30, max_pixels=2**30)


def own_work_ms(repository: Path, photos: Sequence[tuple[bytes, Boxes]]) -> dict[str, Spread]:
    """Milliseconds of one thread's processor time for each part of the work on a photo, and for all of them.

    Args:
        repository: has what export wrote beside the engines, and so the sizes at which they see a photo.
        photos: each file with the garments that were found in it.
    """
    rules = {
        role: read_engine(repository, role).preprocessing
        for role in (Role.GARMENT_DETECTOR, Role.DEPTH_ESTIMATOR, Role.IMAGE_EMBEDDER)
    }
    taken = defaultdict[str, list[float]](list)
    for data, boxes in photos:
        parts = _parts(data, boxes, rules)
        for work in parts.values():  # the first time is the slowest
            work()
        for _ in range(_ROUNDS):
            each = {name: _cpu_ms(work) for name, work in parts.items()}
            for name, ms in {**each, ALL: sum(each.values())}.items():
                taken[name].append(ms)
    return {name: spread(values) for name, values in taken.items()}


def _parts(data: bytes, boxes: Boxes, rules: Mapping[Role, resizing.Preprocessing]) -> dict[str, Callable[[], object]]:
    photo = decode_photo(data, _LIMITS)
    image, size_wh = photo.image, photo.size_wh
    detector, depth, embedder = (rules[role] for role in rules)
    detector_hw, depth_hw = resizing.detector_size_hw(size_wh, detector), resizing.depth_size_hw(size_wh, depth)
    cut = [crop_box(box, DEFAULT_CROP_PADDING, size_wh) for box in boxes]
    images = [image.crop(box) for box in cut]
    boxes_xyxy = np.asarray(boxes, np.float32).reshape(-1, 4)
    depth_map = np.random.default_rng(0).random(depth_hw, np.float32)
    return {
        "decode": lambda: decode_photo(data, _LIMITS),
        "resize for the detector": lambda: resizing.resized(image, detector_hw, detector),
        "resize for depth": lambda: resizing.resized(image, depth_hw, depth),
        "cut out": lambda: [image.crop(box) for box in cut],
        "crops as JPEG": lambda: [jpeg(one) for one in images],
        "resize for the embedder": lambda: [resizing.embedder_input(one, embedder) for one in images],
        "depth": lambda: measure(over_photo(depth_map, size_wh), boxes_xyxy, size_wh),
        "sharpness": lambda: sharpness(image, boxes_xyxy),
        "colours": lambda: [garment_colours(image, box) for box in boxes],
    }


def _cpu_ms(work: Callable[[], object]) -> float:
    start_s = time.thread_time()
    work()
    return (time.thread_time() - start_s) * _MS
