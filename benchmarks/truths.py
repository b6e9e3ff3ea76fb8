"""What a dataset says is in its photos, and what was found there, in one form for every measure.

All boxes are `[x0, y0, x1, y1)` in pixels of the upright photo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

from fashioncrop.errors import InputError
from fashioncrop.results import Box


class DatasetError(InputError):
    """The dataset is missing, is not what it has to be, or has nothing that could be measured."""


class UnusablePhotoError(Exception):
    """One photo cannot be measured; the message says why, and the others go on."""


@dataclass(frozen=True, slots=True)
class Truth:
    """One annotated garment.

    Attributes:
        category: index into the dataset's categories.
        box_xyxy: where it is.
        is_crowd: a group annotated as one, as COCO has it: nobody has to find it, and to find it is no mistake.
        noun: its word, where the annotations say one.
        colour: its colour's word, likewise.
        pattern: `plain`, `striped` ..., likewise.
    """

    category: int
    box_xyxy: Box
    is_crowd: bool = False
    noun: str | None = None
    colour: str | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class Layers:
    """What a drawn scene knows of every pixel.

    Attributes:
        depth: float32 [height, width], relative inverse depth, 0 far to 1 near.
        labels: uint8 [height, width], 0 for no garment, i + 1 for the photo's truth i.
        people: uint8 [height, width], 0 for nobody, i + 1 for person i with all that is worn or held.
        wearers: for each truth the index of its person.
    """

    depth: NDArray[np.float32]
    labels: NDArray[np.uint8]
    people: NDArray[np.uint8]
    wearers: tuple[int, ...]


@dataclass(frozen=True)
class Photo:
    """A photo with its truths.

    Attributes:
        index: place in its dataset.
        name: of the file or scene.
        data: the encoded file.
        size_wh: width and height that the annotations are for, in pixels; None where they do not say.
        truths: what is in it.
        layers: of a drawn scene; None for a photo.
    """

    index: int
    name: str
    data: bytes
    size_wh: tuple[int, int] | None
    truths: tuple[Truth, ...]
    layers: Layers | None = None


class Dataset(Protocol):
    """Photos with truths, loaded one at a time."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of what was annotated."""

    @property
    def annotated(self) -> frozenset[int]:
        """Indices of the categories of which there is at least one."""

    @property
    def nouns(self) -> frozenset[tuple[str, int]]:
        """Nouns that annotations say, each with its category; empty where they say none."""

    @property
    def has_colours(self) -> bool:
        """Whether annotations say colours."""

    @property
    def notes(self) -> Mapping[str, Any]:
        """What a reader of the figures must know of it, as JSON values."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What the photo is called."""

    def load(self, index: int) -> Photo:
        """One photo; safe from several threads.

        Raises:
            UnusablePhotoError: it cannot be read.
        """


@dataclass(frozen=True)
class TrueBoxes:
    """The truths of one photo that are measured.

    Attributes:
        boxes_xyxy: float32 [n, 4].
        categories: int32 [n], keys of evaluated categories.
        is_crowd: bool [n].
    """

    boxes_xyxy: NDArray[np.float32]
    categories: NDArray[np.int32]
    is_crowd: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.categories)

    def __getitem__(self, keep: NDArray[np.bool_]) -> TrueBoxes:
        return TrueBoxes(self.boxes_xyxy[keep], self.categories[keep], self.is_crowd[keep])


@dataclass(frozen=True)
class FoundBoxes:
    """What was found in one photo.

    Attributes:
        boxes_xyxy: float32 [n, 4].
        categories: int32 [n], keys of evaluated categories.
        scores: float32 [n], 0 to 1.
    """

    boxes_xyxy: NDArray[np.float32]
    categories: NDArray[np.int32]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.categories)

    def __getitem__(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> FoundBoxes:
        return FoundBoxes(self.boxes_xyxy[keep], self.categories[keep], self.scores[keep])


def overlaps(found: FoundBoxes, truth: TrueBoxes) -> NDArray[np.float64]:
    """IoU of each found box with each true one, [found, truths]; with a crowd, the share of the found box in it.

    COCO's own arithmetic, so that all measures agree on what overlaps.
    """
    if not len(found) or not len(truth):
        return np.zeros((len(found), len(truth)))
    shares = mask.iou(_xywh(found.boxes_xyxy), _xywh(truth.boxes_xyxy), truth.is_crowd.astype(np.uint8))
    return np.asarray(shares, np.float64)


def _xywh(boxes_xyxy: NDArray[np.float32]) -> NDArray[np.float64]:
    boxes = boxes_xyxy.astype(np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
