"""Room, shop and studio."""

from __future__ import annotations

import numpy as np

from fashioncrop_paperdoll import props
from fashioncrop_paperdoll.canvas import Canvas
from fashioncrop_paperdoll.palette import Rgb, mixed, scaled
from fashioncrop_paperdoll.shapes import ellipse, polygon, rectangle, rounded
from fashioncrop_paperdoll.tints import NEAR, WALLS, chance, pick

_WOODS: tuple[Rgb, ...] = ((206, 172, 134), (186, 150, 116), (224, 200, 168), (162, 130, 104))


def paint_room(rng: np.random.Generator, canvas: Canvas, horizon: float) -> None:
    """A wall with pictures and perhaps a window, wooden boards, perhaps a rug, a plant and a lamp."""
    wall = _wall(rng, canvas, horizon)
    aspect = canvas.aspect
    window_side = int(rng.integers(3))  # left, right, or none
    for side in (0, 1):
        x, y, width = float(rng.uniform(0.04, 0.14)), float(rng.uniform(0.06, 0.22)), float(rng.uniform(0.1, 0.15))
        tone, kind = pick(rng, ((196, 140, 120), (120, 160, 176), (180, 160, 110))), int(rng.integers(2))
        if side == window_side:
            props.window(
                canvas, x * aspect if not side else (1 - x) * aspect - 0.24, 0.6 * y, 0.24, 0.32, (250, 248, 242)
            )
        else:
            props.picture(canvas, x * aspect if not side else (1 - x) * aspect - width, y, width, tone, kind)
    _boards(rng, canvas, horizon)
    if chance(rng, 0.5):
        rug = pick(rng, ((206, 150, 140), (140, 168, 186), (222, 204, 168), (160, 180, 150)))
        y = 0.5 * (horizon + 1) + 0.05
        props.fill(canvas, ellipse(aspect / 2, y, 0.36, 0.07), rug, None)
        props.fill(canvas, ellipse(aspect / 2, y, 0.3, 0.05), mixed(rug, (255, 255, 255), 0.25), None)
    side = rng.choice([0.08, 0.92])
    if chance(rng, 0.55):
        props.plant(
            canvas,
            float(side) * aspect,
            horizon + 0.05,
            float(rng.uniform(0.24, 0.36)),
            pick(rng, ((214, 128, 96), (240, 236, 226), (120, 140, 160))),
            0.27,
        )
    if chance(rng, 0.5):
        props.floor_lamp(canvas, float(1 - side) * aspect, horizon + 0.04, mixed(wall, (255, 236, 170), 0.8))


def paint_shop(rng: np.random.Generator, canvas: Canvas, horizon: float) -> None:
    """Shelves full of goods under a sign, on tiles."""
    _wall(rng, canvas, horizon)
    aspect = canvas.aspect
    top = float(rng.uniform(0.16, 0.26))
    for x0 in (0.02, 0.4):
        props.shelf(canvas, x0 * aspect / 0.75, (x0 + 0.33) * aspect / 0.75, top, rng)
    sign = pick(rng, ((120, 150, 160), (190, 120, 110), (110, 140, 116), (214, 184, 128)))
    props.fill(canvas, rounded(0.1 * aspect, 0.03, 0.9 * aspect, 0.115, 0.02), sign, 0.13)
    for step in range(7):
        x = (0.2 + step * 0.1) * aspect
        props.fill(canvas, ellipse(x, 0.073, 0.014, 0.018), mixed(sign, (255, 255, 255), 0.7), 0.13, outlined=False)
    tile = pick(rng, ((226, 222, 214), (206, 212, 216), (214, 200, 186)))
    props.floor(canvas, horizon, tile, 0.13, NEAR)
    middle = aspect / 2
    for step in range(-5, 6):
        canvas.stroke(
            polygon((middle + step * 0.11, horizon), (middle + step * 0.26, 1.1)), 0.004, scaled(tile, 0.9), None
        )
    if chance(rng, 0.6):
        props.plant(canvas, float(rng.choice([0.06, 0.94])) * aspect, horizon + 0.06, 0.26, (232, 226, 214), 0.28)


def paint_studio(rng: np.random.Generator, canvas: Canvas, horizon: float) -> None:
    """A plain wall with a large shape on it."""
    wall = pick(rng, WALLS)
    canvas.wash(scaled(wall, 1.03), scaled(wall, 0.92), 0.08)
    aspect = canvas.aspect
    props.floor(canvas, horizon, scaled(wall, 0.9), 0.12, NEAR)
    tone, kind = pick(rng, WALLS), rng.integers(4)
    x = float(rng.uniform(0.3, 0.7)) * aspect
    if kind == 0:
        props.fill(canvas, ellipse(x, 0.4, 0.3, 0.3), tone, 0.09, outlined=False)
    elif kind == 1:
        arch = np.vstack(
            [rectangle(x - 0.28, 0.4, x + 0.28, horizon)[2:], ellipse(x, 0.4, 0.28, 0.28)[18:], [(x + 0.28, 0.4)]]
        )
        props.fill(canvas, arch, tone, 0.09, outlined=False)
    elif kind == 2:
        for place, y, size in zip(
            rng.uniform(0, 1, 6), rng.uniform(0.05, 0.7, 6), rng.uniform(0.02, 0.07, 6), strict=True
        ):
            props.fill(
                canvas, ellipse(float(place) * aspect, float(y), float(size), float(size)), tone, 0.09, outlined=False
            )
    if chance(rng, 0.35):
        props.fill(
            canvas,
            rounded(0.04 * aspect, horizon - 0.12, 0.04 * aspect + 0.18, horizon + 0.06, 0.012),
            scaled(tone, 0.92),
            0.22,
        )
    if chance(rng, 0.35):
        props.plant(canvas, 0.92 * aspect, horizon + 0.07, 0.3, (240, 234, 222), 0.28)


def _wall(rng: np.random.Generator, canvas: Canvas, horizon: float) -> Rgb:
    wall = pick(rng, WALLS)
    canvas.wash(scaled(wall, 1.02), scaled(wall, 0.95), 0.08)
    kind, phase = rng.integers(20), float(rng.uniform(0, 0.1))
    if kind in range(7):  # stripes of wallpaper
        for step in range(int((canvas.aspect + 0.4) / 0.1) + 1):
            x = -0.2 + phase + step * 0.1
            props.fill(canvas, rectangle(x, -0.1, x + 0.04, horizon), scaled(wall, 0.965), 0.08, outlined=False)
    elif kind in range(7, 11):  # panelling
        props.fill(canvas, rectangle(-0.2, horizon - 0.26, canvas.aspect + 0.2, horizon), scaled(wall, 0.92), 0.085)
        for step in range(int((canvas.aspect + 0.4) / 0.2) + 1):
            x = -0.2 + phase + step * 0.2
            props.fill(canvas, rectangle(x, horizon - 0.22, x + 0.16, horizon - 0.04), scaled(wall, 0.95), 0.085)
    return wall


def _boards(rng: np.random.Generator, canvas: Canvas, horizon: float) -> None:
    wood = pick(rng, _WOODS)
    props.floor(canvas, horizon, wood, 0.12, NEAR)
    y, gap = horizon + 0.012, 0.03
    while y < 1.1:
        canvas.stroke(
            polygon((-0.3, y), (canvas.aspect + 0.3, y)),
            0.004,
            scaled(wood, 0.88),
            None,
        )
        y, gap = y + gap, gap * 1.25
    props.fill(canvas, rectangle(-0.3, horizon - 0.03, canvas.aspect + 0.3, horizon + 0.004), (246, 242, 234), 0.12)
