"""The colours of a garment, without a language model: clusters of its pixels, their shares, and a name for each.

There is no mask, only a box. Two things stand in for it: pixels near the box's corners are left out (garments are
rounder than boxes), and clusters that are much commoner around the box than inside it are taken for background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE_PX = 96
"""The window is scaled to at most this side; colour needs no more."""
_RING = 0.15
"""Width of the ring around the box that is taken for background, as a share of the box."""
_CLUSTERS = 10
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
    window, inside, around = _window(image, box_xyxy)
    labels = _clusters(window, inside)
    lab = _lab(window)
    names = np.unique(labels[inside])
    share_inside = {k: float((labels[inside] == k).mean()) for k in names}
    means = {k: lab[inside & (labels == k)].mean(axis=0) for k in names}
    share_around = {k: _share_near(lab[around], means[k]) for k in names}
    garment = [k for k in names if share_around[k] < _BACKGROUND_RATIO * share_inside[k]] or list(names)
    groups = _merged([(k, means[k], share_inside[k]) for k in garment])
    total = sum(share_inside[k] for k in garment)
    by_name: dict[str, list[int]] = {}
    for members in groups:  # two shades of one name are one colour
        name = colour_name(window[inside & np.isin(labels, members)].mean(axis=0))
        by_name.setdefault(name, []).extend(members)
    colours = []
    for name, members in by_name.items():
        share = sum(share_inside[k] for k in members) / total
        rgb = window[inside & np.isin(labels, members)].mean(axis=0)
        colours.append(Colour(hex=_hex(rgb), name=name, share=round(share, 4)))
    colours.sort(key=lambda colour: -colour.share)
    return [colour for colour in colours if colour.share >= _LEAST_SHARE][:_MOST_COLOURS] or colours[:1]


def colour_name(rgb: NDArray[np.floating[Any]]) -> str:
    """The nearest name by CIE76 distance. `rgb`: [3], 0 to 255, sRGB."""
    distance = np.linalg.norm(_NAMED_LAB - _lab(np.asarray(rgb, np.float32)[None, None])[0, 0], axis=1)
    return list(_NAMES)[int(distance.argmin())]


def _window(
    image: Image.Image, box_xyxy: tuple[float, float, float, float]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
    """The box with a ring around it, small: pixels uint8 [h, w, 3]; which are garment, which around, bool [h, w]."""
    x0, y0, x1, y1 = box_xyxy
    ring_x, ring_y = _RING * (x1 - x0), _RING * (y1 - y0)
    outer = (max(x0 - ring_x, 0), max(y0 - ring_y, 0), min(x1 + ring_x, image.width), min(y1 + ring_y, image.height))
    scale = _SIDE_PX / max(outer[2] - outer[0], outer[3] - outer[1])
    size_wh = (max(round((outer[2] - outer[0]) * scale), 1), max(round((outer[3] - outer[1]) * scale), 1))
    window = np.asarray(image.resize(size_wh, Image.Resampling.BOX, box=outer))
    # Centres of the window's pixels, where the box is -1 to 1.
    xs = (np.arange(size_wh[0]) + 0.5) / size_wh[0] * (outer[2] - outer[0]) + outer[0]
    ys = (np.arange(size_wh[1]) + 0.5) / size_wh[1] * (outer[3] - outer[1]) + outer[1]
    u = np.abs(2 * (xs - x0) / (x1 - x0) - 1)[None, :]
    v = np.abs(2 * (ys - y0) / (y1 - y0) - 1)[:, None]
    inside = u**4 + v**4 <= 1  # a square with round corners
    if not inside.any():
        inside = np.ones_like(inside)
    return window, inside, np.maximum(u, v) > 1


def _clusters(window: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Each pixel's cluster, by median cut of the garment's pixels; the same pixels give the same clusters. [h, w]."""
    garment = Image.fromarray(window[inside][None])
    palette = garment.quantize(_CLUSTERS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return np.asarray(Image.fromarray(window).quantize(palette=palette, dither=Image.Dither.NONE)).astype(np.int64)


def _share_near(lab: NDArray[np.float32], mean: NDArray[np.float32]) -> float:
    """Part of the pixels that have about this colour. `lab`: [n, 3]; what is near no cluster counts for none."""
    return float((np.linalg.norm(lab - mean, axis=1) < _MERGE_DELTA_E).mean()) if len(lab) else 0.0


def _merged(clusters: list[tuple[int, NDArray[np.float32], float]]) -> list[list[int]]:
    """Cluster ids grouped by colour, largest first: each joins the first group whose first member is near."""
    groups: list[tuple[NDArray[np.float32], list[int]]] = []
    for cluster, lab, _ in sorted(clusters, key=lambda item: (-item[2], item[0])):
        for centre, members in groups:
            if float(np.linalg.norm(centre - lab)) < _MERGE_DELTA_E:
                members.append(cluster)
                break
        else:
            groups.append((lab, [cluster]))
    return [members for _, members in groups]


def _lab(rgb: NDArray[np.generic]) -> NDArray[np.float32]:
    """SRGB 0 to 255 to CIELAB (L 0 to 100). [h, w, 3]."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _hex(rgb: NDArray[np.floating[Any]]) -> str:
    return "#" + "".join(f"{round(float(value)):02x}" for value in rgb)


_NAMED_LAB = _lab(np.asarray([[[int(value[i : i + 2], 16) for i in (1, 3, 5)] for value in _NAMES.values()]]))[0]
