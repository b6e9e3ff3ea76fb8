"""Garments of legs and feet: skirt, pants, shorts and shoes."""

from __future__ import annotations

import numpy as np

from fashioncrop_paperdoll.figure import CROTCH_Y, HIP_Y, SOLE_Y, Figure, Limb
from fashioncrop_paperdoll.outfit import Item
from fashioncrop_paperdoll.palette import mixed, scaled
from fashioncrop_paperdoll.shapes import between, capsule, curve, polygon, smooth, symmetric

_BOTTOM = 0.02  # how much nearer than the trunk
_BELT_Y = 0.415


def paint_skirt(figure: Figure, item: Item, label: int) -> None:
    """A-line, narrow or pleated, with a waistband."""
    style, build = item.style, figure.body.build
    hem = 0.645 + 0.13 * item.cut
    flare = (0.17, 0.128, 0.2)[item.kind % 3]
    side = np.vstack(
        [
            curve(
                (0.082 * build, _BELT_Y),
                (0.106 * build, HIP_Y),
                (max(flare, 0.118 * build), hem),
                (0.5 * flare, hem + 0.015),
                (0, hem + 0.02),
            ),
        ]
    )
    figure.cloth([symmetric(side)], style, _BOTTOM, label)
    folds = {0: (-0.45, 0.45), 1: (0.0,), 2: (-0.66, -0.33, 0.0, 0.33, 0.66)}[item.kind % 3]
    for share in folds:
        start = 0.47 if item.kind % 3 != 1 else hem - 0.07
        fold = polygon((share * 0.1 * build, start), (share * flare, hem + 0.012))
        figure.seam(fold, 0.006, style.detail)
    _waistband(figure, item)


def paint_legwear(figure: Figure, item: Item, label: int) -> None:
    """Pants to the ankles, or shorts to above the knees."""
    style, build = item.style, figure.body.build
    wide = (0.009, 0.016, 0.004)[item.kind % 3]
    hips = symmetric(
        curve((0.082 * build, _BELT_Y), (0.103 * build, HIP_Y), (0.1 * build, CROTCH_Y), (0.012, CROTCH_Y + 0.028))
    )
    shapes = [hips]
    for leg in figure.body.legs:
        if item.noun == "shorts":
            middle = (leg.joint[0] + (0.008 if leg.joint[0] > 0 else -0.008), leg.joint[1])  # daylight between the legs
            end = between(leg.root, middle, 0.74 + 0.2 * item.cut)
            shapes.append(capsule(leg.root, end, 0.05 * build, 0.046 + wide / 4, flat_end=True))
        else:
            end = between(leg.joint, leg.tip, 0.93)
            shapes.append(capsule(leg.root, leg.joint, 0.051 * build, 0.04 + wide))
            shapes.append(capsule(leg.joint, end, 0.04 + wide, 0.034 + 1.6 * wide, flat_end=True))
    figure.cloth(shapes, style, _BOTTOM, label)
    figure.seam(polygon((0, _BELT_Y + 0.02), (0, CROTCH_Y + 0.02)), 0.006, style.detail)
    for side, leg in zip((1, -1), figure.body.legs, strict=True):
        pocket = curve((side * 0.045, _BELT_Y + 0.026), (side * 0.056, 0.472), (side * 0.094 * build, 0.484))
        figure.seam(pocket, 0.006, style.detail)
        if item.noun == "pants":
            figure.seam(
                polygon(between(leg.root, leg.joint, 0.55), between(leg.joint, leg.tip, 0.75)), 0.005, style.detail
            )
    _waistband(figure, item)


def _waistband(figure: Figure, item: Item) -> None:
    build = figure.body.build
    band = symmetric([(0.084 * build, _BELT_Y - 0.012), (0.088 * build, _BELT_Y + 0.018)])
    figure.printed([band], item.style.shade)


def is_boot(item: Item) -> bool:
    """Whether the shoes have shafts."""
    return item.kind % 3 == 1


def paint_shoe(figure: Figure, item: Item, label: int, leg: Limb, side: int) -> None:
    """A sneaker, a boot or a flat shoe, its toe pointing outwards."""
    style = item.style
    x, kind = leg.tip[0] - side * 0.008, item.kind % 3

    def at(dx: float, y: float) -> tuple[float, float]:
        return (x + side * dx, y)

    if is_boot(item):
        shape = smooth(
            at(-0.036, 0.85),
            at(0.042, 0.85),
            at(0.042, 0.925),
            at(0.094, 0.945),
            at(0.106, 0.985),
            at(0.04, 0.99),
            at(-0.042, 0.99),
            at(-0.04, 0.93),
        )
    elif kind == 0:  # sneaker
        shape = smooth(
            at(-0.04, 0.905),
            at(0.0, 0.9),
            at(0.038, 0.9),
            at(0.06, 0.932),
            at(0.102, 0.95),
            at(0.112, 0.985),
            at(0.04, 0.99),
            at(-0.046, 0.988),
        )
    else:
        shape = smooth(
            at(-0.042, 0.92),
            at(-0.01, 0.938),
            at(0.03, 0.932),
            at(0.07, 0.935),
            at(0.114, 0.962),
            at(0.112, 0.988),
            at(0.03, 0.99),
            at(-0.046, 0.985),
        )
    figure.cloth([shape], style, 0.05, label, bulge=0.01)
    pale_sole = scaled(style.rgb, 0.72) if style.is_pale else mixed(style.rgb, (255, 255, 255), 0.75)
    sole = scaled(style.rgb, 0.55) if kind else pale_sole
    figure.plain(
        [
            smooth(
                at(-0.046, 0.984),
                at(0.03, 0.982),
                at(0.112, 0.98),
                at(0.117, 0.99),
                at(0.11, SOLE_Y),
                at(-0.044, SOLE_Y),
            )
        ],
        sole,
        0.061,
        label=label,
    )
    if kind == 0:
        for dx in (0.03, 0.048, 0.066):
            lace = polygon(at(dx, 0.922 + 0.3 * (dx - 0.03)), at(dx + 0.014, 0.94 + 0.3 * (dx - 0.03)))
            figure.seam(lace, 0.007, style.contrast)
    elif kind == 1:
        figure.seam(polygon(at(-0.037, 0.868), at(0.043, 0.868)), 0.007, style.detail)
