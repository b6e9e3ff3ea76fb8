"""What an answer says of each garment beside its vectors and its crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from categories import category_of
from colours import Colour, garment_colours
from crops import PixelBox
from depths import Depth
from detections import Detections
from photo import Photo
from quality import Quality, assess, sharpness


@dataclass(frozen=True)
class Garments:
    """The garments of one photo.

    Attributes:
        photo: see `Photo`.
        found: where they are, in the answer's order.
        vocabulary: their phrases by id.
        crop_boxes: where each is cut out.
    """

    photo: Photo
    found: Detections
    vocabulary: Sequence[str]
    crop_boxes: Sequence[PixelBox]


@dataclass(frozen=True)
class Looks:
    """What is told of garments by their pixels alone, before any depth is known.

    Attributes:
        colours: of each garment, the largest first.
        sharpnesses: of each, see `quality.sharpness`.
    """

    colours: list[list[Colour]]
    sharpnesses: list[float]


def look_at(garments: Garments) -> Looks:
    """Look at each garment."""
    image, boxes_xyxy = garments.photo.image, garments.found.boxes_xyxy
    return Looks(
        colours=[garment_colours(image, (x0, y0, x1, y1)) for x0, y0, x1, y1 in boxes_xyxy.tolist()],
        sharpnesses=sharpness(image, boxes_xyxy),
    )


def documents_of(garments: Garments, measured: Sequence[Depth], looks: Looks) -> list[dict[str, Any]]:
    """The garments as they stand in the answer's JSON.

    Args:
        garments: see `Garments`.
        measured: each one's depth.
        looks: from `look_at`.
    """
    medians = [depth.median for depth in measured]
    qualities = assess(garments.photo.size_wh, garments.found.boxes_xyxy, looks.sharpnesses, medians)
    each = zip(measured, looks.colours, qualities, strict=True)
    return [_document(garments, index, *parts) for index, parts in enumerate(each)]


def _document(
    garments: Garments, index: int, depth: Depth, colours: Sequence[Colour], quality: Quality
) -> dict[str, Any]:
    found = garments.found
    phrase = garments.vocabulary[found.phrase_ids[index]]
    category = category_of(phrase)
    return {
        "id": index,
        "phrase": phrase,
        "phrase_id": int(found.phrase_ids[index]),
        "category": category and {"id": category.id, "name": category.name, "supercategory": category.supercategory},
        "score": float(found.scores[index]),
        "box_xyxy": found.boxes_xyxy[index].tolist(),
        "crop_box_xyxy": list(garments.crop_boxes[index]),
        "depth": asdict(depth),
        "colours": [asdict(colour) for colour in colours],
        "flags": list(quality.flags),
        "overlapped_by": list(quality.overlapped_by),
    }
