"""The nearest garments, and the photos that show them.

There are two ways to the nearest. Looking at every garment that passes the filters is exact, and the faster way where
few of them do. An index is the faster way where many do: it is walked on until enough of them have passed (pgvector's
iterative scan). It brings first what it meets first, so more are taken than are wanted, and put into order. Where it
brings too few, because the planner's estimate of the filters was wrong or the walk came to its end, every garment is
looked at after all: a filter never hides what passes it.

Categories are asked one after the other, each in its own index, and their answers put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fashioncrop.cataloguing._database import Database, Transaction
from fashioncrop.cataloguing.entries import Space, checked_vector

EF_SEARCH = 400
"""Candidates that a walk through an index keeps; more find more and take longer."""
EF_SEARCH_FILTERED = 800
"""The same under a filter, where the query may lie far from all that passes."""
EXACT_GARMENTS = 10_000
"""Where the filters let at most so many pass, looking at each of them is as fast as the index."""
_MOST_EF_SEARCH = 1000  # pgvector's limit
_WORK_MEMORY = "64MB"
_MOST_WALKED = 20_000
_TAKEN_TIMES = 4
_GARMENTS_A_PHOTO = 4
_LEAST_ASKED = 40
_MOST_SHOWN = 3
"""Garments of one photo in an answer."""


class Way(StrEnum):
    """How the nearest are looked for."""

    AUTO = "auto"
    EXACT = "exact"
    INDEX = "index"


@dataclass(frozen=True)
class Filters:
    """What a garment must be to be found.

    Attributes:
        categories: it is of one of them, by their numbers, or
        phrases: it was found as one of these, in lower case. Both empty: any garment.
        colours: it has all of them, in lower case. Empty: any colour.
        without_photo: a photo whose garments are left out.
    """

    categories: tuple[int, ...] = ()
    phrases: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    without_photo: int | None = None

    @property
    def are_any(self) -> bool:
        """Whether there is a filter that may leave few garments."""
        return bool(self.categories or self.phrases or self.colours)


@dataclass(frozen=True, order=True)
class Near:
    """A garment and how far it is.

    Attributes:
        distance: 1 less the cosine, 0 to 2.
        photo: number of its photo.
        number: its place there.
    """

    distance: float
    photo: int
    number: int


@dataclass(frozen=True)
class _Condition:
    text: str
    values: dict[str, Any] = field(default_factory=dict)


async def nearest(
    database: Database,
    space: Space,
    vector: Sequence[float],
    *,
    count: int,
    filters: Filters | None = None,
    way: Way = Way.AUTO,
    ef_search: int | None = None,
) -> list[Near]:
    """The nearest garments, nearest first.

    Args:
        database: the catalogue's.
        space: whose vectors are compared.
        vector: of the query, of the same model.
        count: at most so many.
        filters: what they must be.
        way: how; `auto` decides.
        ef_search: see `EF_SEARCH`; None decides.

    Raises:
        CatalogueError: the vector is of another length, or the database fails.
    """
    filters = filters or Filters()
    # Under a filter, what is met first may not be the nearest.
    taken = max(count, min(count * _TAKEN_TIMES, _MOST_EF_SEARCH)) if filters.are_any else count
    usual = EF_SEARCH_FILTERED if filters.are_any else EF_SEARCH
    values = {"vector": checked_vector(vector, space.dimension), "count": count, "taken": taken}
    settings: dict[str, str | int] = {
        "hnsw.ef_search": min(max(ef_search or usual, taken), _MOST_EF_SEARCH),
        "hnsw.iterative_scan": "relaxed_order",
        "hnsw.max_scan_tuples": _MOST_WALKED,
        "hnsw.scan_mem_multiplier": 4,
        "work_mem": _WORK_MEMORY,
    }
    found: set[Near] = set()
    async with database.transaction(settings) as transaction:
        for condition in _conditions(space, filters):
            of_all = {**condition.values, **values}
            near: list[Near] | None = None
            if way is Way.INDEX or (way is Way.AUTO and await _pass_many(transaction, condition, filters)):
                near = await _by_index(transaction, space, condition, of_all)
            if near is None or (len(near) < taken and way is not Way.INDEX):
                near = await _by_all(transaction, condition, of_all)
            found.update(near)
    return sorted(found)[:count]


async def nearest_photos(
    database: Database,
    space: Space,
    vector: Sequence[float],
    *,
    limit: int,
    filters: Filters | None = None,
) -> list[list[Near]]:
    """The photos with the nearest garments: the nearest of each, nearest first, and so are the photos.

    Args:
        database: the catalogue's.
        space: whose vectors are compared.
        vector: of the query, of the same model.
        limit: photos at most.
        filters: what the garments must be.

    Raises:
        CatalogueError: as `nearest`.
    """
    count = max(limit * _GARMENTS_A_PHOTO, _LEAST_ASKED)
    while True:
        found = await nearest(database, space, vector, count=count, filters=filters)
        photos: dict[int, list[Near]] = {}
        for one in found:
            photos.setdefault(one.photo, []).append(one)
        if len(photos) >= limit or len(found) < count:
            return [garments[:_MOST_SHOWN] for garments in list(photos.values())[:limit]]
        count *= 4  # some photos show many garments that are alike


def _conditions(space: Space, filters: Filters) -> list[_Condition]:
    """One for each index that may be walked; a garment that fits one of them fits the filters."""
    # Numbers are written out, because that is how the planner sees which index is of them.
    always, values = [f"space_id = {space.id:d}"], dict[str, Any]()
    if filters.colours:
        always.append("colours @> %(colours)s::text[]")
        values["colours"] = list(filters.colours)
    if filters.without_photo is not None:
        always.append("photo_id <> %(without_photo)s")
        values["without_photo"] = filters.without_photo
    kinds = [f"category_id = {number:d}" for number in filters.categories]
    if filters.phrases:
        kinds.append("phrase = ANY(%(phrases)s::text[])")
        values["phrases"] = list(filters.phrases)
    return [_Condition(" AND ".join([*always, kind]), values) for kind in kinds] or [
        _Condition(" AND ".join(always), values)
    ]


async def _pass_many(transaction: Transaction, condition: _Condition, filters: Filters) -> bool:
    """Do so many garments pass, as the planner estimates, that the index is faster?"""
    if not filters.are_any:
        return True
    plan = await transaction.row(f"EXPLAIN (FORMAT JSON) SELECT FROM garment WHERE {condition.text}", condition.values)
    return plan is not None and int(plan[0][0]["Plan"]["Plan Rows"]) > EXACT_GARMENTS


async def _by_index(
    transaction: Transaction, space: Space, condition: _Condition, values: dict[str, Any]
) -> list[Near]:
    kind = f"halfvec({space.dimension:d})"
    # An index is the only way without sorting. Where there is none yet, all are sorted after all: nothing is missed.
    await transaction.run("SET LOCAL enable_sort = off")
    rows = await transaction.rows(
        f"SELECT embedding::{kind} <=> %(vector)s::real[]::{kind} AS distance, photo_id, number "  # noqa: S608 - above
        f"FROM garment WHERE {condition.text} ORDER BY distance LIMIT %(taken)s",
        values,
    )
    return sorted(Near(float(distance), photo, number) for distance, photo, number in rows)


async def _by_all(transaction: Transaction, condition: _Condition, values: dict[str, Any]) -> list[Near]:
    # Without the cast to a vector of so many numbers the index does not fit the expression.
    rows = await transaction.rows(
        "SELECT embedding <=> %(vector)s::real[]::halfvec AS distance, photo_id, number "  # noqa: S608 - above
        f"FROM garment WHERE {condition.text} ORDER BY distance, photo_id, number LIMIT %(count)s",
        values,
    )
    return [Near(float(distance), photo, number) for distance, photo, number in rows]
