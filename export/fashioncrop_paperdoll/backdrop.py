"""Backdrops: street, park, room, shop, studio and beach, softer in colour than what people wear."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fashioncrop_paperdoll.canvas import Canvas
from fashioncrop_paperdoll.indoors import paint_room, paint_shop, paint_studio
from fashioncrop_paperdoll.outdoors import paint_beach, paint_park, paint_street

_PLACES: tuple[Callable[[np.random.Generator, Canvas, float], None], ...] = (
    paint_street,
    paint_park,
    paint_room,
    paint_room,
    paint_shop,
    paint_studio,
    paint_beach,
)


def paint_backdrop(rng: np.random.Generator, canvas: Canvas, horizon: float) -> None:
    """Paint one of the places, its ground beginning at `horizon` (picture heights)."""
    _PLACES[rng.integers(len(_PLACES))](rng, canvas, horizon)
