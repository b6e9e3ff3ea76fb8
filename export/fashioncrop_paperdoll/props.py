"""Things that stand, hang or fly in backdrops; each painted by one function, positions in picture heights."""

from __future__ import annotations

import numpy as np

from fashioncrop_paperdoll.canvas import Canvas, Layer, Paint
from fashioncrop_paperdoll.palette import Rgb, mixed, scaled
from fashioncrop_paperdoll.shapes import Points, capsule, curve, ellipse, polygon, rectangle, rounded, smooth


def fill(canvas: Canvas, shape: Points, rgb: Rgb, depth: float | None, *, outlined: bool = True) -> None:
    """One flat shape, with a soft outline; without a depth it lies on what is there."""
    canvas.paint(
        [shape], Paint(rgb, line=scaled(rgb, 0.72) if outlined else None), None if depth is None else Layer(depth)
    )


def floor(canvas: Canvas, y: float, rgb: Rgb, far: float, near: float) -> None:
    """The ground from y to the bottom, coming nearer."""
    near_rgb = scaled(rgb, 0.93)
    shape = rectangle(-0.3, y, canvas.aspect + 0.3, 1.2)
    canvas.paint([shape], Paint(rgb, bottom=near_rgb), Layer(far, depth_bottom=near))


def cloud(canvas: Canvas, x: float, y: float, size: float) -> None:
    """White puffs on a flat base."""
    puffs = [
        ellipse(x + dx * size, y + dy * size, r * size, r * size * 0.8)
        for dx, dy, r in ((-0.7, 0.1, 0.45), (-0.15, -0.2, 0.6), (0.5, 0.0, 0.5), (0.95, 0.15, 0.3))
    ]
    canvas.paint(
        [*puffs, rounded(x - 1.1 * size, y + 0.05 * size, x + 1.2 * size, y + 0.45 * size, 0.18 * size)],
        Paint((252, 253, 255)),
        Layer(0.02),
    )


