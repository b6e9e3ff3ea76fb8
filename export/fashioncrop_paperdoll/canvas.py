"""Where outlines become pixels: the picture, its depth, and which garment and which person each pixel shows.

Everything is given in picture heights: x from 0 to width / height, y from 0 to 1, downwards. So a drawing is the
same at every size. The canvas is twice as fine as the picture that comes out, and edges are blended on top of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fashioncrop_paperdoll.palette import Rgb, Style, mixed
from fashioncrop_paperdoll.shapes import Points

FINER = 2
"""The canvas has this many pixels for each of the picture's, both ways."""
_LARGE = 400
_SHIFT = 4  # OpenCV draws at sixteenths of a pixel
_LINE = 0.0046
"""Width of an outline in picture heights."""
_RIM = 0.013
"""How far the shade reaches in from an edge that looks away from the light, in picture heights."""
_MOST_LAYERS = 4096

_Window = tuple[int, int, int, int]
"""x0, y0, x1, y1 in canvas pixels, the ends exclusive."""


@dataclass(frozen=True)
class Paint:
    """What a shape is filled with.

    Attributes:
        rgb: the colour; at the top where `bottom` is given.
        bottom: the colour at the shape's bottom.
        line: the colour of the outline; none is drawn without.
        rim: how much darker the side away from the light is, 0 to 1.
        style: a garment's pattern; its colour stands in for `rgb`.
        unit: the wearer's height in picture heights, for the pattern's period.
    """

    rgb: Rgb
    bottom: Rgb | None = None
    line: Rgb | None = None
    rim: float = 0.0
    style: Style | None = None
    unit: float = 1.0

    @property
    def flat(self) -> bool:
        """Whether every pixel is the same."""
        return self.bottom is None and not self.rim and (self.style is None or self.style.pattern == "plain")


@dataclass(frozen=True)
class Layer:
    """Where a shape lies.

    Attributes:
        depth: relative inverse depth, 0 far to 1 near; at the top where `depth_bottom` is given.
        depth_bottom: the depth at the shape's bottom.
        bulge: how much nearer the middle is than the left and right edge.
        label: the garment's number from 1, or 0.
        person: the person's number from 1, or 0.
    """

    depth: float
    depth_bottom: float | None = None
    bulge: float = 0.0
    label: int = 0
    person: int = 0


