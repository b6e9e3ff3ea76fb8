"""Soft colours for backdrops, and chance."""

from __future__ import annotations

import numpy as np

from fashioncrop_paperdoll.palette import Rgb

NEAR = 0.46
"""The floor's depth at the bottom of the picture; people stand nearer."""
WALLS: tuple[Rgb, ...] = (
    (236, 222, 204),
    (214, 226, 218),
    (206, 220, 236),
    (240, 214, 208),
    (226, 216, 236),
    (246, 236, 208),
    (196, 208, 202),
    (174, 190, 204),
    (222, 200, 184),
    (152, 164, 160),
    (196, 176, 178),
    (118, 134, 150),
)


def chance(rng: np.random.Generator, likelihood: float) -> bool:
    """True that often."""
    return bool(rng.random() < likelihood)


def pick(rng: np.random.Generator, colours: tuple[Rgb, ...]) -> Rgb:
    """One of the colours, a little off."""
    red, green, blue = np.clip(np.asarray(colours[rng.integers(len(colours))]) + rng.normal(0, 5, 3), 0, 255)
    return (float(red), float(green), float(blue))
