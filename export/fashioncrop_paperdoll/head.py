"""Head: face and hair."""

from __future__ import annotations

import numpy as np

from fashioncrop_paperdoll.figure import EYE_Y, Figure
from fashioncrop_paperdoll.palette import Rgb, luma, mixed, scaled
from fashioncrop_paperdoll.shapes import Points, arc, curve, ellipse, polygon, smooth, symmetric

HEAD_X, HEAD_Y, HEAD_RX, HEAD_RY = 0.0, 0.105, 0.084, 0.094
_BLACK: Rgb = (38, 30, 32)


def paint_hair_behind(figure: Figure) -> None:
    """What hangs behind neck and shoulders."""
    rgb = figure.body.hair_rgb
    match figure.body.hair:
        case "long":
            shape = symmetric(curve((0, 0.0), (0.09, 0.04), (0.108, 0.13), (0.118, 0.24), (0.1, 0.325), (0.0, 0.335)))
        case "bob":
            shape = symmetric(curve((0, 0.0), (0.09, 0.035), (0.108, 0.12), (0.104, 0.195), (0.06, 0.215), (0, 0.21)))
        case "curly":
            _curls(figure, 0.122, 0.125)
            return
        case "ponytail":
            shape = smooth((0.04, 0.05), (0.13, 0.06), (0.158, 0.15), (0.13, 0.25), (0.112, 0.2), (0.1, 0.13))
        case _:
            return
    figure.plain([shape], scaled(rgb, 0.9), -0.03)


def paint_head(figure: Figure) -> None:
    """Ears, face and its features."""
    skin = figure.body.skin
    line = scaled(skin, 0.5)
    figure.skin([ellipse(side * 0.084, 0.12, 0.016, 0.021) for side in (1, -1)], 0.03)
    face = symmetric(curve((0, 0.012), (0.06, 0.028), (0.083, 0.09), (0.072, 0.155), (0.035, 0.194), (0, 0.2)))
    figure.skin([face], 0.035, bulge=0.03)
    blush = mixed(skin, (236, 84, 84), 0.32)
    eye = _BLACK if luma(skin) > 90 else (14, 10, 12)
    for side in (1, -1):
        figure.printed([ellipse(side * 0.053, 0.146, 0.015, 0.010)], blush, outlined=False)
        figure.printed([ellipse(side * 0.034, EYE_Y, 0.0105, 0.0135)], eye, outlined=False)
        figure.printed([ellipse(side * 0.034 + 0.003, EYE_Y - 0.004, 0.0035, 0.004)], (255, 255, 255), outlined=False)
        brow = arc(side * 0.036, EYE_Y - 0.018, 0.017, 0.011, np.pi * 1.2, np.pi * 1.8)
        figure.seam(brow, 0.0065, scaled(figure.body.hair_rgb, 0.8))
    figure.seam(curve((0.0, 0.122), (0.008, 0.138), (-0.003, 0.14)), 0.0045, line)
    smile = 0.006 + 0.012 * figure.body.mood
    if figure.body.mood > 0.75:
        mouth = np.vstack([arc(0, 0.158, 0.026, smile + 0.004, 0, np.pi)])
        figure.printed([mouth], (250, 246, 240))
    else:
        figure.seam(arc(0, 0.156, 0.025, smile, 0.15 * np.pi, 0.85 * np.pi), 0.0055, scaled(skin, 0.42))


def paint_hair(figure: Figure, *, under_hat: bool) -> None:
    """The hair that frames the face, and on top of the head where no hat is."""
    hair = figure.body.hair
    rgb = figure.body.hair_rgb
    if hair == "bald":
        return
    if hair == "bun" and not under_hat:
        figure.plain([ellipse(0, -0.02, 0.04, 0.036)], rgb, 0.02, bulge=0.01)
    shapes: list[Points]
    if hair == "short":
        shapes = [
            smooth(
                (-0.089, 0.108),
                (-0.092, 0.05),
                (-0.05, -0.004),
                (0.03, -0.008),
                (0.085, 0.03),
                (0.09, 0.108),
                (0.077, 0.085),
                (0.055, 0.055),
                (0.0, 0.058),
                (-0.05, 0.05),
                (-0.078, 0.085),
            )
        ]
    elif hair == "curly":
        turn = np.linspace(np.pi * 1.02, np.pi * 1.98, 7)
        shapes = [ellipse(0.078 * np.cos(t), 0.068 + 0.062 * np.sin(t), 0.032, 0.03) for t in turn]
    elif hair in {"bob", "long"}:  # parted in the middle, strands beside the face
        end = 0.2 if hair == "bob" else 0.27
        half = polygon(
            (0, 0.0),
            (0.05, 0.004),
            (0.088, 0.04),
            (0.102, 0.12),
            (0.1, end),
            (0.082, end),
            (0.079, 0.12),
            (0.06, 0.07),
            (0.0, 0.028),
        )
        shapes = [smooth(*map(tuple, half)), smooth(*map(tuple, half * (-1, 1)))]
    else:  # combed back
        shapes = [
            symmetric(
                curve(
                    (0, -0.004), (0.06, 0.008), (0.09, 0.06), (0.089, 0.112), (0.075, 0.072), (0.04, 0.043), (0, 0.038)
                )
            )
        ]
    figure.plain(shapes, rgb, 0.07, bulge=0.01)
    if not under_hat and hair not in {"curly", "bald"}:
        shine = mixed(rgb, (255, 255, 255), 0.25)
        figure.seam(arc(-0.02, 0.05, 0.055, 0.04, np.pi * 1.2, np.pi * 1.45), 0.008, shine)


def _curls(figure: Figure, rx: float, ry: float) -> None:
    turn = np.linspace(0.8 * np.pi, 2.2 * np.pi, 12)
    curls = [ellipse(rx * 0.8 * np.cos(t), 0.09 + ry * 0.75 * np.sin(t), 0.04, 0.04) for t in turn]
    figure.plain([ellipse(0, 0.09, rx * 0.85, ry * 0.85), *curls], scaled(figure.body.hair_rgb, 0.9), -0.03)
