"""Does the vocabulary steer: are only the garments found that were asked for?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detection_measures import SAME_IOU, Tally, share, tallies
from taxonomy import Taxonomy
from truths import Dataset, FoundBoxes, TrueBoxes, overlaps

_WITH_PRESENT = 0.5
"""Share of the photos that are asked for something that is there; the others are asked for what is not, which is the
harder half: a detector that finds garments whatever it is asked for fails there."""


@dataclass(frozen=True)
class Term:
    """What one may ask for.

    Attributes:
        key: of the evaluated category.
        phrases: the words for it that are sent.
    """

    key: int
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Steered:
    """What came of one photo.

    Attributes:
        was_there: whether something that was asked for is in the photo.
        strays: found boxes that lie on garments nobody asked for.
        tally: of the garments asked for.
    """

    was_there: bool
    strays: int
    tally: Tally


def terms_of(dataset: Dataset, taxonomy: Taxonomy) -> tuple[Term, ...]:
    """What of the dataset can be asked for: its annotations' nouns, or the words for its categories.

    None where all are of one category: there is nothing to steer away from.
    """
    nouns = sorted((noun, place) for noun, place in dataset.nouns if place in taxonomy.key_of)
    keys = sorted({taxonomy.key_of[place] for place in dataset.annotated if place in taxonomy.key_of})
    terms = [Term(taxonomy.key_of[place], (noun,)) for noun, place in nouns]
    terms = terms or [Term(key, taxonomy.phrases[key]) for key in keys]
    return tuple(terms) if len({term.key for term in terms}) > 1 else ()


def choose_terms(terms: Sequence[Term], present: Collection[int], rng: np.random.Generator) -> list[Term]:
    """Two terms of different categories for one photo, by chance.

    Args:
        terms: of the dataset, of at least two categories.
        present: keys of the categories that are in the photo.
        rng: decides.
    """
    there = [term for term in terms if term.key in present]
    absent = [term for term in terms if term.key not in present]
    pools = [there, terms] if there and rng.random() < _WITH_PRESENT else [absent or terms, absent]
    chosen: list[Term] = []
    for pool in pools:
        used = {term.key for term in chosen}
        free = [term for term in pool if term.key not in used] or [term for term in terms if term.key not in used]
        chosen.append(free[int(rng.integers(len(free)))])
    return chosen


def steered(truth: TrueBoxes, found: FoundBoxes, asked: Collection[int]) -> Steered:
    """Judge what was found where only `asked` (keys) were asked for; crowds say nothing here."""
    alone = truth[~truth.is_crowd]
    wanted = np.isin(alone.categories, list(asked))
    shared = overlaps(found, alone)
    on_wanted = np.where(wanted, shared, 0).max(axis=1, initial=0)
    on_other = np.where(wanted, 0, shared).max(axis=1, initial=0)
    strays = (on_other >= SAME_IOU) & (on_other > on_wanted)
    tally = sum(tallies(alone[wanted], found).values(), Tally())
    return Steered(bool(wanted.any()), int(strays.sum()), tally)


def steering_figures(many: Iterable[Steered]) -> dict[str, Any]:
    """Shares of photos and garments as JSON values."""
    photos = list(many)
    there, absent = [one for one in photos if one.was_there], [one for one in photos if not one.was_there]
    tally = sum((one.tally for one in photos), Tally())
    return {
        "photos": len(photos),
        "nothing_else_found": _clean(photos),
        "photos_where_asked_for_is_there": len(there),
        "nothing_else_found_where_there": _clean(there),
        "photos_where_asked_for_is_absent": len(absent),
        "nothing_else_found_where_absent": _clean(absent),
        "strays": sum(one.strays for one in photos),
        "found": tally.right + tally.wrong,
        "truths": tally.right + tally.missed,
        "recall": tally.recall,
    }


def _clean(photos: Sequence[Steered]) -> float | None:
    return share(sum(one.strays == 0 for one in photos), len(photos))
