"""What goes on top: scarf, glasses, hat, bag and umbrella."""

from __future__ import annotations

import numpy as np

from fashioncrop_paperdoll.figure import EYE_Y, Figure, paint_hand
from fashioncrop_paperdoll.outfit import Item
from fashioncrop_paperdoll.palette import Rgb, mixed, scaled
from fashioncrop_paperdoll.shapes import Points, arc, curve, ellipse, polygon, rounded, smooth, symmetric

BAG_NEARER, UMBRELLA_NEARER = 0.2, 0.26


def paint_scarf(figure: Figure, item: Item, label: int) -> None:
    """Around the neck, with one or two ends hanging down."""
    style = item.style
    length = 0.43 + 0.05 * item.cut
    ends = [(1, length)] if item.kind % 2 else [(1, length), (-1, length - 0.045)]
    for side, end in ends:
        tail = polygon((side * 0.012, 0.245), (side * 0.066, 0.24), (side * 0.078, end), (side * 0.022, end + 0.004))
        figure.cloth([tail], style, 0.1, label, bulge=0.01)
        for share in (0.1, 0.36, 0.63, 0.9):
            x = side * (0.022 + share * 0.056)
            figure.stroke(polygon((x, end), (x + side * 0.002, end + 0.024)), 0.009, style.line, 0.1, label)
    wrap = smooth(
        (-0.082, 0.205),
        (-0.04, 0.187),
        (0.04, 0.187),
        (0.082, 0.205),
        (0.085, 0.245),
        (0.04, 0.273),
        (-0.04, 0.273),
        (-0.085, 0.245),
    )
    figure.cloth([wrap], style, 0.105, label, bulge=0.02)
    for y, depth in ((0.222, 0.01), (0.24, 0.014)):
        figure.seam(curve((-0.07, y - depth), (0.0, y + depth), (0.07, y - depth)), 0.006, style.detail)


def paint_glasses(figure: Figure, item: Item, label: int) -> None:
    """Large: dark lenses of the frame's colour, or a thick frame with clear ones."""
    style = item.style
    round_ones = item.kind % 3 != 1
    sun = item.kind % 2 == 0

    def lens(side: int, grow: float) -> Points:
        if round_ones:
            return ellipse(side * 0.038, EYE_Y + 0.002, 0.033 + grow, 0.031 + grow)
        return rounded(
            side * 0.038 - 0.033 - grow, EYE_Y - 0.025 - grow, side * 0.038 + 0.033 + grow, EYE_Y + 0.028 + grow, 0.014
        )

    for side in (1, -1):
        figure.stroke(
            polygon((side * 0.066, EYE_Y - 0.008), (side * 0.088, EYE_Y - 0.004)), 0.014, style.rgb, 0.085, label
        )
    figure.stroke(arc(0, EYE_Y + 0.002, 0.012, 0.012, np.pi, 2 * np.pi), 0.013, style.rgb, 0.085, label)
    for side in (1, -1):
        if sun:
            figure.cloth([lens(side, 0.003)], style, 0.09, label, bulge=0.0)
            glint = polygon((side * 0.038 - 0.014, EYE_Y + 0.008), (side * 0.038 + 0.002, EYE_Y - 0.014))
            figure.seam(glint, 0.007, mixed(style.rgb, (255, 255, 255), 0.6))
        else:
            figure.shade(lens(side, 0.0), -0.3)
            ring = lens(side, 0.0)
            figure.stroke(np.vstack([ring, ring[:2]]), 0.019, style.line, 0.09, label)
            figure.stroke(np.vstack([ring, ring[:2]]), 0.013, style.rgb, 0.09, label)


def paint_hat(figure: Figure, item: Item, label: int) -> None:
    """A wide brim, a beanie or a cap."""
    style = item.style
    band = style.accent
    match item.kind % 3:
        case 0:
            crown = symmetric(curve((0, -0.062), (0.05, -0.064), (0.078, -0.03), (0.088, 0.05), (0, 0.056)))
            figure.cloth([crown], style, 0.09, label)
            figure.printed([symmetric(curve((0.083, 0.01), (0.087, 0.042), (0, 0.05)))], band)
            brim = smooth(
                (-0.165, 0.05),
                (-0.09, 0.033),
                (0, 0.038),
                (0.09, 0.033),
                (0.165, 0.05),
                (0.09, 0.068),
                (0, 0.072),
                (-0.09, 0.068),
            )
            figure.cloth([brim], style, 0.125, label)
        case 1:
            figure.plain([ellipse(0, -0.075, 0.03, 0.03)], mixed(style.rgb, (255, 255, 255), 0.3), 0.08, label=label)
            dome = symmetric(curve((0, -0.055), (0.055, -0.04), (0.094, 0.02), (0.096, 0.06), (0, 0.062)))
            figure.cloth([dome], style, 0.09, label)
            figure.plain([rounded(-0.102, 0.03, 0.102, 0.078, 0.018)], scaled(style.rgb, 0.9), 0.122, label=label)
            for x in np.linspace(-0.08, 0.08, 9):
                figure.seam(polygon((float(x), 0.04), (float(x), 0.068)), 0.006, style.detail)
        case _:
            dome = symmetric(curve((0, -0.05), (0.06, -0.036), (0.095, 0.025), (0.095, 0.064), (0, 0.064)))
            figure.cloth([dome], style, 0.09, label)
            for x in (-0.045, 0.045):
                figure.seam(curve((0, -0.048), (x, -0.01), (x * 1.1, 0.06)), 0.006, style.detail)
            figure.printed([ellipse(0, -0.052, 0.013, 0.009)], style.detail)
            visor = smooth((-0.06, 0.056), (0.05, 0.05), (0.13, 0.052), (0.178, 0.07), (0.13, 0.084), (0.02, 0.082))
            figure.plain([visor], style.shade, 0.13, label=label)


