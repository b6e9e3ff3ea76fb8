"""Real inputs for a graph, to see how large its values become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from fashioncrop.model_repository import Role, engine_folder
from fashioncrop_export.identity import ENGINE_FILE
from fashioncrop_export.photos.feeds import Feeder, garment_like_boxes
from fashioncrop_export.photos.sources import PhotoSource

_MOST_CROPS = 8


def calibration_feeds(
    role: Role, photos: PhotoSource, feeder: Feeder, repository: Path
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """What the role's graph is given when the pipeline looks at the photos.

    Args:
        role: one that looks at photos.
        photos: to look at.
        feeder: prepares inputs.
        repository: holds the engines; the detector needs vocabulary_encoder's.
    """
    texts = _texts(photos, feeder, repository) if role is Role.GARMENT_DETECTOR else []
    for photo in photos:
        if role is Role.IMAGE_EMBEDDER:
            known = [truth.box_xyxy for truth in photo.truths or ()]
            boxes = (known or garment_like_boxes(photo.image.size))[:_MOST_CROPS]
            yield {"image": feeder.crops(photo.image, boxes)}
        elif role is Role.DEPTH_ESTIMATOR:
            yield {"image": feeder.depth_image(photo.image)}
        else:
            image = feeder.detector_image(photo.image)
            yield from ({"image": image, **text} for text in texts)


def _texts(photos: PhotoSource, feeder: Feeder, repository: Path) -> list[Mapping[str, NDArray[Any]]]:
    path = engine_folder(repository, Role.VOCABULARY_ENCODER) / ENGINE_FILE
    encoder = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in encoder.get_outputs()]
    return [
        dict(zip(names, encoder.run(None, {"input_ids": caption.input_ids[None]}), strict=True))
        for caption in feeder.captions(photos.vocabulary)
    ]
