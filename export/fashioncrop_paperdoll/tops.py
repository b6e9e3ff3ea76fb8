"""Garments of the trunk: shirt, t-shirt, sweater, dress, jacket and coat, each without and its sleeves apart."""

from __future__ import annotations

import numpy as np

from fashioncrop_paperdoll.figure import HIP_Y, WAIST_Y, Figure, Limb
from fashioncrop_paperdoll.outfit import Item
from fashioncrop_paperdoll.palette import Rgb, scaled
from fashioncrop_paperdoll.shapes import (
    Points,
    arc,
    between,
    capsule,
    curve,
    ellipse,
    polygon,
    rounded,
    smooth,
    symmetric,
)

_TUCKED = WAIST_Y + 0.02  # where a tucked top ends
_TOP, _OUTER = 0.03, 0.055  # how much nearer than the trunk


def _trunk(build: float, ease: float, hem: float, *, neck: float = 0.035) -> Points:
    """The right outline of a garment from the neck to its hem, `ease` wider than the trunk."""
    return curve(
        (neck, 0.228),
        (0.075 * build, 0.234),
        (0.101 * build + ease, 0.262),
        (0.098 * build + ease, 0.33),
        (0.086 * build + ease, WAIST_Y),
        (0.099 * build + ease, hem),
    )


def paint_t_shirt(figure: Figure, item: Item, label: int) -> None:
    """A wide round neck; sleeves end above the elbow."""
    style, build = item.style, figure.body.build
    figure.cloth([symmetric(_trunk(build, 0.01, _TUCKED if item.tucked else 0.505, neck=0.05))], style, _TOP, label)
    figure.skin([ellipse(0, 0.226, 0.044, 0.034)], _TOP + 0.005, bulge=0.0)
    figure.skin([symmetric([(0.03, 0.18), (0.034, 0.235)])], _TOP + 0.005, bulge=0.0)
    figure.skin([ellipse(0, 0.228, 0.04, 0.029)], _TOP + 0.006, bulge=0.0)
    figure.seam(arc(0, 0.226, 0.045, 0.036, 0.05 * np.pi, 0.95 * np.pi), 0.013, style.detail)
    if item.kind % 3 == 0 and style.pattern == "plain":  # a print on the chest
        figure.printed([_heart(0, 0.325, 0.03)], style.accent)


def paint_shirt(figure: Figure, item: Item, label: int) -> None:
    """A collar and a line of buttons."""
    style, build = item.style, figure.body.build
    hem = _TUCKED if item.tucked else 0.52
    figure.cloth([symmetric(_trunk(build, 0.012, hem))], style, _TOP, label)
    light = style.light
    figure.printed([polygon((-0.012, 0.235), (0.012, 0.235), (0.012, hem - 0.004), (-0.012, hem - 0.004))], light)
    for y in np.linspace(0.275, hem - 0.03, 5):
        figure.printed([ellipse(0, float(y), 0.0068, 0.0068)], style.contrast, outlined=False)
    figure.skin([polygon((-0.026, 0.222), (0.026, 0.222), (0, 0.254))], _TOP + 0.02, bulge=0.0)
    for side in (1, -1):
        collar = polygon((side * 0.03, 0.206), (side * 0.074, 0.243), (side * 0.044, 0.282), (0, 0.243))
        figure.plain([collar], light, _TOP + 0.036, label=label)
    if item.kind % 2:
        figure.printed(
            [polygon((0.03, 0.315), (0.072, 0.315), (0.072, 0.352), (0.051, 0.362), (0.03, 0.352))],
            scaled(style.rgb, 0.93),
        )


