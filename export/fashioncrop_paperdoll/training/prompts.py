"""The phrases that a detector in training is asked for: drawn anew each time a scene is seen, so that the text matters.

Phrases are absent as often as present, in any order and number, by synonyms too; without that a detector learns to find
every garment whatever it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fashioncrop_paperdoll.palette import COLOURS
from fashioncrop_paperdoll.scene import Garment

SYNONYMS = {
    "shirt": ("button-up shirt", "dress shirt"),
    "t-shirt": ("tee", "tee shirt"),
    "sweater": ("pullover", "jumper"),
    "jacket": ("blazer",),
    "coat": ("overcoat", "trench coat"),
    "dress": ("gown",),
    "skirt": ("skirts",),
    "pants": ("trousers", "jeans"),
    "shorts": ("bermuda shorts",),
    "shoe": ("shoes", "sneaker", "footwear"),
    "hat": ("cap", "beanie"),
    "bag": ("handbag", "purse"),
    "scarf": ("shawl",),
    "glasses": ("sunglasses", "eyeglasses"),
    "umbrella": ("parasol",),
}
"""Other words for what is drawn; the keys are every noun of the scenes."""

DEFAULT_VOCABULARY = (
    *("shirt", "blouse", "top", "t-shirt", "sweatshirt", "sweater", "cardigan", "jacket", "vest", "pants", "shorts"),
    *("skirt", "coat", "dress", "jumpsuit", "cape", "glasses", "hat", "headband", "head covering", "hair accessory"),
    *("tie", "glove", "watch", "belt", "leg warmer", "tights", "stockings", "sock", "shoe", "bag", "wallet", "scarf"),
    "umbrella",
)
"""The served pipeline's own, in its order: what most requests ask for."""

_DEFAULT_SHARE, _COLOUR_SHARE, _FEW_SHARE = 0.3, 0.1, 0.35
_NOUNS = tuple(SYNONYMS)
# Nothing of these is drawn, so whatever is found for them is wrong.
_ABSENT = tuple(noun for noun in DEFAULT_VOCABULARY if noun not in (*_NOUNS, "blouse", "top", "sweatshirt", "wallet"))


@dataclass(frozen=True)
class Prompt:
    """What one scene is searched for.

    Attributes:
        phrases: in the order of the caption.
        labels: for each garment of the scene the index of its phrase, -1 where nobody asks for it.
    """

    phrases: tuple[str, ...]
    labels: tuple[int, ...]


def draw_prompts(rng: np.random.Generator, worn: Sequence[Sequence[Garment]]) -> list[Prompt]:
    """A prompt for each scene of a batch, given what is worn in it.

    The default vocabulary is asked of a whole batch or of none of it: its caption is three times as long as others, and
    one sample's length is every sample's cost.
    """
    if rng.random() < _DEFAULT_SHARE:
        return [_whole_vocabulary(rng, garments) for garments in worn]
    return [_short(rng, garments) for garments in worn]


def _short(rng: np.random.Generator, garments: Sequence[Garment]) -> Prompt:
    kind = rng.random()
    if kind < _COLOUR_SHARE:
        return _with_colours(rng, garments)
    return _few_nouns(rng, garments) if kind < _COLOUR_SHARE + _FEW_SHARE else _some_nouns(rng, garments)


def _whole_vocabulary(rng: np.random.Generator, garments: Sequence[Garment]) -> Prompt:
    phrases = list(DEFAULT_VOCABULARY)
    if rng.random() < 0.5:
        rng.shuffle(phrases)
    return _by_noun(phrases, phrases, garments)


def _some_nouns(rng: np.random.Generator, garments: Sequence[Garment]) -> Prompt:
    present = sorted({garment.noun for garment in garments})
    missing = [noun for noun in _NOUNS if noun not in present]
    keep, add, distract = rng.choice([0.3, 0.7, 1.0]), rng.choice([0.1, 0.4, 1.0]), rng.choice([0.0, 0.1, 0.3])
    nouns = [noun for noun in present if rng.random() < keep]
    nouns += [noun for noun in missing if rng.random() < add]
    nouns += [noun for noun in _ABSENT if rng.random() < distract]
    nouns = nouns or [str(rng.choice(_NOUNS))]
    rng.shuffle(nouns)
    return _by_noun(_said(rng, nouns), nouns, garments)


def _few_nouns(rng: np.random.Generator, garments: Sequence[Garment]) -> Prompt:
    """One to three nouns, whatever is worn. Where no better name is offered, a coat must still not become a jacket."""
    nouns = [str(noun) for noun in rng.choice(_NOUNS, rng.integers(1, 4), replace=False)]
    return _by_noun(_said(rng, nouns), nouns, garments)


def _said(rng: np.random.Generator, nouns: Sequence[str]) -> list[str]:
    """The nouns, some of them by another word."""
    return [str(rng.choice(SYNONYMS[noun])) if noun in SYNONYMS and rng.random() < 0.2 else noun for noun in nouns]


def _by_noun(phrases: Sequence[str], nouns: Sequence[str], garments: Sequence[Garment]) -> Prompt:
    places = {noun: index for index, noun in enumerate(nouns)}
    return Prompt(tuple(phrases), tuple(places.get(garment.noun, -1) for garment in garments))


def _with_colours(rng: np.random.Generator, garments: Sequence[Garment]) -> Prompt:
    """Some phrases say a colour, which may be the wrong one: then the garment is not what was asked for."""
    wanted: dict[tuple[str, str], None] = {}
    for noun in sorted({garment.noun for garment in garments}):
        if rng.random() < 0.3:
            continue
        colour = str(rng.choice([garment.colour for garment in garments if garment.noun == noun]))
        if rng.random() < 0.35:
            colour = str(rng.choice(list(COLOURS)))
        wanted[colour, noun] = None
    wanted[str(rng.choice(list(COLOURS))), str(rng.choice(_NOUNS))] = None
    pairs = list(wanted)
    order = rng.permutation(len(pairs))
    places = {pairs[index]: place for place, index in enumerate(order)}
    phrases = tuple(" ".join(pairs[index]) for index in order)
    return Prompt(phrases, tuple(places.get((garment.colour, garment.noun), -1) for garment in garments))
