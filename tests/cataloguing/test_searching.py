"""The indexes and a look at every garment find the same, and no filter hides what passes it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from fashioncrop._postgres.places import Place
from fashioncrop.cataloguing import indexes, searching
from fashioncrop.cataloguing._database import Database
from fashioncrop.cataloguing.catalogue import open_catalogue
from fashioncrop.cataloguing.entries import Space
from fashioncrop.cataloguing.searching import Filters, Near, Way, nearest, nearest_photos
from planted import MODEL, OTHER_MODEL, make_database

COUNT, WIDTH, CLUSTERS, CATEGORIES = 4000, 32, 40, 4
COLOURS = ("red", "blue", "green", "black")
RARE = 17
"""So many garments have the rare phrase, far from the queries; the planner is not told of them."""
LEAST = 500

_COPY = (
    "COPY fashioncrop.garment (photo_id, number, space_id, dimension, category_id, phrase, colours, embedding) "
    "FROM STDIN"
)


@dataclass
class Planted:
    """A catalogue of clusters, with indexes.

    Attributes:
        place: where.
        space: whose vectors.
        vectors: float32 [COUNT, WIDTH], L2 norm 1; two garments a photo.
        queries: near to some of them.
        categories: of each garment, from 1; a category is ten clusters.
        phrases: of each garment.
        colours: of each garment.
    """

    place: Place
    space: Space
    vectors: NDArray[np.float32]
    queries: NDArray[np.float32]
    categories: NDArray[np.int64]
    phrases: list[str]
    colours: list[str]

    def passes(self, filters: Filters) -> NDArray[np.bool_]:
        """Which garments."""
        keep = np.isin(self.categories, filters.categories) | np.isin(self.phrases, filters.phrases)
        keep |= not (filters.categories or filters.phrases)
        return np.asarray(keep & np.isin(self.colours, filters.colours or self.colours))

    def exact(self, query: NDArray[np.float32], keep: NDArray[np.bool_], count: int) -> set[tuple[int, int]]:
        """The nearest of those that are kept, worked out here."""
        similarities = np.where(keep, self.vectors @ query, -2.0)
        best = np.argsort(-similarities)[:count]
        return {(int(index) // 2, int(index) % 2) for index in best if keep[index]}


def unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def clusters(postgres: str, template: str) -> Planted:
    place = Place("clusters", url=make_database(postgres, template))
    random = np.random.default_rng(6)
    centres = random.normal(size=(CLUSTERS, WIDTH))
    of_cluster = random.integers(0, CLUSTERS, COUNT)
    vectors = unit_rows(centres[of_cluster] + 0.4 * random.normal(size=(COUNT, WIDTH)))
    queries = unit_rows(vectors[random.integers(0, COUNT, 30)] + 0.05 * random.normal(size=(30, WIDTH)))
    phrases = ["common" if index % 3 else "third" for index in range(COUNT)]
    for index in np.argsort((vectors @ queries.T).max(axis=1))[:RARE]:
        phrases[int(index)] = "rare"
    colours = [COLOURS[int(number)] for number in random.integers(0, 4, COUNT)]
    categories = of_cluster % CATEGORIES + 1
    made = Planted(place, Space(0, MODEL, WIDTH), vectors, queries, categories, phrases, colours)
    return replace(made, space=asyncio.run(_filled(made)))


async def _filled(made: Planted) -> Space:
    async with open_catalogue(made.place) as catalogue:
        other = await catalogue.make_space(OTHER_MODEL, WIDTH)
        assert other.id == 1, "the space that is searched is not the first"
        space = await catalogue.make_space(MODEL, WIDTH)
    with psycopg.connect(str(made.place.url)) as connection:
        connection.execute(
            "INSERT INTO fashioncrop.category (name, supercategory) SELECT 'category ' || n, '' FROM "
            "generate_series(1, %s) AS n",
            [CATEGORIES],
        )
        connection.execute(
            "INSERT INTO fashioncrop.photo (id, source, sha256, recipe, space_id, analysis) "
            "SELECT n, '/' || n, sha256(n::text::bytea), '', %s, '{}' FROM generate_series(0, %s) AS n",
            [space.id, COUNT // 2 - 1],
        )
        with connection.cursor().copy(_COPY) as copy:
            for index, vector in enumerate(made.vectors):
                place = [index // 2, index % 2, space.id, WIDTH, int(made.categories[index])]
                copy.write_row([*place, made.phrases[index], [made.colours[index]], str(vector.tolist())])
    database = Database(str(made.place.url), "clusters")
    await database.look_at_extension()
    names = [indexes.index_name(space, category) for category in (None, *range(1, CATEGORIES + 1))]
    assert sorted(await indexes.build_indexes(database, space, is_here=True, least=LEAST)) == sorted(names)
    assert await indexes.build_indexes(database, space, is_here=True, least=LEAST) == [], "they are there"
    await database.close()
    _mislead(str(made.place.url), made.phrases)
    return space


def _mislead(url: str, phrases: list[str]) -> None:
    """Have the planner believe that the rare phrase is a common one."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE fashioncrop.garment SET (autovacuum_enabled = off)")
        connection.execute("UPDATE fashioncrop.garment SET phrase = 'rare' WHERE phrase = 'third'")
        connection.execute("ANALYZE fashioncrop.garment")
        connection.execute("UPDATE fashioncrop.garment SET phrase = 'third' WHERE phrase = 'rare'")
        rare = [index for index, phrase in enumerate(phrases) if phrase == "rare"]
        statement = "UPDATE fashioncrop.garment SET phrase = 'rare' WHERE photo_id * 2 + number = ANY(%s)"
        connection.execute(statement, [rare])


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes a hundred garments for many, so that the indexes are used."""
    monkeypatch.setattr(searching, "EXACT_GARMENTS", 100)


def found(near: list[Near]) -> set[tuple[int, int]]:
    return {(one.photo, one.number) for one in near}


async def ask(
    clusters: Planted, *, count: int, filters: Filters | None = None, way: Way = Way.AUTO
) -> list[list[Near]]:
    database = Database(str(clusters.place.url), "clusters")
    try:
        await database.look_at_extension()
        return [
            await nearest(database, clusters.space, query.tolist(), count=count, filters=filters, way=way)
            for query in clusters.queries
        ]
    finally:
        await database.close()


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters(phrases=("third",)),
        Filters(colours=("red",)),
        Filters(categories=(2,)),
        Filters(categories=(1, 3), colours=("blue",)),
        Filters(categories=(4,), phrases=("third", "rare")),
        Filters(phrases=("rare",)),
    ],
    ids=str,
)
@pytest.mark.parametrize("way", [Way.EXACT, Way.AUTO])
async def test_what_is_nearest_is_found_whatever_the_filter(clusters: Planted, way: Way, filters: Filters) -> None:
    answers = await ask(clusters, count=10, filters=filters, way=way)
    keep = clusters.passes(filters)
    recalls = []
    for query, near in zip(clusters.queries, answers, strict=True):
        expected = clusters.exact(query, keep, 10)
        assert len(near) == len(found(near)) == len(expected) == 10
        assert near == sorted(near)
        assert all(keep[one.photo * 2 + one.number] for one in near)
        similarities = [float(clusters.vectors[one.photo * 2 + one.number] @ query) for one in near]
        assert [1 - one.distance for one in near] == pytest.approx(similarities, abs=2e-3)
        recalls.append(len(found(near) & expected) / 10)
    assert np.mean(recalls) >= (0.98 if way is Way.EXACT else 0.95), "half precision may exchange neighbours"


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("category", [None, 3])
async def test_the_index_of_what_is_asked_for_is_what_answers(clusters: Planted, category: int | None) -> None:
    filters = Filters(categories=() if category is None else (category,))
    name = indexes.index_name(clusters.space, category)

    def scans() -> dict[str, int]:
        with psycopg.connect(str(clusters.place.url)) as connection:
            rows = connection.execute(
                "SELECT indexrelname, idx_scan FROM pg_stat_user_indexes WHERE indexrelname LIKE 'garment_embedding%'"
            ).fetchall()
        return {str(index): int(count) for index, count in rows}

    before = scans()
    by_index = await ask(clusters, count=10, filters=filters, way=Way.INDEX)
    assert by_index == await ask(clusters, count=10, filters=filters)
    used = {index: count - before[index] for index, count in scans().items() if count != before[index]}
    assert used == {name: 2 * len(clusters.queries)}


@pytest.mark.usefixtures("many")
async def test_where_the_estimate_was_wrong_nothing_is_hidden(
    clusters: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_MOST_WALKED", 1000)
    rare = Filters(phrases=("rare",))
    alone = await ask(clusters, count=RARE, filters=rare, way=Way.INDEX)
    assert min(len(near) for near in alone) < RARE, "the walk ends before it has seen them all"
    assert [len(near) for near in await ask(clusters, count=RARE, filters=rare)] == [RARE] * len(clusters.queries)


async def test_more_than_there_are_is_all_of_them(clusters: Planted) -> None:
    one = replace(clusters, queries=clusters.queries[:1])
    (answer,) = await ask(one, count=COUNT + 5)
    assert len(found(answer)) == len(answer) == COUNT
    (answer,) = await ask(one, count=COUNT, filters=Filters(categories=(1, 2), phrases=("common",)))
    assert len(answer) == clusters.passes(Filters(categories=(1, 2), phrases=("common",))).sum()


async def test_photos_are_as_many_as_were_asked_for(clusters: Planted) -> None:
    database = Database(str(clusters.place.url), "clusters")
    await database.look_at_extension()
    query = clusters.queries[0]
    photos = await nearest_photos(database, clusters.space, query.tolist(), limit=200)
    await database.close()
    assert len({garments[0].photo for garments in photos}) == len(photos) == 200
    best = (clusters.vectors @ query).reshape(-1, 2).max(axis=1)
    expected = set(np.argsort(-best)[:200].tolist())
    assert len(expected & {garments[0].photo for garments in photos}) >= 190
    distances = [garments[0].distance for garments in photos]
    assert distances == sorted(distances)


async def test_indexes_of_a_space_without_photos_go(clusters: Planted, postgres: str) -> None:
    place = Place("copy", url=make_database(postgres, str(clusters.place.url).rpartition("=")[2]))
    async with open_catalogue(place) as catalogue:
        assert [info.is_indexed for info in (await catalogue.overview()).spaces] == [True]
        assert await catalogue.finish() == 0
        assert len(await catalogue.remove(None)) == COUNT // 2
        await catalogue.finish()
    with psycopg.connect(str(place.url)) as connection:
        left = connection.execute("SELECT relname FROM pg_class WHERE relname LIKE 'garment_embedding%'").fetchall()
    assert left == []


def test_a_build_takes_the_memory_that_there_is() -> None:
    assert 1.5 < indexes.graph_kb(1_000_000, 512) / 2**20 < 2.5
    few = indexes._memory_kb(1000, 512, is_here=True)
    assert few < indexes._memory_kb(100_000_000, 512, is_here=True) <= indexes._MAX_MEMORY_KB
    assert indexes._memory_kb(100_000_000, 512, is_here=False) == indexes._REMOTE_MEMORY_KB
    assert indexes._has_shared_memory(1, 1)