def paint_sweater(figure: Figure, item: Item, label: int) -> None:
    """Thick, with ribs at hem and neck."""
    style, build = item.style, figure.body.build
    hem = 0.5
    figure.cloth([symmetric(_trunk(build, 0.024, hem))], style, _TOP, label, bulge=0.04)
    if style.pattern == "plain":  # cables
        for x in (-0.052, 0.0, 0.052):
            for y in np.arange(0.3, hem - 0.02, 0.034):
                tick = polygon((x - 0.013, float(y)), (x, float(y) + 0.013), (x + 0.013, float(y)))
                figure.seam(tick, 0.0065, style.detail)
    width = 0.098 * build + 0.024
    _ribbed(
        figure,
        item,
        label,
        rounded(-width, hem - 0.012, width, hem + 0.036, 0.012),
        (-width, width),
        (hem - 0.004, hem + 0.028),
    )
    _ribbed(figure, item, label, rounded(-0.053, 0.186, 0.053, 0.246, 0.018), (-0.05, 0.05), (0.196, 0.238))


def _ribbed(
    figure: Figure, item: Item, label: int, band: Points, xs: tuple[float, float], ys: tuple[float, float]
) -> None:
    figure.plain([band], item.style.rgb, _TOP + 0.04, label=label)
    for x in np.arange(xs[0] + 0.014, xs[1] - 0.008, 0.019):
        figure.seam(polygon((float(x), ys[0]), (float(x), ys[1])), 0.006, item.style.detail)


def paint_dress(figure: Figure, item: Item, label: int) -> None:
    """Narrow above the waist, wide below, all of one cloth."""
    style, build = item.style, figure.body.build
    hem, flare = 0.69 + 0.15 * item.cut, 0.185 + 0.045 * (item.kind % 3) / 2
    neck = 0.052 if item.kind % 2 else 0.064
    side = np.vstack(
        [
            curve((neck, 0.236), (0.088 * build, 0.25), (0.1 * build, 0.315), (0.078 * build, WAIST_Y)),
            curve(
                (0.1 * build, HIP_Y - 0.03),
                (flare * 0.82, 0.3 * HIP_Y + 0.7 * hem),
                (flare, hem),
                (0.5 * flare, hem + 0.018),
                (0, hem + 0.024),
            ),
        ]
    )
    figure.cloth([symmetric(side)], style, _TOP, label)
    if item.kind % 2:
        figure.skin([symmetric(curve((0.05, 0.222), (0.045, 0.262), (0, 0.284)))], _TOP + 0.005, bulge=0.0)
    else:
        figure.skin([polygon((-0.06, 0.222), (0.06, 0.222), (0, 0.305))], _TOP + 0.005, bulge=0.0)
    figure.skin([symmetric([(0.03, 0.18), (0.038, 0.24)])], _TOP + 0.006, bulge=0.0)
    figure.shade(ellipse(0, 0.205, 0.033, 0.012), 0.14)
    sash = symmetric([(0.081 * build, WAIST_Y - 0.013), (0.083 * build, WAIST_Y + 0.015)])
    figure.printed([sash], style.detail)
    for x in (-0.5, 0, 0.5):  # folds
        fold = curve((x * 0.11, HIP_Y), (x * 0.2, 0.5 * (HIP_Y + hem)), (x * 0.27, hem + 0.005))
        figure.seam(fold, 0.0055, style.detail)


def paint_outer(figure: Figure, item: Item, label: int, *, closed: bool) -> None:
    """A jacket or a coat: lapels or a zip; open unless `closed`, hip-length or long."""
    style, build = item.style, figure.body.build
    coat = item.noun == "coat"
    ease = 0.024 if coat else 0.02
    hem = 0.64 + 0.05 * item.cut if coat else 0.515 + 0.02 * item.cut
    gap = 0.0 if closed else 0.063
    flare = 0.06 if coat else 0.006
    outside = np.vstack([_trunk(build, ease, HIP_Y, neck=0.04), polygon((0.099 * build + ease + flare, hem))])
    inside = polygon((gap + (0.022 if not closed else 0), hem + 0.006), (gap, WAIST_Y), (gap * 0.85, 0.3))
    half = np.vstack([outside, inside])
    for side in (-1, 1):
        figure.cloth([half * np.array([side, 1.0])], style, _OUTER, label)
    for side in (-1, 1):
        x = 0.5 * (gap + 0.1 * build + ease)
        pocket_y = 0.55 if coat else 0.44
        figure.seam(
            polygon((side * (x - 0.026), pocket_y), (side * (x + 0.026), pocket_y - 0.008)), 0.011, style.detail
        )
    if coat or item.kind % 2:
        _lapels(figure, item, label, gap)
    else:
        _zip(figure, item, label, gap, hem)
    if closed:
        for y in np.linspace(0.37, hem - 0.1, 4):
            for side in (-1, 1):
                figure.printed([ellipse(side * 0.036, float(y), 0.0115, 0.0115)], _button(item))


