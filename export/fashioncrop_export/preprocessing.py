"""What a checkpoint's `preprocessor_config.json` says must happen to a photo before the network sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fashioncrop.errors import ModelFileError
from fashioncrop_export.checkpoints import Checkpoint

_FILE = "preprocessor_config.json"
# PIL's numbers, which transformers uses in its files.
_RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
_CHANNELS = 3


@dataclass(frozen=True)
class PhotoPreprocessing:
    """The arithmetic that goes into the graph, and the rest of the file.

    Attributes:
        rescale_factor: what bytes are multiplied by first.
        mean: per channel, subtracted next.
        std: per channel, divided by last.
        resample: name of Pillow's filter for resizing.
        size: the `size` entry as a dictionary.
        settings: the whole file.
    """

    rescale_factor: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resample: str
    size: Mapping[str, int]
    settings: Mapping[str, Any]


def read_photo_preprocessing(checkpoint: Checkpoint, size_keys: tuple[str, ...]) -> PhotoPreprocessing:
    """Read the file and require what the pipeline needs.

    Args:
        checkpoint: whose file.
        size_keys: what `size` has to hold; where it is one number (older files), that is the first key's.

    Raises:
        ModelFileError: an entry is missing or is not what it has to be.
    """
    settings = checkpoint.read_json(_FILE)
    path = checkpoint.folder / _FILE
    size = settings.get("size")
    if isinstance(size, int) and len(size_keys) == 1:
        size = {size_keys[0]: size}
    if not isinstance(size, Mapping) or not all(isinstance(size.get(key), int) for key in size_keys):
        raise ModelFileError(f"{path}: expected size with {' and '.join(size_keys)}, got {settings.get('size')}.")
    resample = _RESAMPLING.get(settings.get("resample", -1))
    if resample is None:
        raise ModelFileError(f"{path}: expected resample as one of Pillow's numbers, got {settings.get('resample')}.")
    mean, std = (_per_channel(settings, key, path=str(path)) for key in ("image_mean", "image_std"))
    rescale_factor = settings.get("rescale_factor", 1 / 255)
    if not isinstance(rescale_factor, float):
        raise ModelFileError(f"{path}: expected rescale_factor as a number, got {rescale_factor}.")
    return PhotoPreprocessing(rescale_factor, mean, std, resample, dict(size), settings)


def crop_hw(preprocessing: PhotoPreprocessing) -> list[int]:
    """Height and width of the centre crop, whether the file gives one number (older files) or two."""
    crop = preprocessing.settings.get("crop_size", preprocessing.size.get("shortest_edge"))
    return [crop["height"], crop["width"]] if isinstance(crop, Mapping) else [int(crop or 0)] * 2


def _per_channel(settings: Mapping[str, Any], key: str, *, path: str) -> tuple[float, ...]:
    values = settings.get(key)
    if not isinstance(values, list) or len(values) != _CHANNELS or not all(isinstance(v, int | float) for v in values):
        raise ModelFileError(f"{path}: expected {key} with {_CHANNELS} numbers, got {values}.")
    return tuple(float(value) for value in values)
