"""The colours of a garment, without a language model: clusters of its pixels, their shares, and a name for each.

There is no mask, only a box. Two things stand in for it: pixels near the box's corners are left out (garments are
rounder than boxes), and clusters that are much commoner around the box than inside it are taken for background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE_PX = 96
"""A larger window is scaled to this side by averaging areas; colour needs no more."""
_RING = 0.15
"""Width of the ring around the box that is taken for background, as a share of the box."""
_CLUSTERS = 10
_PALETTE_PIXELS = 1024
"""Of a garment's pixels so many, at most, choose its clusters; every pixel is then counted with the nearest. The test
against all pixels of drawn garments says what these limits cost: with them 96 of 100 garments have the same first
colour name, half of the first colours lie within 0.7 (CIE76), and half of their shares within 0.03."""
_COARSE = 0xF8
"""The bits of a channel that choose clusters: the cut takes its time for every different colour."""
_BACKGROUND_RATIO = 1.5
"""A colour this many times commoner around the box than inside is background. Above 1, because a box may show a part of
a larger plain garment, whose colour is then as common around it."""
_MERGE_DELTA_E = 14.0
"""Clusters nearer than this (CIE76 distance in CIELAB; 2.3 is just noticeable) are one colour in different light."""
_LEAST_SHARE = 0.05
_MOST_COLOURS = 5

# Names that shops use, with a typical value each.
_NAMES = {
    "black": "#1a1a1a",
    "dark grey": "#4d4d4d",
    "grey": "#808080",
    "light grey": "#c4c4c4",
    "white": "#f7f7f7",
    "cream": "#f3ead3",
    "beige": "#d9c3a0",
    "tan": "#c19a6b",
    "brown": "#7b4a2b",
    "dark brown": "#43291c",
    "red": "#d0202a",
    "burgundy": "#6d1a2d",
    "pink": "#f2a6bd",
    "hot pink": "#e83e8c",
    "coral": "#f5785f",
    "orange": "#f08020",
    "mustard": "#c9981f",
    "yellow": "#f7df3e",
    "olive": "#6b6b2f",
    "khaki": "#a39a6b",
    "lime": "#a8d52a",
    "green": "#2f9645",
    "dark green": "#1c4a30",
    "mint": "#a5e2c4",
    "teal": "#147d80",
    "turquoise": "#3fc6cb",
    "light blue": "#a3cdee",
    "blue": "#2b63c9",
    "denim blue": "#54749b",
    "navy": "#1c2647",
    "lavender": "#bda9e0",
    "purple": "#6f3a9c",
}


@dataclass(frozen=True)
class Colour:
    """One colour of a garment.

    Attributes:
        hex: mean of its pixels, `#rrggbb`, sRGB.
        name: the nearest of a small table of names.
        share: part of the garment's pixels, 0 to 1; small colours are left out, so shares may sum to less than 1.
    """

    hex: str
    name: str
    share: float


def garment_colours(image: Image.Image, box_xyxy: tuple[float, float, float, float]) -> list[Colour]:
    """The colours inside a box, the largest first; at most five, at least one.

    Args:
        image: the upright photo, RGB.
        box_xyxy: x0, y0, x1, y1 in pixels of it.
    """
    garment, around = _pixels(image, box_xyxy)
    clusters = _clusters(garment)
    share_around = _shares_near(_lab(around), clusters.lab)
    is_garment = share_around < _BACKGROUND_RATIO * clusters.share
    kept = clusters[is_garment] if is_garment.any() else clusters
    shades = kept.grouped(_shade_groups(kept))
    numbers: dict[str, int] = {}  # two shades of one name are one colour
    named = shades.grouped([numbers.setdefault(name, len(numbers)) for name in _names(shades.rgb)])
    shares = named.share / kept.share.sum()
    colours = [
        Colour(hex=_hex(rgb), name=name, share=round(float(share), 4))
        for name, rgb, share in zip(numbers, named.rgb, shares, strict=True)
    ]
    colours.sort(key=lambda colour: -colour.share)
    return [colour for colour in colours if colour.share >= _LEAST_SHARE][:_MOST_COLOURS] or colours[:1]


def colour_name(rgb: NDArray[np.floating[Any]]) -> str:
    """The nearest name by CIE76 distance. `rgb`: [3], 0 to 255, sRGB."""
    return _names(np.asarray(rgb)[None])[0]


@dataclass(frozen=True)
class _Clusters:
    """Colours with what they have of a garment's pixels.

    Attributes:
        share: float64 [n], above 0.
        lab: float64 [n, 3], CIELAB; means of the pixels.
        rgb: float64 [n, 3], likewise, 0 to 255.
    """

    share: NDArray[np.float64]
    lab: NDArray[np.float64]
    rgb: NDArray[np.float64]

    def __getitem__(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> _Clusters:
        return _Clusters(self.share[keep], self.lab[keep], self.rgb[keep])

    def grouped(self, groups: Sequence[int]) -> _Clusters:
        """Those of one group as one. `groups`: the number of each one's group, from 0 without gaps."""
        member = np.equal.outer(np.arange(max(groups) + 1), groups)
        share = member @ self.share
        weights = member * self.share / share[:, None]
        return _Clusters(share, weights @ self.lab, weights @ self.rgb)


