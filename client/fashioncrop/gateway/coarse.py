"""Fashionpedia's categories as the fashion-crop API names them: coarsely."""

from __future__ import annotations

from fashioncrop.results import Garment

OTHER = "other"
"""What names no Fashionpedia category."""

COARSE: dict[int, str] = {
    0: "top",  # shirt, blouse
    1: "top",  # top, t-shirt, sweatshirt
    2: "top",  # sweater
    3: "top",  # cardigan
    4: "outerwear",  # jacket
    5: "top",  # vest
    6: "bottom",  # pants
    7: "bottom",  # shorts
    8: "bottom",  # skirt
    9: "outerwear",  # coat
    10: "dress",  # dress
    11: "dress",  # jumpsuit
    12: "outerwear",  # cape
    13: "accessory",  # glasses
    14: "hat",  # hat
    15: "accessory",  # headband, head covering, hair accessory
    16: "accessory",  # tie
    17: "accessory",  # glove
    18: "accessory",  # watch
    19: "accessory",  # belt
    20: "accessory",  # leg warmer
    21: "accessory",  # tights, stockings
    22: "accessory",  # sock
    23: "shoes",  # shoe
    24: "bag",  # bag, wallet
    25: "accessory",  # scarf
    26: "accessory",  # umbrella
}
"""By Fashionpedia's id."""


def coarse_category(garment: Garment) -> str:
    """The garment's coarse category."""
    return OTHER if garment.category is None else COARSE.get(garment.category.id, OTHER)
