"""Dressing a figure: body and garments in the order in which they cover each other."""

from __future__ import annotations

from fashioncrop_paperdoll.accessories import paint_bag, paint_glasses, paint_hat, paint_scarf, paint_umbrella
from fashioncrop_paperdoll.bottoms import is_boot, paint_legwear, paint_shoe, paint_skirt
from fashioncrop_paperdoll.figure import Body, Figure, paint_arm, paint_hand, paint_legs, paint_trunk
from fashioncrop_paperdoll.head import paint_hair, paint_hair_behind, paint_head
from fashioncrop_paperdoll.outfit import Item, Outfit
from fashioncrop_paperdoll.tops import (
    paint_dress,
    paint_outer,
    paint_shirt,
    paint_sleeve,
    paint_sweater,
    paint_t_shirt,
)

_TRUNK = {
    "shirt": paint_shirt,
    "t-shirt": paint_t_shirt,
    "sweater": paint_sweater,
    "dress": paint_dress,
    "skirt": paint_skirt,
    "pants": paint_legwear,
    "shorts": paint_legwear,
}
_LAST = {"glasses": paint_glasses, "hat": paint_hat, "bag": paint_bag, "umbrella": paint_umbrella}
_TOPS, _BOTTOMS, _OUTERS = ("shirt", "t-shirt", "sweater"), ("skirt", "pants", "shorts"), ("jacket", "coat")


def dress(figure: Figure, outfit: Outfit, first_label: int) -> list[tuple[int, Item]]:
    """Draw the person with all that is worn and held.

    Args:
        figure: who.
        outfit: what.
        first_label: of the labels that may be used; one garment takes one, each shoe its own.

    Returns:
        Label and item of every garment.
    """
    worn: list[tuple[int, Item]] = []

    def label(item: Item) -> int:
        worn.append((first_label + len(worn), item))
        return worn[-1][0]

    items = outfit.items
    paint_hair_behind(figure)
    paint_legs(figure)
    shoes = [(leg, side, label(items["shoe"])) for side, leg in zip((1, -1), figure.body.legs, strict=True)]
    boots = is_boot(items["shoe"])  # over pants; other shoes go under them
    for leg, side, number in shoes if not boots else ():
        paint_shoe(figure, items["shoe"], number, leg, side)
    paint_trunk(figure)
    labels: dict[str, int] = {}
    for noun in _covering(outfit):
        labels[noun] = label(items[noun])
        if noun in _OUTERS:
            paint_outer(figure, items[noun], labels[noun], closed=outfit.closed_coat)
        else:
            _TRUNK[noun](figure, items[noun], labels[noun])
    for leg, side, number in shoes if boots else ():
        paint_shoe(figure, items["shoe"], number, leg, side)
    sleeved = next(noun for noun in (*_OUTERS, *_TOPS, "dress") if noun in outfit)
    for arm in figure.body.arms:
        paint_arm(figure, arm)
        paint_sleeve(figure, items[sleeved], labels[sleeved], arm)
        paint_hand(figure, arm)
    if "scarf" in outfit:
        paint_scarf(figure, items["scarf"], label(items["scarf"]))
    paint_head(figure)
    paint_hair(figure, under_hat="hat" in outfit)
    for noun, paint in _LAST.items():
        if noun in outfit:
            paint(figure, items[noun], label(items[noun]))
    return worn


def _covering(outfit: Outfit) -> list[str]:
    """What covers the trunk, from the inside out."""
    tucked = any(item.tucked for item in outfit.items.values())
    inner = (*_TOPS, *_BOTTOMS) if tucked else (*_BOTTOMS, *_TOPS)
    return [noun for noun in (*inner, "dress", *_OUTERS) if noun in outfit]


def reach_above(outfit: Outfit) -> float:
    """How far the garments reach above the crown, in body heights."""
    if "umbrella" in outfit:
        return 0.275
    return 0.11 if "hat" in outfit else 0.06


def reach_aside(body: Body, outfit: Outfit) -> tuple[float, float]:
    """How far body and garments reach to the left (below 0) and right of the axis, in body heights."""
    right, left = body.arms[0].tip[0] + 0.04, body.arms[1].tip[0] - 0.04
    if "bag" in outfit:
        left -= 0.065
    if "umbrella" in outfit:
        right += 0.23
    return min(left, -0.17), max(right, 0.17)
