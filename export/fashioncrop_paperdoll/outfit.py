"""What a person wears: which garments, in which colours and cuts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fashioncrop_paperdoll.palette import COLOURS, Style, draw_style

NOUNS = (
    "shirt",
    "t-shirt",
    "sweater",
    "jacket",
    "coat",
    "dress",
    "skirt",
    "pants",
    "shorts",
    "shoe",
    "hat",
    "bag",
    "scarf",
    "glasses",
    "umbrella",
)

_PLAIN = ("plain",)
_PATTERNS: dict[str, tuple[str, ...]] = {
    "shirt": ("plain", "plain", "striped", "checked"),
    "t-shirt": ("plain", "plain", "striped", "dotted"),
    "sweater": ("plain", "plain", "striped"),
    "jacket": ("plain", "plain", "plain", "checked"),
    "coat": ("plain", "plain", "plain", "checked"),
    "dress": ("plain", "plain", "striped", "dotted", "checked"),
    "skirt": ("plain", "plain", "dotted", "checked"),
    "pants": ("plain", "plain", "plain", "checked", "striped"),
    "shorts": ("plain", "plain", "striped", "checked"),
    "bag": ("plain", "plain", "plain", "dotted", "striped"),
    "scarf": ("plain", "striped", "checked"),
    "umbrella": ("plain", "plain", "striped", "dotted"),
}
_ACCESSORIES = ("hat", "bag", "scarf", "glasses", "umbrella")
_LIKELIHOODS = np.array([0.5, 0.45, 0.28, 0.4, 0.2])
_FEWEST = 5


@dataclass(frozen=True)
class Item:
    """A garment to wear.

    Attributes:
        noun: one of NOUNS.
        style: its look.
        kind: which of its kinds (lapels or zip, brim or cap ...), 0 to 5; a garment takes it modulo its kinds.
        cut: how long or wide, 0 to 1.
        tucked: whether a top ends at the waist, under what is worn below.
    """

    noun: str
    style: Style
    kind: int
    cut: float
    tucked: bool


@dataclass(frozen=True)
class Outfit:
    """All that a person wears or holds.

    Attributes:
        items: by noun; `shoe` stands for the pair.
    """

    items: dict[str, Item]

    def __contains__(self, noun: str) -> bool:
        return noun in self.items

    @property
    def closed_coat(self) -> bool:
        """A coat under which no top shows."""
        return "coat" in self.items and not {"shirt", "t-shirt", "sweater"} & self.items.keys()


def draw_outfit(rng: np.random.Generator) -> Outfit:
    """A random outfit of five to nine garments, none of which hides another."""
    nouns = [*_clothes(rng), "shoe"]
    wanted = dict(zip(_ACCESSORIES, rng.random(len(_ACCESSORIES)) < _LIKELIHOODS, strict=True))
    refused = {"umbrella"}
    if wanted["umbrella"]:
        refused.add("hat")  # the one would hide the other
    if len(nouns) > 3 and {"jacket", "coat"} & set(nouns):
        refused.add("scarf")  # no more of the top would be seen
    wanted |= {noun: wanted[noun] and noun == "umbrella" for noun in refused}
    spare = [_ACCESSORIES[place] for place in rng.permutation(len(_ACCESSORIES)) if _ACCESSORIES[place] not in refused]
    missing = _FEWEST - 1 - len(nouns) - sum(wanted.values())  # shoes are two
    for noun in [noun for noun in spare if not wanted[noun]][: max(missing, 0)]:
        wanted[noun] = True
    nouns.extend(noun for noun in _ACCESSORIES if wanted[noun])
    words = [str(word) for word in rng.permutation(list(COLOURS))]
    tucked = bool(rng.random() < 0.5)
    items: dict[str, Item] = {}
    for place, noun in enumerate(nouns):
        style = draw_style(rng, words[place % len(words)], _PATTERNS.get(noun, _PLAIN))
        kind, cut = int(rng.integers(6)), float(rng.uniform())
        if noun == "shoe" and "coat" in nouns:
            kind = 0  # boots would leave little of the pants
        items[noun] = Item(noun, style, kind, cut, tucked and noun in {"shirt", "t-shirt"})
    return Outfit(items)


def _clothes(rng: np.random.Generator) -> tuple[str, ...]:
    """From the inside out; only what leaves enough of the others to be seen."""
    look, outer, top, bottom = rng.random(4)
    if look < 0.2:
        return ("dress", "jacket") if outer < 0.18 else ("dress",)
    if look < 0.29:
        return ("coat", "pants")
    upper = "shirt" if top < 0.35 else "t-shirt" if top < 0.69 else "sweater"
    if outer < 0.18:
        return ("coat", upper, "pants")
    lower = "skirt" if bottom < 0.36 else "pants" if bottom < 0.64 else "shorts"
    return ("jacket", upper, lower) if outer < 0.42 else (upper, lower)