def sun(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A disc with a halo."""
    canvas.shade(ellipse(x, y, size * 1.6, size * 1.6), -0.3)
    fill(canvas, ellipse(x, y, size, size), (255, 228, 130), 0.01, outlined=False)


def tree(canvas: Canvas, x: float, y: float, size: float, rgb: Rgb, depth: float) -> None:
    """A round crown on a trunk that stands at y."""
    fill(canvas, capsule((x, y - 0.5 * size), (x, y), 0.05 * size, 0.075 * size, flat_end=True), (140, 104, 76), depth)
    crown = [
        ellipse(x + dx * size, y + (dy - 0.75) * size, r * size, r * size)
        for dx, dy, r in ((0, -0.15, 0.27), (-0.2, 0.05, 0.22), (0.2, 0.05, 0.23), (0, 0.12, 0.22))
    ]
    canvas.paint(crown, Paint(rgb, line=scaled(rgb, 0.75)), Layer(depth))
    fill(
        canvas,
        ellipse(x - 0.1 * size, y - 0.93 * size, 0.1 * size, 0.07 * size),
        mixed(rgb, (255, 255, 255), 0.2),
        depth,
        outlined=False,
    )


def fir(canvas: Canvas, x: float, y: float, size: float, rgb: Rgb, depth: float) -> None:
    """Three triangles on a trunk that stands at y."""
    fill(canvas, rectangle(x - 0.05 * size, y - 0.2 * size, x + 0.05 * size, y), (132, 98, 74), depth)
    for step in range(3):
        base, half = y - (0.15 + 0.24 * step) * size, (0.3 - 0.06 * step) * size
        fill(canvas, polygon((x - half, base), (x + half, base), (x, base - 0.42 * size)), rgb, depth)


def bush(canvas: Canvas, x: float, y: float, size: float, rgb: Rgb, depth: float) -> None:
    """A low heap of leaves."""
    heap = [
        ellipse(x + dx * size, y - dy * size, r * size, r * size)
        for dx, dy, r in ((-0.35, 0.12, 0.25), (0, 0.25, 0.32), (0.36, 0.13, 0.24))
    ]
    canvas.paint(heap, Paint(rgb, line=scaled(rgb, 0.75)), Layer(depth))


def building(canvas: Canvas, x0: float, x1: float, top: float, base: float, rgb: Rgb) -> None:
    """A house front with rows of windows and a door's worth of wall below."""
    fill(canvas, rectangle(x0, top, x1, base), rgb, 0.1)
    fill(canvas, rectangle(x0 - 0.008, top, x1 + 0.008, top + 0.02), scaled(rgb, 0.88), 0.1)
    columns = 3 if x1 - x0 > 0.22 else 2
    pane = mixed((176, 214, 236), rgb, 0.15)
    step = (x1 - x0) / columns
    for row in range(6):
        y = top + 0.06 + row * 0.115
        if y + 0.07 > base - 0.05:
            break
        for column in range(columns):
            x = x0 + (column + 0.5) * step
            fill(canvas, rectangle(x - 0.3 * step, y, x + 0.3 * step, y + 0.07), pane, 0.1)


def street_lamp(canvas: Canvas, x: float, base: float) -> None:
    """A tall post with a lantern."""
    dark = (86, 92, 104)
    canvas.stroke(polygon((x, base), (x, base - 0.62)), 0.014, dark, Layer(0.26))
    fill(canvas, rectangle(x - 0.022, base - 0.03, x + 0.022, base), dark, 0.26)
    fill(
        canvas,
        polygon((x - 0.02, base - 0.62), (x + 0.02, base - 0.62), (x + 0.032, base - 0.69), (x - 0.032, base - 0.69)),
        (255, 238, 170),
        0.26,
    )
    fill(canvas, polygon((x - 0.04, base - 0.69), (x + 0.04, base - 0.69), (x, base - 0.725)), dark, 0.26)


def window(canvas: Canvas, x: float, y: float, width: float, height: float, frame: Rgb) -> None:
    """Panes with the sky outside."""
    fill(canvas, rectangle(x - 0.02, y - 0.02, x + width + 0.02, y + height + 0.02), frame, 0.1)
    canvas.paint([rectangle(x, y, x + width, y + height)], Paint((170, 212, 240), bottom=(222, 240, 250)), Layer(0.03))
    canvas.shade(
        polygon(
            (x + 0.15 * width, y + height), (x + 0.5 * width, y), (x + 0.75 * width, y), (x + 0.4 * width, y + height)
        ),
        -0.3,
    )
    canvas.stroke(polygon((x + width / 2, y), (x + width / 2, y + height)), 0.011, frame, Layer(0.1))
    canvas.stroke(polygon((x, y + height * 0.45), (x + width, y + height * 0.45)), 0.011, frame, Layer(0.1))
    fill(
        canvas,
        rectangle(x - 0.035, y + height + 0.018, x + width + 0.035, y + height + 0.036),
        scaled(frame, 0.95),
        0.12,
    )


def picture(canvas: Canvas, x: float, y: float, size: float, rgb: Rgb, kind: int) -> None:
    """A framed landscape or a framed flower."""
    fill(canvas, rectangle(x, y, x + size, y + 1.2 * size), (150, 112, 80), 0.11)
    fill(canvas, rectangle(x + 0.1 * size, y + 0.1 * size, x + 0.9 * size, y + 1.1 * size), (250, 246, 236), 0.11)
    if kind:
        fill(canvas, ellipse(x + 0.5 * size, y + 0.5 * size, 0.2 * size, 0.2 * size), rgb, 0.11, outlined=False)
        canvas.stroke(
            polygon((x + 0.5 * size, y + 0.68 * size), (x + 0.5 * size, y + 1.0 * size)),
            0.01,
            (120, 160, 110),
            Layer(0.11),
        )
    else:
        fill(
            canvas,
            polygon(
                (x + 0.14 * size, y + 1.05 * size),
                (x + 0.42 * size, y + 0.45 * size),
                (x + 0.86 * size, y + 1.05 * size),
            ),
            rgb,
            0.11,
            outlined=False,
        )
        fill(
            canvas,
            ellipse(x + 0.68 * size, y + 0.36 * size, 0.09 * size, 0.09 * size),
            (250, 210, 120),
            0.11,
            outlined=False,
        )


def plant(canvas: Canvas, x: float, base: float, size: float, pot: Rgb, depth: float) -> None:
    """Large leaves in a pot that stands at `base`."""
    leaf: Rgb = (112, 168, 116)
    for angle, length in ((-0.9, 0.55), (0.95, 0.55), (-0.5, 0.75), (0.5, 0.72), (0.0, 0.85)):
        tip = (x + size * length * float(np.sin(angle)), base - 0.33 * size - size * length * float(np.cos(angle)))
        middle_x, middle_y = (x + tip[0]) / 2, (base - 0.33 * size + tip[1]) / 2
        wide = 0.11 * size
        aside = (float(np.cos(angle)) * wide, float(np.sin(angle)) * wide)
        fill(
            canvas,
            smooth(
                (x, base - 0.3 * size),
                (middle_x + aside[0], middle_y + aside[1]),
                tip,
                (middle_x - aside[0], middle_y - aside[1]),
            ),
            scaled(leaf, 0.9 + 0.15 * length),
            depth,
        )
    fill(
        canvas,
        polygon(
            (x - 0.2 * size, base - 0.36 * size),
            (x + 0.2 * size, base - 0.36 * size),
            (x + 0.14 * size, base),
            (x - 0.14 * size, base),
        ),
        pot,
        depth,
    )


def floor_lamp(canvas: Canvas, x: float, base: float, shade_rgb: Rgb) -> None:
    """A stand with a lamp shade and its glow."""
    canvas.shade(ellipse(x, base - 0.56, 0.14, 0.14), -0.22)
    canvas.stroke(polygon((x, base), (x, base - 0.5)), 0.011, (104, 96, 92), Layer(0.24))
    fill(canvas, ellipse(x, base, 0.045, 0.012), (104, 96, 92), 0.24)
    fill(
        canvas,
        polygon((x - 0.04, base - 0.62), (x + 0.04, base - 0.62), (x + 0.07, base - 0.5), (x - 0.07, base - 0.5)),
        shade_rgb,
        0.24,
    )


def shelf(canvas: Canvas, x0: float, x1: float, top: float, rng: np.random.Generator) -> None:
    """Boards with boxes, jars and books."""
    fill(canvas, rectangle(x0, top, x1, top + 0.5), (206, 180, 148), 0.12)
    goods: tuple[Rgb, ...] = (
        (224, 150, 130),
        (150, 186, 200),
        (236, 206, 140),
        (164, 190, 150),
        (196, 168, 204),
        (240, 236, 226),
    )
    for row in range(3):
        y = top + 0.155 + row * 0.165
        fill(canvas, rectangle(x0 + 0.015, y - 0.14, x1 - 0.015, y), (182, 154, 124), 0.11, outlined=False)
        for column, (kind, rgb, tall) in enumerate(
            zip(rng.integers(0, 3, 4), rng.integers(0, len(goods), 4), rng.uniform(0.07, 0.12, 4), strict=True)
        ):
            x, half = x0 + (column + 0.5) * (x1 - x0) / 4, (x1 - x0) * 0.095
            tone = goods[rgb]
            shape = (
                rectangle(x - half, y - tall, x + half, y)
                if kind
                else rounded(x - half, y - tall, x + half, y, half * 0.6)
            )
            fill(canvas, shape, tone, 0.14)
            if kind == 1:
                fill(
                    canvas,
                    rectangle(x - half, y - 0.65 * tall, x + half, y - 0.35 * tall),
                    mixed(tone, (255, 255, 255), 0.5),
                    0.14,
                    outlined=False,
                )
        fill(canvas, rectangle(x0, y, x1, y + 0.014), (160, 128, 98), 0.15)


def palm(canvas: Canvas, x: float, base: float, size: float) -> None:
    """A bent trunk and drooping leaves."""
    top = (x + 0.12 * size, base - size)
    line = curve((x, base), (x + 0.01 * size, base - 0.5 * size), top)
    canvas.stroke(line, 0.05 * size, (168, 128, 90), Layer(0.2))
    for dx, dy in ((-0.42, 0.05), (0.42, 0.08), (-0.3, -0.2), (0.32, -0.18), (0.03, -0.3), (-0.2, 0.25), (0.25, 0.26)):
        tip = (top[0] + dx * size, top[1] + dy * size)
        middle = (top[0] + 0.55 * dx * size, top[1] + 0.5 * dy * size - 0.09 * size)
        wide = 0.045 * size / float(np.hypot(dx, dy))
        aside = (-wide * dy, wide * dx)
        leaf = smooth(
            top, (middle[0] - aside[0], middle[1] - aside[1]), tip, (middle[0] + aside[0], middle[1] + aside[1])
        )
        fill(canvas, leaf, (104, 170, 112), 0.2)