def paint_bag(figure: Figure, item: Item, label: int) -> None:
    """Held in the left hand: a handbag with an arched handle, a tote, or a round-cornered satchel."""
    style = item.style
    hand = figure.body.arms[1]
    x, y = hand.tip
    half = 0.082 + 0.016 * item.cut
    handle = style.detail
    match item.kind % 3:
        case 0:
            top, bottom = y + 0.05, y + 0.185
            figure.stroke(arc(x, top + 0.005, 0.045, 0.06, np.pi, 2 * np.pi), 0.02, style.line, BAG_NEARER, label)
            figure.stroke(arc(x, top + 0.005, 0.045, 0.06, np.pi, 2 * np.pi), 0.012, handle, BAG_NEARER, label)
            body = polygon((x - half * 0.8, top), (x + half * 0.8, top), (x + half, bottom), (x - half, bottom))
            figure.cloth([body], style, BAG_NEARER, label, bulge=0.05)
            flap = polygon(
                (x - half * 0.8, top),
                (x + half * 0.8, top),
                (x + half * 0.62, top + 0.056),
                (x, top + 0.074),
                (x - half * 0.62, top + 0.056),
            )
            figure.printed([flap], style.shade)
            figure.printed([ellipse(x, top + 0.074, 0.013, 0.013)], (240, 205, 110))
        case 1:
            top, bottom = y + 0.075, y + 0.25
            for dx in (-0.038, 0.038):
                figure.stroke(polygon((x, y), (x + dx, top + 0.01)), 0.02, style.line, BAG_NEARER, label)
                figure.stroke(polygon((x, y), (x + dx, top + 0.01)), 0.012, handle, BAG_NEARER, label)
            body = polygon((x - half, top), (x + half, top), (x + half * 0.92, bottom), (x - half * 0.92, bottom))
            figure.cloth([body], style, BAG_NEARER, label, bulge=0.05)
            figure.seam(polygon((x - half, top + 0.02), (x + half, top + 0.02)), 0.006, style.detail)
            if style.pattern == "plain":
                figure.printed([ellipse(x, 0.5 * (top + bottom), 0.034, 0.034)], style.accent)
        case _:
            top, bottom = y + 0.06, y + 0.2
            figure.stroke(
                polygon((x, y), (x - 0.06, top + 0.02), (x + 0.06, top + 0.02), (x, y)),
                0.02,
                style.line,
                BAG_NEARER,
                label,
            )
            figure.stroke(
                polygon((x, y), (x - 0.06, top + 0.02), (x + 0.06, top + 0.02), (x, y)),
                0.012,
                handle,
                BAG_NEARER,
                label,
            )
            figure.cloth([rounded(x - half, top, x + half, bottom, 0.045)], style, BAG_NEARER, label, bulge=0.05)
            pocket = rounded(x - half * 0.62, top + 0.06, x + half * 0.62, bottom - 0.018, 0.02)
            figure.printed([pocket], style.shade)
            figure.seam(polygon((x - half * 0.85, top + 0.04), (x + half * 0.85, top + 0.04)), 0.007, style.detail)
    paint_hand(figure, hand)


def paint_umbrella(figure: Figure, item: Item, label: int) -> None:
    """Open, held up by the right hand."""
    style = item.style
    hand = figure.body.arms[0]
    x, y = hand.tip
    head_x, rim = x - 0.035, -0.035
    wood: Rgb = (120, 78, 50)
    shaft = polygon((head_x, rim), (x + 0.008, y + 0.075))
    figure.stroke(shaft, 0.024, scaled(wood, 0.5), UMBRELLA_NEARER - 0.01, label)
    figure.stroke(shaft, 0.014, wood, UMBRELLA_NEARER - 0.01, label)
    figure.stroke(
        arc(x - 0.012, y + 0.075, 0.02, 0.022, 0, np.pi), 0.014, scaled(wood, 0.7), UMBRELLA_NEARER - 0.01, label
    )
    half, ribs = 0.3, 4
    top = rim - 0.2
    outline = [arc(head_x, rim, half, rim - top, np.pi, 2 * np.pi)]
    width = 2 * half / ribs
    outline.extend(
        arc(head_x + half - (rib + 0.5) * width, rim, width / 2, 0.032, 2 * np.pi, np.pi)[1:] for rib in range(ribs)
    )
    figure.stroke(polygon((head_x, top + 0.01), (head_x, top - 0.035)), 0.018, style.line, UMBRELLA_NEARER, label)
    figure.cloth([np.vstack(outline)], style, UMBRELLA_NEARER, label, bulge=0.05)
    for rib in (-0.5, 0.0, 0.5):
        line = curve((head_x, top), (head_x + rib * half * 1.15, rim - 0.11), (head_x + rib * half * 2, rim - 0.004))
        figure.seam(line, 0.006, style.detail)
    paint_hand(figure, hand)
