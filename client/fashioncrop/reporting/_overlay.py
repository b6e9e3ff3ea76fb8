"""Where the boxes and their numbers lie over the picture, in percentages, so that they fit at every size of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fashioncrop.results import Box, Garment

# A number's plate, and how wide the picture is taken to be when plates are kept off each other.
PLATE_PX = (26, 22)
_SHOWN_PX = 560
_CROWD = 40
_NAME_CHARACTERS = 40
_RIGHT_HALF = 55


@dataclass(frozen=True)
class Mark:
    """A garment's box over the photo.

    Attributes:
        index: of the garment in its analysis.
        x: left edge as a percentage of the photo's width, such as `12.500%`.
        y: top edge, of its height.
        width: of the box, in the same unit.
        height: of the box, in the same unit.
        plate_x: the corner at which the number is.
        plate_y: the same.
        plate_dx: from that corner to the plate's left edge, in CSS pixels.
        plate_dy: from that corner to the plate's top edge.
        name: what is written beside the number while the box is pointed at.
        name_x: where that begins, or ends, in CSS pixels from the corner.
        name_anchor: `start` or `end`.
    """

    index: int
    x: str
    y: str
    width: str
    height: str
    plate_x: str
    plate_y: str
    plate_dx: int
    plate_dy: int
    name: str
    name_x: int
    name_anchor: str


def marks(garments: Sequence[Garment], size_wh: tuple[int, int]) -> list[Mark]:
    """One mark for each garment, the largest box first: what is drawn later lies on top and can be pointed at."""
    percentages = [_percentages(garment.box_xyxy, size_wh) for garment in garments]
    shown_high = _SHOWN_PX * size_wh[1] / size_wh[0]
    taken: list[Box] = []
    found = []
    for index, (garment, box) in enumerate(zip(garments, percentages, strict=True)):
        x, y, dx, dy = _plate(box, (_SHOWN_PX, shown_high), taken)
        right = x > _RIGHT_HALF
        found.append(
            Mark(
                index=index,
                x=_percent(box[0]),
                y=_percent(box[1]),
                width=_percent(box[2] - box[0]),
                height=_percent(box[3] - box[1]),
                plate_x=_percent(x),
                plate_y=_percent(y),
                plate_dx=dx,
                plate_dy=dy,
                name=_short(garment.phrase),
                name_x=dx - 6 if right else dx + PLATE_PX[0] + 6,
                name_anchor="end" if right else "start",
            )
        )
    return sorted(found, key=lambda mark: -_area(percentages[mark.index]))


def is_crowd(garments: Sequence[Garment]) -> bool:
    """So many that their numbers would hide the picture; each then shows only while its box is pointed at."""
    return len(garments) > _CROWD


def _plate(box: Box, shown_wh: tuple[float, float], taken: list[Box]) -> tuple[float, float, int, int]:
    """A corner of the box and the plate's offset from it: inside the box where no other number is, else top left."""
    wide, high = PLATE_PX
    places = []
    for y, dy in ((box[1], 0), (box[3], -high)):
        for x, dx in ((box[0], 0), (box[2], -wide)):
            # Never over the picture's edge, however small a box is.
            left = min(max(x * shown_wh[0] / 100 + dx, 0), shown_wh[0] - wide)
            top = min(max(y * shown_wh[1] / 100 + dy, 0), shown_wh[1] - high)
            dx_inside = round(left - x * shown_wh[0] / 100)
            dy_inside = round(top - y * shown_wh[1] / 100)
            places.append(((x, y, dx_inside, dy_inside), (left, top, left + wide, top + high)))
    place, area = next(
        ((place, area) for place, area in places if not any(_overlap(area, other) for other in taken)), places[0]
    )
    taken.append(area)
    return place


def _percentages(box: Box, size_wh: tuple[int, int]) -> Box:
    """The box as percentages of the photo, inside it."""
    x0, y0, x1, y1 = (
        min(max(100 * value / side, 0.0), 100.0) for value, side in zip(box, (*size_wh, *size_wh), strict=True)
    )
    return x0, y0, max(x1, x0), max(y1, y0)


def _percent(value: float) -> str:
    return f"{value:.3f}%"


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _short(phrase: str) -> str:
    text = " ".join(phrase.split())
    return text if len(text) <= _NAME_CHARACTERS else text[: _NAME_CHARACTERS - 1] + "\u2026"