def _lapels(figure: Figure, item: Item, label: int, gap: float) -> None:
    for side in (-1, 1):
        lapel = polygon(
            (side * 0.032, 0.205),
            (side * 0.072, 0.236),
            (side * 0.094, 0.292),
            (side * 0.068, 0.3),
            (side * 0.078, 0.322),
            (side * (gap + 0.004), 0.405),
            (side * (gap * 0.75), 0.3),
        )
        figure.plain([lapel], item.style.shade, _OUTER + 0.036, label=label)


def _zip(figure: Figure, item: Item, label: int, gap: float, hem: float) -> None:
    for side in (-1, 1):
        collar = polygon(
            (side * 0.03, 0.196), (side * 0.062, 0.205), (side * 0.074, 0.25), (side * (gap * 0.85), 0.292)
        )
        figure.plain([collar], item.style.rgb, _OUTER + 0.036, label=label)
        edge = polygon((side * gap * 0.85, 0.3), (side * gap, WAIST_Y), (side * (gap + 0.02), hem))
        figure.seam(edge, 0.012, item.style.contrast)
        band = polygon(
            (side * (gap + 0.018), hem - 0.022),
            (side * 0.124 * figure.body.build, hem - 0.022),
            (side * 0.124 * figure.body.build, hem + 0.014),
            (side * (gap + 0.022), hem + 0.014),
        )
        figure.printed([band], item.style.detail)


def paint_sleeve(figure: Figure, item: Item, label: int, arm: Limb) -> None:
    """The sleeve of whichever garment, over the arm."""
    style, outer = item.style, item.noun in {"jacket", "coat"}
    nearer = 0.055 if outer else 0.045
    match item.noun:
        case "t-shirt":
            end = between(arm.root, arm.joint, 0.68)
            figure.cloth([capsule(arm.root, end, 0.039, 0.044, flat_end=True)], style, nearer, label, bulge=0.01)
            return
        case "dress":
            if item.kind < 2:
                return
            end = between(arm.root, arm.joint, 0.42)
            figure.cloth([capsule(arm.root, end, 0.04, 0.046)], style, nearer, label, bulge=0.01)
            return
        case "shirt":
            wide, share = 0.007, 0.88
        case "sweater":
            wide, share = 0.016, 0.86
        case _:
            wide, share = 0.017, 0.9
    end = between(arm.joint, arm.tip, share)
    shapes = [
        capsule(arm.root, arm.joint, 0.032 + wide, 0.027 + wide),
        capsule(arm.joint, end, 0.027 + wide, 0.024 + wide, flat_end=True),
    ]
    figure.cloth(shapes, style, nearer, label, bulge=0.01)
    start = between(arm.joint, arm.tip, share - 0.2)
    tone = style.light if item.noun == "shirt" else style.shade
    figure.plain([_band(start, end, 0.027 + wide)], tone, nearer + 0.012, label=label)


def _band(start: tuple[float, float], end: tuple[float, float], half: float) -> Points:
    along = np.arctan2(end[1] - start[1], end[0] - start[0])
    aside = np.array([-np.sin(along), np.cos(along)]) * half
    return np.array([start + aside, end + aside, end - aside, start - aside])


def _button(item: Item) -> Rgb:
    return (60, 46, 42) if item.style.is_pale else (245, 222, 150)


def _heart(x: float, y: float, size: float) -> Points:
    return smooth(
        (x, y + size),
        (x - size, y - 0.15 * size),
        (x - 0.55 * size, y - 0.75 * size),
        (x, y - 0.3 * size),
        (x + 0.55 * size, y - 0.75 * size),
        (x + size, y - 0.15 * size),
    )
