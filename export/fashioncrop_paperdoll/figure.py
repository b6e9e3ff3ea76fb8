"""A person: proportions, pose, and the parts of the body that clothes leave free.

A body's own coordinates are body heights: x to the right from the axis, y down from the crown (0) to the soles (1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from fashioncrop_paperdoll.canvas import Canvas, Layer, Paint
from fashioncrop_paperdoll.palette import Rgb, Style, scaled
from fashioncrop_paperdoll.shapes import Point, Points, capsule, curve, ellipse, symmetric

SHOULDER_Y, WAIST_Y, HIP_Y, CROTCH_Y, SOLE_Y = 0.265, 0.41, 0.5, 0.535, 1.0
EYE_Y = 0.112

Hair = Literal["short", "bob", "long", "bun", "curly", "ponytail", "bald"]
_HAIR_STYLES: tuple[Hair, ...] = (
    "short",
    "short",
    "bob",
    "bob",
    "long",
    "long",
    "bun",
    "curly",
    "curly",
    "ponytail",
    "bald",
)
_SKINS: tuple[Rgb, ...] = (
    (255, 220, 192),
    (244, 200, 164),
    (226, 174, 132),
    (190, 134, 94),
    (146, 98, 68),
    (104, 70, 52),
)
_HAIRS: tuple[Rgb, ...] = ((44, 34, 34), (78, 50, 36), (128, 80, 46), (222, 184, 108), (176, 82, 44), (168, 166, 170))


@dataclass(frozen=True)
class Limb:
    """An arm from shoulder over elbow to hand, or a leg from hip over knee to ankle; body coordinates."""

    root: Point
    joint: Point
    tip: Point


@dataclass(frozen=True)
class Body:
    """Proportions and pose.

    Attributes:
        build: width of the trunk, 1 on average.
        arms: right in the picture first; so are the legs.
        hair: a style.
        skin, hair_rgb: their colours.
        mood: the mouth's bend, 0 to 1.
    """

    build: float
    arms: tuple[Limb, Limb]
    legs: tuple[Limb, Limb]
    hair: Hair
    skin: Rgb
    hair_rgb: Rgb
    mood: float


@dataclass(frozen=True)
class Figure:
    """A body on a canvas.

    Attributes:
        canvas: where it is drawn.
        body: whose parts.
        person: its number on the canvas, from 1.
        x: the axis; `top`: the crown; both in picture heights.
        unit: the body's height in picture heights.
        mirror: -1 to show it mirrored, else 1.
        depth: of the trunk, 0 far to 1 near.
    """

    canvas: Canvas
    body: Body
    person: int
    x: float
    top: float
    unit: float
    mirror: float
    depth: float

    def skin(self, shapes: Sequence[Points], nearer: float = 0.0, bulge: float = 0.02) -> None:
        """Paint a part of the body."""
        self.plain(shapes, self.body.skin, nearer, bulge=bulge)

    def plain(
        self,
        shapes: Sequence[Points],
        rgb: Rgb,
        nearer: float,
        *,
        label: int = 0,
        outlined: bool = True,
        bulge: float = 0.0,
    ) -> None:
        """Paint shapes in one colour, `nearer` than the trunk."""
        line = scaled(rgb, 0.5) if outlined else None
        paint = Paint(rgb, line=line, rim=0.13 if outlined else 0.0)
        self._paint(shapes, paint, nearer, label, bulge)

    def printed(self, shapes: Sequence[Points], rgb: Rgb, *, outlined: bool = True) -> None:
        """Paint a detail on whatever is there, which stays the part of the body or the garment that it is."""
        paint = Paint(rgb, line=scaled(rgb, 0.5) if outlined else None)
        self.canvas.paint([self._place(shape) for shape in shapes], paint, None)

    def seam(self, line: Points, width: float, rgb: Rgb) -> None:
        """Draw an open line on whatever is there; its width in body heights."""
        self.canvas.stroke(self._place(line), width * self.unit, rgb, None)

    def cloth(self, shapes: Sequence[Points], style: Style, nearer: float, label: int, bulge: float = 0.03) -> None:
        """Paint a part of a garment with its pattern."""
        bottom = scaled(style.rgb, 0.97 if style.is_pale else 0.95) if bulge >= 0.03 else None
        paint = Paint(
            style.rgb, bottom=bottom, line=style.line, rim=0.09 if style.is_pale else 0.14, style=style, unit=self.unit
        )
        self._paint(shapes, paint, nearer, label, bulge)

    def stroke(self, line: Points, width: float, rgb: Rgb, nearer: float, label: int = 0) -> None:
        """Draw an open line; its width in body heights."""
        layer = Layer(self.depth + nearer, label=label, person=self.person)
        self.canvas.stroke(self._place(line), width * self.unit, rgb, layer)

    def shade(self, shape: Points, strength: float) -> None:
        """Darken what is there."""
        self.canvas.shade(self._place(shape), strength)

    def _paint(self, shapes: Sequence[Points], paint: Paint, nearer: float, label: int, bulge: float) -> None:
        layer = Layer(self.depth + nearer, bulge=bulge, label=label, person=self.person)
        self.canvas.paint([self._place(shape) for shape in shapes], paint, layer)

    def _place(self, points: Points) -> Points:
        return points * self._scale + self._origin

    @cached_property
    def _scale(self) -> Points:
        return np.array([self.unit * self.mirror, self.unit])

    @cached_property
    def _origin(self) -> Points:
        return np.array([self.x, self.top])


def draw_body(rng: np.random.Generator, *, holds_umbrella: bool, holds_bag: bool) -> Body:
    """A random body; the right arm holds up an umbrella, the left one holds a bag."""
    build = float(rng.uniform(0.92, 1.14))
    stance = float(rng.uniform(0.058, 0.098))
    legs = []
    for side in (1, -1):
        knee = side * (0.05 * build + (stance - 0.05) * 0.45 + float(rng.uniform(0, 0.012)))
        legs.append(Limb((side * 0.048 * build, HIP_Y), (knee, 0.71), (side * stance, 0.915)))
    right, left = _arm(rng, 1, build), _arm(rng, -1, build)
    if holds_umbrella:
        right = _limb(1, build, 0.5, 2.75)
    if holds_bag:
        left = _limb(-1, build, float(rng.uniform(0.28, 0.6)), float(rng.uniform(0.1, 0.45)))
    return Body(
        build,
        (right, left),
        (legs[0], legs[1]),
        _HAIR_STYLES[rng.integers(len(_HAIR_STYLES))],
        _jittered(rng, _SKINS[rng.integers(len(_SKINS))]),
        _jittered(rng, _HAIRS[rng.integers(len(_HAIRS))]),
        float(rng.uniform(0.3, 1)),
    )


def _arm(rng: np.random.Generator, side: int, build: float) -> Limb:
    """A random pose; angles from straight down, outwards."""
    upper, lower = (
        (rng.uniform(0.15, 0.4), rng.uniform(0.0, 0.3)),  # hanging
        (rng.uniform(0.15, 0.4), rng.uniform(0.0, 0.3)),
        (rng.uniform(0.75, 0.95), rng.uniform(-0.75, -0.6)),  # on the hip
        (rng.uniform(1.5, 1.8), rng.uniform(2.5, 2.9)),  # waving
        (rng.uniform(0.9, 1.2), rng.uniform(1.0, 1.5)),  # stretched out
    )[rng.integers(5)]
    return _limb(side, build, float(upper), float(lower))


def _limb(side: int, build: float, upper: float, lower: float) -> Limb:
    root = (side * 0.091 * build, SHOULDER_Y + 0.008)
    joint = (root[0] + side * 0.128 * float(np.sin(upper)), root[1] + 0.128 * float(np.cos(upper)))
    tip = (joint[0] + side * 0.125 * float(np.sin(lower)), joint[1] + 0.125 * float(np.cos(lower)))
    return Limb(root, joint, tip)


def _jittered(rng: np.random.Generator, rgb: Rgb) -> Rgb:
    red, green, blue = np.clip(np.asarray(rgb) * rng.uniform(0.95, 1.03) + rng.normal(0, 2, 3), 0, 255)
    return (float(red), float(green), float(blue))


def paint_legs(figure: Figure) -> None:
    """Both legs, down to the ankles."""
    for leg in figure.body.legs:
        figure.skin([capsule(leg.root, leg.joint, 0.046, 0.036), capsule(leg.joint, leg.tip, 0.036, 0.027)], -0.01)


def paint_trunk(figure: Figure) -> None:
    """Trunk and neck."""
    build = figure.body.build
    side = curve(
        (0.03, 0.225),
        (0.092 * build, 0.25),
        (0.1 * build, 0.3),
        (0.078 * build, WAIST_Y),
        (0.094 * build, HIP_Y),
        (0.02, CROTCH_Y + 0.015),
    )
    figure.skin([symmetric(side)])
    figure.skin([symmetric([(0.03, 0.17), (0.033, 0.245)])], 0.005)


def paint_arm(figure: Figure, arm: Limb) -> None:
    """An arm with its hand."""
    figure.skin([capsule(arm.root, arm.joint, 0.031, 0.026), capsule(arm.joint, arm.tip, 0.026, 0.021)], 0.03)
    paint_hand(figure, arm)


def paint_hand(figure: Figure, arm: Limb) -> None:
    """The hand alone, over what it holds."""
    along = float(np.arctan2(arm.tip[1] - arm.joint[1], arm.tip[0] - arm.joint[0]))
    figure.skin([ellipse(arm.tip[0], arm.tip[1], 0.033, 0.026, along)], 0.05)
