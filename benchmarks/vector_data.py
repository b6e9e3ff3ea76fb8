"""Vectors that are spread as those of garments are, with categories and colours, and queries about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CATEGORIES = 27
COLOURS = 29
_LATENT = 48
"""Dimensions in which garments differ; embeddings of photos have far fewer than their vectors have numbers."""
_GARMENTS_A_STYLE = 200
_OF_STYLE = 0.7
"""How often a garment has its style's colour."""
_COMMON, _CATEGORY, _STYLE, _OWN, _NOISE = 1.0, 0.8, 0.6, 0.5, 0.02
_WORDS = 0.8
"""How far texts stand from pictures, in a direction that no picture has."""
_ROWS = 50_000
_Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Wanted:
    """A filter of one query.

    Attributes:
        category: of the garments, by number; None for any.
        colour: that they have, by number; None for any.
    """

    category: int | None = None
    colour: int | None = None


@dataclass(frozen=True)
class Case:
    """A kind of filter.

    Attributes:
        name: for people.
        wanted: of each query.
    """

    name: str
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True)
class VectorData:
    """A catalogue's worth of vectors.

    Attributes:
        vectors: float32 [garments, width], L2 norm 1.
        categories: int16 [garments].
        colours: bool [garments, COLOURS]; one to three each, mostly those of its style.
        queries: float32 [queries, width], L2 norm 1: half of them further garments, half texts.
        is_text: bool [queries].
        own_category: int16 [queries]: what each query shows.
    """

    vectors: _Floats
    categories: NDArray[np.int16]
    colours: NDArray[np.bool_]
    queries: _Floats
    is_text: NDArray[np.bool_]
    own_category: NDArray[np.int16]

    def passes(self, wanted: Wanted) -> NDArray[np.bool_]:
        """Which garments a filter lets through, bool [garments]."""
        keep = np.ones(len(self.vectors), np.bool_)
        if wanted.category is not None:
            keep &= self.categories == wanted.category
        if wanted.colour is not None:
            keep &= self.colours[:, wanted.colour]
        return keep

    def nearest(self, case: Case, count: int) -> list[set[int]]:
        """The garments nearest to each query in single precision, worked out over all that pass."""
        found: list[set[int]] = [set() for _ in case.wanted]
        for wanted in dict.fromkeys(case.wanted):
            queries = [index for index, one in enumerate(case.wanted) if one == wanted]
            best = _best(self.vectors, np.flatnonzero(self.passes(wanted)), self.queries[queries], count)
            for index, row in zip(queries, best, strict=True):
                found[index] = set(row.tolist())
        return found


def make_vectors(garments: int, width: int, queries: int, seed: int) -> VectorData:
    """Clusters within clusters: categories, of which some are common and some rare, styles within them, own looks.

    A vector is the sum of what all pictures share, its category's, its style's and its own part, all in `_LATENT`
    dimensions that are turned into `width`, and a little noise in every one of these.

    Args:
        garments: how many.
        width: numbers in a vector.
        queries: how many.
        seed: the same gives the same.
    """
    random = np.random.default_rng(seed)
    turn = np.linalg.qr(random.normal(size=(width, _LATENT + 2)))[0].T.astype(np.float32)
    categories = random.normal(size=(CATEGORIES, _LATENT)).astype(np.float32)
    count = max(garments // _GARMENTS_A_STYLE, CATEGORIES)
    of_style = random.choice(CATEGORIES, count, p=_falling(CATEGORIES)).astype(np.int16)
    styles = _CATEGORY * categories[of_style] + _STYLE * random.normal(size=(count, _LATENT)).astype(np.float32)

    def looks(chosen: NDArray[np.int64], own: float) -> _Floats:
        latent = styles[chosen] + own * random.normal(size=(len(chosen), _LATENT)).astype(np.float32)
        whole = latent @ turn[:_LATENT] + _COMMON * np.sqrt(_LATENT) * turn[_LATENT]
        noise = random.normal(size=(len(chosen), width)).astype(np.float32)
        return np.asarray(whole + _NOISE * noise, np.float32)

    chosen = random.integers(0, count, garments)
    vectors = np.empty((garments, width), np.float32)
    for start in range(0, garments, _ROWS):
        vectors[start : start + _ROWS] = _unit(looks(chosen[start : start + _ROWS], _OWN))
    shown = random.integers(0, count, queries)
    is_text = np.arange(queries) % 2 == 1
    asked = looks(shown, _OWN)
    asked[is_text] = looks(shown[is_text], 0) + _WORDS * np.sqrt(_LATENT) * turn[_LATENT + 1]
    colours = _colours(chosen, random.choice(COLOURS, (count, 2), p=_falling(COLOURS)), random)
    return VectorData(vectors, of_style[chosen], colours, _unit(asked), is_text, of_style[shown])


def _colours(chosen: NDArray[np.int64], of_style: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.bool_]:
    """One to three colours each, the first two mostly those of its style; bool [garments, COLOURS]."""
    garments = len(chosen)
    colours = np.zeros((garments, COLOURS), np.bool_)
    for place, extra in enumerate((1.0, 0.5, 0.2)):
        named = random.choice(COLOURS, garments, p=_falling(COLOURS))
        if place < of_style.shape[1]:
            named = np.where(random.random(garments) < _OF_STYLE, of_style[chosen, place], named)
        has = np.flatnonzero(random.random(garments) < extra)
        colours[has, named[has]] = True
    return colours


def _best(vectors: _Floats, indices: NDArray[np.int64], queries: _Floats, count: int) -> NDArray[np.int64]:
    """The best `count` of `indices` for each query, [queries, at most count]."""
    best_scores = np.zeros((len(queries), 0), np.float32)
    best = np.zeros((len(queries), 0), np.int64)
    for start in range(0, len(indices), _ROWS):
        some = indices[start : start + _ROWS]
        scores = np.concatenate([best_scores, queries @ vectors[some].T], axis=1)
        found = np.concatenate([best, np.broadcast_to(some, (len(queries), len(some)))], axis=1)
        order = np.argsort(-scores, axis=1)[:, :count]
        best_scores, best = np.take_along_axis(scores, order, 1), np.take_along_axis(found, order, 1)
    return best


def cases(data: VectorData) -> list[Case]:
    """No filter; a query's own category, a common one that it does not show, a rare one; colours; and both."""
    sizes = np.bincount(data.categories, minlength=CATEGORIES)
    by_size = [int(one) for one in np.argsort(-sizes, kind="stable") if sizes[one]]
    common, other, rare = by_size[0], by_size[1], by_size[-1]
    colours = [int(one) for one in np.argsort(-data.colours.sum(axis=0), kind="stable")]
    own = [int(one) for one in data.own_category]
    wanted = {
        "no filter": [Wanted() for _ in own],
        "own category": [Wanted(category=one) for one in own],
        "another category": [Wanted(category=other if one == common else common) for one in own],
        "rare category": [Wanted(category=rare) for _ in own],
        "common colour": [Wanted(colour=colours[0]) for _ in own],
        "uncommon colour": [Wanted(colour=colours[len(colours) // 2]) for _ in own],
        "own category and colour": [Wanted(category=one, colour=colours[1]) for one in own],
    }
    return [Case(name, tuple(each)) for name, each in wanted.items()]


def _falling(count: int) -> NDArray[np.float64]:
    """Shares of which the second is two thirds of the first, and so on, as sales are: a few kinds make up most."""
    shares = 1 / np.arange(1, count + 1)
    return np.asarray(shares / shares.sum())


def _unit(rows: _Floats) -> _Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
