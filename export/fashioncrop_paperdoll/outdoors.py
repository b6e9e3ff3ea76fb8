"""Street, park and beach."""

from __future__ import annotations

import numpy as np

from fashioncrop_paperdoll import props
from fashioncrop_paperdoll.canvas import Canvas, Layer
from fashioncrop_paperdoll.palette import Rgb, mixed, scaled
from fashioncrop_paperdoll.shapes import ellipse, polygon, rectangle, smooth
from fashioncrop_paperdoll.tints import NEAR, WALLS, chance, pick

_GREENS: tuple[Rgb, ...] = ((150, 190, 128), (126, 172, 118), (166, 196, 140), (110, 156, 116))
_SKIES: tuple[tuple[Rgb, Rgb], ...] = (
    ((134, 190, 232), (222, 240, 250)),
    ((164, 208, 238), (240, 246, 248)),
    ((250, 200, 168), (255, 236, 206)),
    ((176, 188, 206), (224, 230, 236)),
    ((196, 184, 226), (250, 222, 220)),
)


def paint_street(rng: np.random.Generator, canvas: Canvas, horizon: float) -> None:
    """House fronts, a pavement, perhaps a tree, a lamp and a bush."""
    _sky(rng, canvas)
    x, width = -0.1, canvas.aspect + 0.2
    shares = rng.dirichlet(np.full(4, 6.0))
    for share in shares:
        props.building(
            canvas, x, x + width * float(share), float(rng.uniform(0.05, 0.42)), horizon + 0.01, pick(rng, WALLS)
        )
        x += width * float(share)
    pavement = (198, 198, 196)
    props.floor(canvas, horizon, pavement, 0.14, NEAR)
    props.fill(
        canvas, rectangle(-0.3, horizon, canvas.aspect + 0.3, horizon + 0.012), (176, 176, 174), 0.15, outlined=False
    )
    middle = canvas.aspect / 2
    for step in range(-4, 5):
        line = polygon((middle + step * 0.14, horizon + 0.012), (middle + step * 0.3, 1.1))
        canvas.stroke(line, 0.004, (178, 178, 176), None)
    if chance(rng, 0.6):
        props.tree(
            canvas,
            float(rng.uniform(0, 1)) * canvas.aspect,
            horizon + 0.03,
            float(rng.uniform(0.3, 0.42)),
            pick(rng, _GREENS),
            0.22,
        )
    if chance(rng, 0.6):
        props.street_lamp(canvas, float(rng.choice([0.08, 0.92])) * canvas.aspect, horizon + 0.06)
    if chance(rng, 0.4):
        props.bush(canvas, float(rng.uniform(0, 1)) * canvas.aspect, horizon + 0.05, 0.13, pick(rng, _GREENS), 0.25)


def paint_park(rng: np.random.Generator, canvas: Canvas, horizon: float) -> None:
    """Hills, trees, grass with flowers and perhaps a path."""
    _sky(rng, canvas)
    aspect = canvas.aspect
    hill = mixed(pick(rng, _GREENS), (200, 220, 230), 0.45)
    props.fill(
        canvas,
        ellipse(float(rng.uniform(0, 1)) * aspect, horizon + 0.1, 0.6, float(rng.uniform(0.18, 0.3))),
        hill,
        0.05,
    )
    props.fill(
        canvas,
        ellipse(float(rng.uniform(0, 1)) * aspect, horizon + 0.1, 0.5, float(rng.uniform(0.14, 0.24))),
        scaled(hill, 0.94),
        0.07,
    )
    grass = pick(rng, _GREENS)
    for _ in range(4):
        place, size, tone = (
            float(rng.uniform(-0.05, 1.05)) * aspect,
            float(rng.uniform(0.26, 0.42)),
            scaled(grass, float(rng.uniform(0.72, 0.9))),
        )
        (props.fir if chance(rng, 0.3) else props.tree)(canvas, place, horizon + 0.02, size, tone, 0.14)
    props.floor(canvas, horizon, mixed(grass, (220, 230, 190), 0.3), 0.13, NEAR)
    start = float(rng.uniform(0.2, 0.8)) * aspect
    path = smooth(
        (start - 0.03, horizon + 0.002),
        (start + 0.03, horizon + 0.002),
        (aspect / 2 + 0.22, horizon + 0.1),
        (aspect / 2 + 0.4, 1.05),
        (aspect / 2 - 0.36, 1.05),
        (aspect / 2 - 0.05, horizon + 0.1),
    )
    if chance(rng, 0.7):
        canvas.shade(path, -0.45)
    for _ in range(5):
        x, y, tone = (
            float(rng.uniform(0, 1)) * aspect,
            float(rng.uniform(horizon + 0.06, 0.98)),
            pick(rng, ((250, 240, 200), (246, 190, 200), (250, 250, 250))),
        )
        near = 0.13 + (y - horizon) / (1 - horizon) * (NEAR - 0.13)
        props.fill(canvas, ellipse(x, y, 0.008, 0.007), tone, near, outlined=False)
    if chance(rng, 0.5):
        props.bush(canvas, float(rng.choice([0.05, 0.95])) * aspect, horizon + 0.08, 0.2, scaled(grass, 0.85), 0.27)