def _pixels(
    image: Image.Image, box_xyxy: tuple[float, float, float, float]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels of the garment and of the ring around its box, uint8 [n, 3] each; the second may be empty."""
    x0, y0, x1, y1 = box_xyxy
    ring_x, ring_y = _RING * (x1 - x0), _RING * (y1 - y0)
    outer = (max(x0 - ring_x, 0), max(y0 - ring_y, 0), min(x1 + ring_x, image.width), min(y1 + ring_y, image.height))
    scale = min(_SIDE_PX / max(outer[2] - outer[0], outer[3] - outer[1]), 1.0)
    size_wh = (max(round((outer[2] - outer[0]) * scale), 1), max(round((outer[3] - outer[1]) * scale), 1))
    # Averages of whole pixels first, which is most of the way and fast.
    window = np.asarray(image.resize(size_wh, Image.Resampling.BOX, box=outer, reducing_gap=1.0))
    # Centres of the window's pixels, where the box is -1 to 1.
    xs = (np.arange(size_wh[0]) + 0.5) / size_wh[0] * (outer[2] - outer[0]) + outer[0]
    ys = (np.arange(size_wh[1]) + 0.5) / size_wh[1] * (outer[3] - outer[1]) + outer[1]
    u = np.abs(2 * (xs - x0) / (x1 - x0) - 1)[None, :]
    v = np.abs(2 * (ys - y0) / (y1 - y0) - 1)[:, None]
    inside = u**4 + v**4 <= 1  # a square with round corners
    garment = window[inside] if inside.any() else window.reshape(-1, 3)
    return garment, window[np.maximum(u, v) > 1]


def _clusters(pixels: NDArray[np.uint8]) -> _Clusters:
    """A garment's pixels by colour, with a median cut; the same pixels give the same clusters. `pixels`: [n, 3]."""
    some = pixels
    if len(pixels) > _PALETTE_PIXELS:
        # Steps of the golden ratio spread evenly and keep no time with stripes, as every third pixel would.
        spread = np.arange(_PALETTE_PIXELS) * _GOLDEN % 1.0
        some = pixels[(spread * len(pixels)).astype(np.intp)]
    coarse = (some & _COARSE) | (_COARSE ^ 0xFF) // 2
    palette = Image.fromarray(coarse[None]).quantize(
        _CLUSTERS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    labels = np.asarray(Image.fromarray(pixels[None]).quantize(palette=palette, dither=Image.Dither.NONE))[0]
    values = np.concatenate([_lab(pixels), pixels], axis=1).T
    counts = np.bincount(labels, minlength=_CLUSTERS)
    used = np.flatnonzero(counts)
    sums = np.stack([np.bincount(labels, weights=one, minlength=_CLUSTERS) for one in values], axis=1)
    means = sums[used] / counts[used, None]
    return _Clusters(counts[used] / len(pixels), means[:, :3], means[:, 3:])


def _shares_near(lab: NDArray[np.float32], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part of the pixels that have about each of some colours; what is near none of them counts for none.

    Args:
        lab: [n, 3].
        means: [k, 3].
    """
    if not len(lab):
        return np.zeros(len(means))
    centres = means.astype(np.float32)
    apart = np.square(centres).sum(axis=1)[:, None] + np.square(lab).sum(axis=1) - 2 * (centres @ lab.T)  # squared
    return np.asarray(np.count_nonzero(apart < _MERGE_DELTA_E**2, axis=1) / len(lab), np.float64)


def _shade_groups(clusters: _Clusters) -> list[int]:
    """A group number for each cluster: from the largest on, each joins the first group whose first member is near."""
    apart = np.linalg.norm(clusters.lab[:, None] - clusters.lab[None], axis=2)
    groups = [-1] * len(clusters.share)
    firsts: list[int] = []
    for index in np.argsort(-clusters.share, kind="stable").tolist():
        near = [number for number, first in enumerate(firsts) if apart[first, index] < _MERGE_DELTA_E]
        if not near:
            firsts.append(index)
        groups[index] = near[0] if near else len(firsts) - 1
    return groups


def _names(rgb: NDArray[np.floating[Any]]) -> list[str]:
    """The nearest name of each colour by CIE76 distance. `rgb`: [n, 3], 0 to 255, sRGB."""
    apart = np.linalg.norm(_lab(rgb)[:, None] - _NAMED_LAB, axis=2)
    return [_NAME_LIST[index] for index in apart.argmin(axis=1).tolist()]


def _lab(rgb: NDArray[np.generic]) -> NDArray[np.float32]:
    """SRGB 0 to 255 to CIELAB (L 0 to 100). [n, 3]."""
    if not len(rgb):
        return np.zeros((0, 3), np.float32)
    return np.asarray(cv2.cvtColor(rgb[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0], np.float32)


def _hex(rgb: NDArray[np.floating[Any]]) -> str:
    return "#" + "".join(f"{round(float(value)):02x}" for value in rgb)


_GOLDEN = (5**0.5 - 1) / 2
_NAME_LIST = list(_NAMES)
_NAMED_LAB = _lab(np.asarray([[int(value[i : i + 2], 16) for i in (1, 3, 5)] for value in _NAMES.values()]))