@dataclass(frozen=True)
class Planes:
    """A finished picture.

    Attributes:
        image: uint8 [height, width, 3], RGB.
        depth: float32 [height, width], 0 far to 1 near.
        labels: uint8 [height, width], the garment's number or 0.
        people: uint8 [height, width], the person's number or 0.
        shown: float64 [256], by garment number, how much of it nothing covers, 0 to 1; strokes add to that.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    labels: NDArray[np.uint8]
    people: NDArray[np.uint8]
    shown: NDArray[np.float64]


class Canvas:
    """A picture in the making.

    Attributes:
        aspect: width / height; the right edge in picture heights.
        image: uint8 [FINER * height, FINER * width, 3], RGB.
    """

    def __init__(self, width: int, height: int, tilt: float = 0.0) -> None:
        self.aspect = width / height
        self.image = np.zeros((height * FINER, width * FINER, 3), np.uint8)
        self._index = np.zeros(self.image.shape[:2], np.uint16)  # which of the layers each pixel shows
        self._layers = [Layer(0.0)]
        self._windows: list[_Window] = [(0, 0, 1, 1)]
        self._labels = np.zeros(_MOST_LAYERS, np.uint8)
        self._numbers: dict[Layer, int] = {}
        self._painted = np.zeros(256, np.int64)
        self._scale = height * FINER
        self._edge = cv2.LINE_AA if height > _LARGE else cv2.LINE_8  # the finer canvas alone smooths small pictures
        cos, sin = np.cos(tilt), np.sin(tilt)
        middle = np.array([self.aspect / 2, 0.5]) * self._scale
        turn = np.array([[cos, sin], [-sin, cos]])
        self._turn = turn * (self._scale << _SHIFT)
        self._shift = (middle - middle @ turn - 0.5) * (1 << _SHIFT)

    def wash(self, top: Rgb, bottom: Rgb, depth: float) -> None:
        """Fill the whole canvas from `top` to `bottom`."""
        height, width = self._index.shape
        self.image[:] = _gradient(top, bottom, height, width)
        self._index[:] = self._number(Layer(depth), (0, 0, width, height))

    def paint(self, shapes: Sequence[Points], paint: Paint, layer: Layer | None) -> None:
        """Paint the union of the shapes, with one outline around it; without a layer it is printed on what is there.

        The outline is only drawn: as a thin rest beside something nearer it would make its garment larger than it is.
        """
        drawn = [self._pixels(shape) for shape in shapes]
        whole = paint.flat and (layer is None or not (layer.bulge or layer.label or layer.depth_bottom is not None))
        window = None if whole else self._window(drawn)
        if not whole and window is None:
            return
        if paint.line is not None:
            cv2.polylines(self.image, drawn, True, _scalar(paint.line), self._width(_LINE), self._edge, _SHIFT)
        colour = _scalar(paint.style.rgb if paint.style else paint.rgb)
        for pixels in drawn:
            cv2.fillPoly(self.image, [pixels], colour, cv2.LINE_AA, _SHIFT)
        if window is not None:
            mask = self._mask(drawn, window, cv2.LINE_8)
            self._colour(mask, window, paint)
            if layer is not None and layer.label:
                self._count(mask, window, layer.label)
        if layer is not None:
            number = self._number(layer, window)
            for pixels in drawn:
                cv2.fillPoly(self._index, [pixels], (number,), cv2.LINE_8, _SHIFT)

    def stroke(self, line: Points, width: float, rgb: Rgb, layer: Layer | None) -> None:
        """Draw an open line of that width (picture heights); without a layer it is printed on what is there."""
        pixels, wide = self._pixels(line), self._width(width)
        cv2.polylines(self.image, [pixels], False, _scalar(rgb), wide, cv2.LINE_AA, _SHIFT)
        if layer is not None:
            cv2.polylines(self._index, [pixels], False, (self._number(layer, None),), wide, cv2.LINE_8, _SHIFT)

    def shade(self, shape: Points, strength: float) -> None:
        """Darken (or, below 0, lighten) what is there."""
        pixels = self._pixels(shape)
        window = self._window([pixels])
        if window is None:
            return
        x0, y0, x1, y1 = window
        region = np.ascontiguousarray(self.image[y0:y1, x0:x1])
        target = np.full_like(region, 0 if strength > 0 else 255)
        weight = self._mask([pixels], window, cv2.LINE_AA).astype(np.float32) * np.float32(abs(strength) / 255)
        self.image[y0:y1, x0:x1] = cv2.blendLinear(target, region, weight, 1 - weight)

    def developed(self) -> Planes:
        """The finished picture, at its own size."""
        height, width = self._index.shape[0] // FINER, self._index.shape[1] // FINER
        count = len(self._layers)
        index = np.ascontiguousarray(self._index[::FINER, ::FINER])
        labels = self._labels[:count]
        people = np.array([layer.person for layer in self._layers], np.uint8)
        pixels = cv2.calcHist([self._index], [0], None, [count], [0, count])[:, 0]
        fine = np.bincount(labels, pixels, 256)
        return Planes(
            image=np.asarray(cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA), np.uint8),
            depth=self._depth(index),
            labels=labels[index],
            people=people[index],
            shown=fine / np.maximum(self._painted, 1),
        )

    def _depth(self, index: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Of every layer's plane and bulge, at the pixels that show it."""
        x0, y0, x1, y1 = np.array(self._windows, np.float32).T
        top = np.array([layer.depth for layer in self._layers], np.float32)
        low = np.array(
            [layer.depth if layer.depth_bottom is None else layer.depth_bottom for layer in self._layers], np.float32
        )
        bulge = np.array([layer.bulge for layer in self._layers], np.float32)
        slope, half = (low - top) / (y1 - y0), (x1 - x0) / 2
        ys = np.arange(index.shape[0], dtype=np.float32)[:, None] * FINER
        xs = np.arange(index.shape[1], dtype=np.float32)[None] * FINER
        across = (xs - ((x0 + x1) / 2)[index]) / half[index]
        round_part = bulge[index] * np.sqrt(np.maximum(1 - across * across, 0))
        return np.asarray(np.clip((top - slope * y0)[index] + slope[index] * ys + round_part, 0, 1), np.float32)

    def _number(self, layer: Layer, window: _Window | None) -> int:
        """The layer's place in the table; a layer that is flat needs only one."""
        flat = not layer.bulge and layer.depth_bottom is None
        if flat and layer in self._numbers:
            return self._numbers[layer]
        self._layers.append(layer)
        self._windows.append(window or (0, 0, 1, 1))
        number = len(self._layers) - 1
        self._labels[number] = layer.label
        if flat:
            self._numbers[layer] = number
        return number

    def _colour(self, mask: NDArray[np.uint8], window: _Window, paint: Paint) -> None:
        """Gradient, pattern and shade, inside the mask."""
        x0, y0, x1, y1 = window
        region = self.image[y0:y1, x0:x1]
        rgb = paint.style.rgb if paint.style else paint.rgb
        if paint.bottom is not None:
            cv2.copyTo(_gradient(rgb, paint.bottom, *mask.shape), mask, region)
        if paint.style and paint.style.pattern != "plain":
            half, full = _pattern(paint.style, np.arange(x0, x1), np.arange(y0, y1), self._scale * paint.unit)
            solid = mask > 0
            if half is not None:
                region[half & solid] = _bytes(mixed(rgb, paint.style.accent, 0.6))
            region[full & solid] = _bytes(paint.style.accent)
        if paint.rim:
            reach = max(round(min(_RIM * self._scale * min(paint.unit * 1.2, 1.0), 0.14 * mask.shape[1])), 1)
            rim = mask.copy()
            if mask.shape[1] > reach:
                rim[:, :-reach] = cv2.subtract(mask[:, :-reach], mask[:, reach:]).reshape(len(mask), -1)
            cv2.copyTo(cv2.convertScaleAbs(region, alpha=1 - paint.rim), rim, region)

    def _count(self, mask: NDArray[np.uint8], window: _Window, label: int) -> None:
        """Add the pixels that do not show the garment yet; how large it would be with nothing in front of it."""
        x0, y0, x1, y1 = window
        shown = self._labels[self._index[y0:y1, x0:x1]] != label
        self._painted[label] += np.count_nonzero(shown & (mask > 0))

    def _width(self, width: float) -> int:
        return max(round(width * self._scale), 1)

    def _pixels(self, shape: Points) -> NDArray[np.int32]:
        """Canvas pixels in sixteenths; a pixel's centre is a whole number there, as OpenCV has it."""
        return np.asarray(np.rint(shape @ self._turn + self._shift), np.int32)

    def _window(self, drawn: list[NDArray[np.int32]]) -> _Window | None:
        """The shapes' bounding box inside the canvas."""
        boxes = [cv2.boundingRect(pixels) for pixels in drawn]
        height, width = self._index.shape
        x0 = max(min(box[0] for box in boxes) >> _SHIFT, 0)
        y0 = max(min(box[1] for box in boxes) >> _SHIFT, 0)
        x1 = min((max(box[0] + box[2] for box in boxes) >> _SHIFT) + 2, width)
        y1 = min((max(box[1] + box[3] for box in boxes) >> _SHIFT) + 2, height)
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None

    @staticmethod
    def _mask(drawn: list[NDArray[np.int32]], window: _Window, kind: int) -> NDArray[np.uint8]:
        x0, y0, x1, y1 = window
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        corner = np.array([x0 << _SHIFT, y0 << _SHIFT], np.int32)
        for pixels in drawn:
            cv2.fillPoly(mask, [np.subtract(pixels, corner, dtype=np.int32)], (255,), kind, _SHIFT)
        return mask