def paint_beach(rng: np.random.Generator, canvas: Canvas, horizon: float) -> None:
    """Sky, sea and sand; perhaps a sailing boat and a palm."""
    _sky(rng, canvas)
    aspect = canvas.aspect
    line = horizon - float(rng.uniform(0.12, 0.25))
    water = pick(rng, ((104, 176, 204), (126, 192, 204), (92, 160, 196)))
    props.fill(canvas, rectangle(-0.3, line, aspect + 0.3, 1.2), water, 0.05, outlined=False)
    for place, y in zip(rng.uniform(0, 1, 7), rng.uniform(line + 0.02, horizon, 7), strict=True):
        x = float(place) * aspect
        canvas.stroke(
            polygon((x - 0.04, float(y)), (x + 0.04, float(y))), 0.005, mixed(water, (255, 255, 255), 0.5), Layer(0.07)
        )
    if chance(rng, 0.5):
        x, sail = float(rng.uniform(0.1, 0.9)) * aspect, line - 0.11
        props.fill(canvas, polygon((x, sail), (x + 0.06, line - 0.015), (x, line - 0.015)), (252, 250, 244), 0.06)
        props.fill(
            canvas,
            polygon(
                (x - 0.05, line - 0.01), (x + 0.07, line - 0.01), (x + 0.04, line + 0.015), (x - 0.03, line + 0.015)
            ),
            (190, 130, 110),
            0.06,
        )
    sand = pick(rng, ((240, 220, 176), (234, 208, 164), (246, 228, 192)))
    canvas.stroke(polygon((-0.3, horizon), (aspect + 0.3, horizon)), 0.03, (246, 250, 250), Layer(0.11))
    props.floor(canvas, horizon + 0.005, sand, 0.12, NEAR)
    if chance(rng, 0.55):
        props.palm(canvas, float(rng.choice([0.05, 0.85])) * aspect, horizon + 0.06, float(rng.uniform(0.4, 0.55)))
    for _ in range(3):
        x, y = float(rng.uniform(0, 1)) * aspect, float(rng.uniform(horizon + 0.05, 0.97))
        tone = pick(rng, ((250, 236, 224), (240, 190, 170), (214, 190, 160)))
        props.fill(canvas, ellipse(x, y, 0.016, 0.011), tone, 0.12 + (y - horizon) / (1 - horizon) * (NEAR - 0.12))


def _sky(rng: np.random.Generator, canvas: Canvas) -> None:
    top, bottom = _SKIES[rng.integers(len(_SKIES))]
    canvas.wash(top, bottom, 0.0)
    if chance(rng, 0.5):
        props.sun(canvas, float(rng.uniform(0.1, 0.9)) * canvas.aspect, float(rng.uniform(0.06, 0.2)), 0.045)
    for _ in range(3):
        props.cloud(
            canvas,
            float(rng.uniform(0, 1)) * canvas.aspect,
            float(rng.uniform(0.05, 0.3)),
            float(rng.uniform(0.04, 0.075)),
        )
