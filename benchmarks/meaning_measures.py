"""What garments look like: do colours' names agree with the annotations, and do texts find their crops?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappush, heapreplace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection_measures import mean, share
from truths import Truth

ACCEPTED_SHADES: Mapping[str, frozenset[str]] = {
    "red": frozenset({"burgundy"}),
    "orange": frozenset({"coral"}),
    "yellow": frozenset({"mustard"}),
    "green": frozenset({"dark green", "lime", "mint", "olive"}),
    "blue": frozenset({"navy", "light blue", "denim blue"}),
    "purple": frozenset({"lavender"}),
    "pink": frozenset({"hot pink", "coral"}),
    "brown": frozenset({"dark brown", "tan"}),
    "white": frozenset({"cream"}),
    "grey": frozenset({"dark grey", "light grey"}),
}
"""Annotations say a dozen colours, the pipeline knows thirty names: the names that an English speaker would still call
by the annotated word. Neighbours are not among them: dark grey is not black, teal is neither blue nor green."""
_SPELLINGS = {"gray": "grey"}

CROPS_A_ROUND = 100
MOST_ROUNDS = 10
_HITS = (1, 5)


@dataclass(frozen=True)
class NamedColour:
    """One plain garment's colour.

    Attributes:
        annotated: the dataset's word.
        found: the name of its first colour in the answer.
    """

    annotated: str
    found: str


@dataclass(frozen=True)
class Crop:
    """One true box as the pipeline embeds it.

    Attributes:
        caption: what the annotations say of it, "red striped skirt".
        embedding: float32 [width], L2 norm 1.
    """

    caption: str
    embedding: NDArray[np.float32]


def is_plain(truth: Truth) -> bool:
    """Whether a garment is of one colour, as far as the annotations say."""
    return truth.pattern in (None, "plain")


def caption_of(truth: Truth, category: str) -> str:
    """A garment in words; that it is plain is not said."""
    words = (truth.colour, None if is_plain(truth) else truth.pattern, truth.noun or category)
    return " ".join(word for word in words if word)


def is_right(colour: NamedColour, *, shades: bool) -> bool:
    """Whether the found name is the annotated word, or one of its accepted shades."""
    word = _SPELLINGS.get(colour.annotated, colour.annotated)
    return colour.found == word or (shades and colour.found in ACCEPTED_SHADES.get(word, frozenset()))


def colour_figures(many: Iterable[NamedColour]) -> dict[str, Any]:
    """Shares of right names, over all and by annotated word, as JSON values."""
    colours = list(many)
    words = sorted({colour.annotated for colour in colours})
    return {
        **_colour_shares(colours),
        "per_colour": {word: _by_word([one for one in colours if one.annotated == word]) for word in words},
    }


def _by_word(colours: Sequence[NamedColour]) -> dict[str, Any]:
    names = Counter(colour.found for colour in colours)
    return {**_colour_shares(colours), "named": dict(names.most_common())}


def _colour_shares(colours: Sequence[NamedColour]) -> dict[str, Any]:
    return {
        "garments": len(colours),
        "strict": share(sum(is_right(colour, shades=False) for colour in colours), len(colours)),
        "with_shades": share(sum(is_right(colour, shades=True) for colour in colours), len(colours)),
    }


class CropSample:
    """A random sample of all crops that are shown to it, the same in whatever order they come.

    Args:
        size: most crops to keep.
        seed: decides which.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        self._kept: list[tuple[float, tuple[int, int], Crop]] = []
        self.shown = 0

    def show(self, crop: Crop, place: tuple[int, int]) -> None:
        """Keep it or not.

        Args:
            crop: of a garment.
            place: the photo's index and the garment's, which no other crop has.
        """
        self.shown += 1
        chance = -float(np.random.default_rng([self._seed, *place]).random())
        if len(self._kept) < self._size:
            heappush(self._kept, (chance, place, crop))
        elif chance > self._kept[0][0]:
            heapreplace(self._kept, (chance, place, crop))

    def rounds(self) -> list[list[Crop]]:
        """The crops in rounds of `CROPS_A_ROUND`; where there are fewer, they are one round."""
        crops = [crop for _, _, crop in sorted(self._kept, key=lambda one: (-one[0], one[1]))]
        whole = len(crops) // CROPS_A_ROUND * CROPS_A_ROUND
        if not whole:
            return [crops] if crops else []
        return [crops[start : start + CROPS_A_ROUND] for start in range(0, whole, CROPS_A_ROUND)]


def captions_of(rounds: Iterable[Sequence[Crop]]) -> list[str]:
    """Every caption once."""
    return sorted({crop.caption for crops in rounds for crop in crops})


def text_to_crop_figures(rounds: Sequence[Sequence[Crop]], texts: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
    """Recall of crops by their captions as JSON values: each round asks for each of its captions once.

    Args:
        rounds: crops that compete with each other.
        texts: each caption's embedding, float32 [width], L2 norm 1.
    """
    asked = [one for crops in rounds for one in _asked(crops, texts)]
    return {
        "rounds": len(rounds),
        "crops_a_round": len(rounds[0]) if rounds else 0,
        "captions_asked": len(asked),
        **{f"recall_at_{hits}": mean(float(right[:hits].any()) for right in asked) for hits in _HITS},
        # Captions that several crops have are easier to hit, so chance is no 1 in 100.
        "recall_at_1_by_chance": mean(float(right.mean()) for right in asked),
    }


def _asked(crops: Sequence[Crop], texts: Mapping[str, NDArray[np.float32]]) -> Iterator[NDArray[np.bool_]]:
    """For each caption of the round: which crops have it, the most similar first."""
    embeddings = np.stack([crop.embedding for crop in crops])
    captions = np.asarray([crop.caption for crop in crops])
    for caption in sorted(set(captions.tolist())):
        similar = embeddings @ texts[caption]
        yield captions[np.argsort(-similar, kind="stable")] == caption