def _pattern(
    style: Style, xs: NDArray[np.int64], ys: NDArray[np.int64], scale: float
) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_]]:
    """Which pixels are halfway to the accent (checks only) and which have it, bool [h, w]; xs, ys in canvas pixels."""
    step = 1 / (style.period * scale)
    x, y = (xs * step).astype(np.float32)[None, :], (ys * step).astype(np.float32)[:, None]
    if style.pattern == "striped":
        across = x * np.float32(np.sin(style.angle)) + y * np.float32(np.cos(style.angle))
        return None, across % 1 < 0.36
    if style.pattern == "dotted":
        y = y * np.float32(1.15)
        row = np.floor(y)
        return None, ((x + row * np.float32(0.5)) % 1 - 0.5) ** 2 + (y % 1 - 0.5) ** 2 < 0.085
    one, other = x * np.float32(0.8) % 1 < 0.2, y * np.float32(0.8) % 1 < 0.2
    return one ^ other, one & other


def _gradient(top: Rgb, bottom: Rgb, height: int, width: int) -> NDArray[np.uint8]:
    """uint8 [height, width, 3]."""
    ramp = np.linspace(0, 1, height)[:, None]
    rows = np.clip(np.asarray(top) * (1 - ramp) + np.asarray(bottom) * ramp, 0, 255).astype(np.uint8)
    return np.asarray(cv2.repeat(rows[:, None, :], 1, width), np.uint8)


def _bytes(rgb: Rgb) -> NDArray[np.uint8]:
    return np.clip(np.asarray(rgb), 0, 255).astype(np.uint8)


def _scalar(rgb: Rgb) -> tuple[float, float, float]:
    return (float(round(rgb[0])), float(round(rgb[1])), float(round(rgb[2])))
