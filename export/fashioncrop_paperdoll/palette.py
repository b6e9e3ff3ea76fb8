"""The words for colours and patterns, and what they look like.

Each colour lies well inside the region that the pipeline's table of names gives to its word, so that light, noise and
compression leave the name as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Rgb = tuple[float, float, float]
"""Red, green, blue, sRGB, 0 to 255."""

COLOURS: dict[str, Rgb] = {
    "red": (206, 36, 42),
    "orange": (240, 128, 34),
    "yellow": (247, 220, 66),
    "green": (47, 150, 72),
    "blue": (43, 99, 203),
    "purple": (113, 60, 160),
    "pink": (243, 163, 189),
    "brown": (124, 75, 44),
    "black": (29, 29, 32),
    "white": (247, 247, 245),
    "grey": (130, 130, 131),
}
PATTERNS = ("plain", "striped", "dotted", "checked")

_ACCENTS: dict[str, tuple[str, ...]] = {
    "red": ("white", "white", "black", "yellow"),
    "orange": ("white", "white", "brown", "purple"),
    "yellow": ("red", "black", "blue", "purple"),
    "green": ("white", "white", "yellow", "black"),
    "blue": ("white", "white", "yellow", "orange"),
    "purple": ("white", "white", "yellow", "pink"),
    "pink": ("white", "red", "purple", "black"),
    "brown": ("white", "white", "yellow", "pink"),
    "black": ("white", "white", "red", "yellow"),
    "white": ("black", "blue", "red", "green"),
    "grey": ("white", "black", "red", "yellow"),
}
"""Colours that stand out on each; a word that stands twice is drawn twice as often."""


_DARK, _LIGHT, _PALE = 60, 185, 215  # luma


@dataclass(frozen=True)
class Style:
    """How one garment looks.

    Attributes:
        colour: the word for the base colour, which keeps more than 60 % of the garment.
        pattern: one of PATTERNS.
        rgb: the base colour.
        accent: the colour of stripes, dots or checks.
        period: from one stripe, dot or check to the next, in body heights.
        angle: of the pattern, radians.
    """

    colour: str
    pattern: str
    rgb: Rgb
    accent: Rgb
    period: float
    angle: float

    @property
    def line(self) -> Rgb:
        """The colour of the outline."""
        return (8, 8, 12) if self._is_black else scaled(self.rgb, 0.42)

    @property
    def detail(self) -> Rgb:
        """A tone that shows on the base colour, for lines: seams, ribs, folds."""
        return (86, 86, 92) if self._is_black else scaled(self.rgb, 0.68)

    @property
    def shade(self) -> Rgb:
        """The base colour, a little off, for parts: flaps, cuffs, waistbands."""
        return (56, 56, 62) if self._is_black else scaled(self.rgb, 0.87)

    @property
    def light(self) -> Rgb:
        """A paler one for collars; a greyer one where the base colour is pale."""
        return scaled(self.rgb, 0.86) if luma(self.rgb) > _PALE else mixed(self.rgb, (255, 255, 255), 0.35)

    @property
    def contrast(self) -> Rgb:
        """Near white on dark colours, dark on light ones: buttons, laces, zips."""
        return (60, 54, 60) if luma(self.rgb) > _LIGHT else (248, 246, 240)

    @property
    def is_pale(self) -> bool:
        """White or yellow, which soonest turn grey or mustard."""
        return luma(self.rgb) > _LIGHT

    @property
    def _is_black(self) -> bool:
        return luma(self.rgb) < _DARK


def draw_style(rng: np.random.Generator, colour: str, patterns: Sequence[str] = PATTERNS) -> Style:
    """A style of that colour; the pattern is one of `patterns`, each as likely as it is often named there."""
    gain = rng.uniform(0.97, 1.03)
    red, green, blue = np.clip(np.asarray(COLOURS[colour]) * gain + rng.normal(0, 2.5, 3), 0, 255).tolist()
    pattern = patterns[rng.integers(len(patterns))]
    accent = _ACCENTS[colour][rng.integers(len(_ACCENTS[colour]))]
    period = rng.uniform(0.05, 0.072)
    angle = (0.0, 0.0, np.pi / 2, np.pi / 4)[rng.integers(4)]
    return Style(colour, pattern, (red, green, blue), COLOURS[accent], float(period), float(angle))


def scaled(rgb: Rgb, factor: float) -> Rgb:
    """The colour, darker for a factor below 1 and lighter above."""
    return (min(rgb[0] * factor, 255.0), min(rgb[1] * factor, 255.0), min(rgb[2] * factor, 255.0))


def mixed(one: Rgb, other: Rgb, share: float) -> Rgb:
    """From `one` (share 0) to `other` (share 1)."""
    return (
        one[0] + (other[0] - one[0]) * share,
        one[1] + (other[1] - one[1]) * share,
        one[2] + (other[2] - one[2]) * share,
    )


def luma(rgb: Rgb) -> float:
    """How light a colour is, 0 to 255 (BT.601)."""
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
