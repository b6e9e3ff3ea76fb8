"""A whole scene: people in garments before a backdrop, and the truth about every pixel.

scene = draw_scene(7)
scene.image                # uint8 [256, 192, 3], RGB
scene.garments[0].noun     # "shirt"
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fashioncrop_paperdoll.backdrop import paint_backdrop
from fashioncrop_paperdoll.camera import photographed
from fashioncrop_paperdoll.canvas import Canvas, Planes
from fashioncrop_paperdoll.figure import Body, Figure, draw_body
from fashioncrop_paperdoll.garments import dress, reach_above, reach_aside
from fashioncrop_paperdoll.outfit import Item, Outfit, draw_outfit
from fashioncrop_paperdoll.shapes import ellipse

TRAINING_SEEDS = range(1_000_000)
VALIDATION_SEEDS = range(1_000_000, 1_001_000)
TEST_SEEDS = range(2_000_000, 2_001_000)
DEMO_SEEDS: tuple[int, ...] = (3_000_016, 3_000_039, 3_000_034, 3_000_066)
"""Good to look at, 768 x 1024."""

_COUPLES = 0.15
_LEAST_SHARE = 0.35
"""A garment of which less shows is not told of."""
_LEAST_PIXELS = 40 / 256**2
"""As above, in squared picture heights (at 3:4)."""
_SPECK = 8 / 256**2
"""An island of a garment that is smaller is not told of, in the same unit."""


@dataclass(frozen=True)
class Garment:
    """One garment that can be seen.

    Attributes:
        noun: a word of the pipeline's vocabulary, such as "t-shirt".
        colour: of the larger share of it, a word of the palette.
        pattern: plain, striped, dotted or checked.
        box_xyxy: its visible extent in pixels of the image: x0, y0, x1, y1, the ends exclusive.
        visible_pixels: how many of the image's pixels show it.
        person: index of the wearer, from 0.
    """

    noun: str
    colour: str
    pattern: str
    box_xyxy: tuple[float, float, float, float]
    visible_pixels: int
    person: int


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    Attributes:
        seed: draws the same again.
        image: uint8 [height, width, 3], RGB.
        depth: float32 [height, width], relative inverse depth, 0 far to 1 near.
        labels: uint8 [height, width], 0 for none, i + 1 for garments[i].
        people: uint8 [height, width], 0 for none, i + 1 for person i with all that is worn or held.
        garments: all that can be seen.
    """

    seed: int
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    labels: NDArray[np.uint8]
    people: NDArray[np.uint8]
    garments: tuple[Garment, ...]


@dataclass(frozen=True)
class _Person:
    """A person before it is drawn; x and soles as shares of the picture, height in picture heights at 3:4."""

    body: Body
    outfit: Outfit
    x: float
    soles: float
    height: float
    mirror: float
    depth: float


def draw_scene(seed: int, width: int = 192, height: int = 256) -> Scene:
    """Draw a scene; the same seed is the same picture at every size of the same shape.

    Args:
        seed: not negative.
        width: of the image, pixels.
        height: of the image, pixels.
    """
    plan, place, lens = np.random.default_rng(seed).spawn(3)
    people = _draw_people(plan)
    canvas = Canvas(width, height, tilt=float(np.clip(plan.normal(0, 0.012), -0.03, 0.03)))
    paint_backdrop(place, canvas, float(place.uniform(0.72, 0.82)))
    fit = min(1.0, canvas.aspect * 4 / 3)  # a narrow picture shows smaller people
    worn: list[tuple[int, Item, int]] = []
    for index, person in enumerate(people):
        unit = person.height * fit
        x = canvas.aspect / 2 + (person.x - 0.5) * 0.75 * fit
        figure = Figure(canvas, person.body, index + 1, x, person.soles - unit, unit, person.mirror, person.depth)
        canvas.shade(ellipse(x, person.soles - 0.004, 0.24 * unit, 0.028 * unit), 0.28)
        worn.extend((label, item, index) for label, item in dress(figure, person.outfit, len(worn) + 1))
    return _finished(seed, canvas.developed(), worn, lens)


def _draw_people(rng: np.random.Generator) -> list[_Person]:
    couple = rng.random() < _COUPLES
    people = []
    for index in range(2 if couple else 1):
        outfit = draw_outfit(rng)
        body = draw_body(rng, holds_umbrella="umbrella" in outfit, holds_bag="bag" in outfit)
        above = reach_above(outfit)
        total = rng.uniform(0.78, 0.9) if couple else rng.uniform(0.86, 0.97)
        height = min(float(total) / (1 + above), 0.74 if couple else 0.92)
        x = (0.27, 0.73)[index] + rng.uniform(-0.03, 0.03) if couple else 0.5 + rng.uniform(-0.1, 0.1)
        soles = rng.uniform(0.95, 0.975)
        mirror = 1.0 if rng.random() < 0.5 else -1.0
        left, right = sorted(edge * mirror * height / 0.75 for edge in reach_aside(body, outfit))
        x = min(max(x, 0.01 - left), 0.99 - right) if right - left < 0.98 else 0.5 - (left + right) / 2
        people.append(_Person(body, outfit, float(x), float(soles), height, mirror, 0.55 + 0.04 * index))
    return people


def _finished(seed: int, planes: Planes, worn: list[tuple[int, Item, int]], lens: np.random.Generator) -> Scene:
    side = min(planes.labels.shape[0], planes.labels.shape[1] * 4 / 3)
    labels = np.zeros_like(planes.labels)
    garments: list[Garment] = []
    for label, item, person in worn:
        if planes.shown[label] < _LEAST_SHARE:
            continue
        mask = (planes.labels == label).view(np.uint8)
        x, y, wide, high = cv2.boundingRect(mask)
        part = _without_specks(mask[y : y + high, x : x + wide], _SPECK * side**2)
        pixels = cv2.countNonZero(part) if wide else 0
        if pixels < max(_LEAST_PIXELS * side**2, 1):
            continue
        dx, dy, wide, high = cv2.boundingRect(part)
        box = (float(x + dx), float(y + dy), float(x + dx + wide), float(y + dy + high))
        garments.append(Garment(item.noun, item.style.colour, item.style.pattern, box, pixels, person))
        labels[y : y + part.shape[0], x : x + part.shape[1]][part > 0] = len(garments)
    return Scene(seed, photographed(lens, planes.image), planes.depth, labels, planes.people, tuple(garments))


def _without_specks(mask: NDArray[np.uint8], least: float) -> NDArray[np.uint8]:
    """The mask (0 or 1) without the small islands that something nearer leaves over; its largest part stays."""
    if not mask.size:
        return mask
    count, islands, stats, _ = cv2.connectedComponentsWithStats(mask)
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = areas >= min(least, areas[1:].max(initial=0))
    kept[0] = False
    return mask if count <= 2 else np.asarray(kept[islands], np.uint8)
