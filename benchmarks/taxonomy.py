"""From a dataset's categories and the server's answers to one set of categories that both are compared in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fashioncrop.results import Garment
from pipeline_code import CATEGORIES, Category, category_of
from settings import Vocabulary
from truths import Dataset, DatasetError, FoundBoxes, TrueBoxes, Truth

PARTS = frozenset(
    (
        *("hood", "collar", "lapel", "epaulette", "sleeve", "pocket", "neckline", "buckle", "zipper", "applique"),
        *("bead", "bow", "flower", "fringe", "ribbon", "rivet", "ruffle", "sequin", "tassel"),
    )
)
"""Fashionpedia's categories 27 to 45: parts, closures and decorations of garments, which are no garments."""

_BY_ID = {category.id: category for category in CATEGORIES}
_BY_NAME = {category.name: category for category in CATEGORIES}


@dataclass(frozen=True)
class Taxonomy:
    """The categories that are evaluated.

    Attributes:
        vocabulary: phrases to send; None where the server's own vocabulary is asked for.
        names: of the evaluated categories, by key (Fashionpedia's id where `vocabulary` is None).
        phrases: the words to ask for each, by key.
        key_of: by index of the dataset's category; what is not in it is left out.
        key_of_phrase: for each phrase of `vocabulary` the key of its category.
        left_out: names of the dataset's categories that are not evaluated.
    """

    vocabulary: tuple[str, ...] | None
    names: dict[int, str]
    phrases: dict[int, tuple[str, ...]]
    key_of: dict[int, int]
    key_of_phrase: tuple[int, ...]
    left_out: tuple[str, ...]

    def kept(self, truths: Iterable[Truth]) -> list[Truth]:
        """Those whose category is evaluated."""
        return [truth for truth in truths if truth.category in self.key_of]

    def true_boxes(self, truths: Iterable[Truth]) -> TrueBoxes:
        """The evaluated truths of a photo."""
        kept = self.kept(truths)
        return TrueBoxes(
            np.asarray([truth.box_xyxy for truth in kept], np.float32).reshape(-1, 4),
            np.asarray([self.key_of[truth.category] for truth in kept], np.int32),
            np.asarray([truth.is_crowd for truth in kept], np.bool_),
        )

    def found_boxes(self, garments: Iterable[Garment]) -> FoundBoxes:
        """What was found of the evaluated categories; the dataset says nothing of others."""
        return as_boxes((garment, self._key(garment)) for garment in garments)

    def _key(self, garment: Garment) -> int | None:
        if self.vocabulary is not None:
            return self.key_of_phrase[garment.phrase_id]
        return garment.category.id if garment.category is not None and garment.category.id in self.names else None


def as_boxes(garments: Iterable[tuple[Garment, int | None]]) -> FoundBoxes:
    """Garments with the keys of their categories; those without a key are left out."""
    kept = [(garment, key) for garment, key in garments if key is not None]
    return FoundBoxes(
        np.asarray([garment.box_xyxy for garment, _ in kept], np.float32).reshape(-1, 4),
        np.asarray([key for _, key in kept], np.int32),
        np.asarray([garment.score for garment, _ in kept], np.float32),
    )


def choose_taxonomy(dataset: Dataset, wanted: Vocabulary) -> Taxonomy:
    """How the dataset's categories and the server's answers are compared.

    Raises:
        DatasetError: no annotation is left.
    """
    candidates = {place: name for place, name in enumerate(dataset.categories) if name.lower() not in PARTS}
    known = {place: category for place, name in candidates.items() if (category := _fashionpedia(name)) is not None}
    use_default = wanted is Vocabulary.DEFAULT or (wanted is Vocabulary.AUTO and len(known) == len(candidates))
    taxonomy = _default(dataset, known) if use_default else _own(dataset, candidates)
    if not dataset.annotated & taxonomy.key_of.keys():
        names = ", ".join(dataset.categories[:8]) + (" ..." if len(dataset.categories) > 8 else "")  # noqa: PLR2004 - a line
        remedy = " Ask for the dataset's own words: --vocabulary dataset." if use_default and candidates else ""
        raise DatasetError(f"No annotation is left: none is of a garment that is looked for ({names}).{remedy}")
    return taxonomy


def _fashionpedia(name: str) -> Category | None:
    return _BY_NAME.get(name.lower()) or category_of(phrases_of(name)[-1])


def _default(dataset: Dataset, known: dict[int, Category]) -> Taxonomy:
    key_of = {place: category.id for place, category in known.items()}
    keys = sorted(set(key_of.values()))
    return Taxonomy(
        vocabulary=None,
        names={key: _BY_ID[key].name for key in keys},
        phrases={key: _BY_ID[key].nouns for key in keys},
        key_of=key_of,
        key_of_phrase=(),
        left_out=_left_out(dataset, key_of),
    )


def _own(dataset: Dataset, candidates: dict[int, str]) -> Taxonomy:
    phrases: dict[str, int] = {}
    for place, name in candidates.items():
        for phrase in phrases_of(name):
            phrases.setdefault(phrase, place)
    asked = {place: tuple(phrase for phrase, key in phrases.items() if key == place) for place in candidates}
    key_of = {place: place for place, own in asked.items() if own}
    return Taxonomy(
        vocabulary=tuple(phrases),
        names={place: candidates[place] for place in key_of},
        phrases={place: asked[place] for place in key_of},
        key_of=key_of,
        key_of_phrase=tuple(phrases.values()),
        left_out=_left_out(dataset, key_of),
    )


def _left_out(dataset: Dataset, key_of: dict[int, int]) -> tuple[str, ...]:
    return tuple(name for place, name in enumerate(dataset.categories) if place not in key_of)


def phrases_of(name: str) -> tuple[str, ...]:
    """A category's name as phrases that the server takes: "bag, wallet" is two, "short_sleeve.top" has words."""
    parts = [" ".join(part.lower().translate(_TO_SPACE).split()) for part in name.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part)) or (name,)


_TO_SPACE = str.maketrans(dict.fromkeys("_.?/", " "))
