"""The stores that are measured: the catalogue, a plain scan, and LanceDB, each asked the same."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil
from numpy.typing import NDArray

from fashioncrop import ModelIdentity
from fashioncrop._postgres.embedded import EmbeddedPostgres
from fashioncrop._postgres.places import Place
from fashioncrop.cataloguing import indexes
from fashioncrop.cataloguing._database import Database
from fashioncrop.cataloguing.catalogue import open_catalogue
from fashioncrop.cataloguing.entries import Space
from fashioncrop.cataloguing.searching import Filters, Way, nearest
from processes import family_memory_bytes
from vector_copy import colour_name, copy_all, garment_index, photo_numbers
from vector_data import Case, VectorData, Wanted

ASKED = 40
"""Garments that `fashioncrop search` asks for to fill ten photos."""
_MODEL = ModelIdentity(
    role="image_embedder", name="made", version="1", digest="sha256:made", source="random", trained=False
)
_INDEX_BYTES = "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relname LIKE 'garment_embedding%'"
_LANCE_PROBES, _LANCE_EF, _LANCE_REFINE = 20, 200, 4
_LANCE_ROWS = 50_000


@dataclass(frozen=True)
class Built:
    """What it took to put everything in.

    Attributes:
        load_s: to bring the vectors in.
        index_s: to build the indexes.
        disk_bytes: of all of it.
        index_bytes: of that, the index over the vectors; None where it cannot be told apart.
    """

    load_s: float
    index_s: float
    disk_bytes: int
    index_bytes: int | None


class Store(Protocol):
    """Answers queries about one catalogue's worth of vectors."""

    name: str

    def find(self, vector: NDArray[np.float32], wanted: Wanted) -> list[int]:
        """The nearest garments by their place in the data, nearest first, at least ten where so many pass."""
        ...

    def memory_bytes(self) -> int:
        """What it holds now, each shared page divided among those who share it."""
        ...


class PlainScan:
    """Every vector looked at, in memory and in single precision."""

    name = "plain scan"

    def __init__(self, data: VectorData) -> None:
        self._data = data

    def find(self, vector: NDArray[np.float32], wanted: Wanted) -> list[int]:
        """See `Store`."""
        if wanted.category is None and wanted.colour is None:
            scores = self._data.vectors @ vector
            best = np.argpartition(-scores, ASKED)[:ASKED]
        else:
            passing = np.flatnonzero(self._data.passes(wanted))
            scores = self._data.vectors[passing] @ vector
            best = np.argsort(-scores)[:ASKED]
            return [int(one) for one in passing[best]]
        return [int(one) for one in best[np.argsort(-scores[best])]]

    def memory_bytes(self) -> int:
        """The vectors alone."""
        return self._data.vectors.nbytes


class CatalogueStore:
    """The catalogue itself, asked as `fashioncrop search` asks it; made by `catalogue_of`."""

    def __init__(self, database: Database, space: Space, garments: int, way: Way, folder: Path) -> None:
        self.name = "catalogue" if way is Way.AUTO else "catalogue, every garment looked at"
        self._database, self._space, self._way = database, space, way
        self._photos = photo_numbers(garments)
        self._folder = folder
        self._runner = asyncio.Runner()

    def find(self, vector: NDArray[np.float32], wanted: Wanted) -> list[int]:
        """See `Store`."""
        filters = Filters(
            categories=() if wanted.category is None else (wanted.category + 1,),
            colours=() if wanted.colour is None else (colour_name(wanted.colour),),
        )
        near = self._runner.run(
            nearest(self._database, self._space, vector.tolist(), count=ASKED, filters=filters, way=self._way)
        )
        return [garment_index(self._photos, one.photo, one.number) for one in near]

    def memory_bytes(self) -> int:
        """Of PostgreSQL's processes, its buffers included."""
        return family_memory_bytes(int((self._folder / "ready").read_text()))

    def exactly(self) -> CatalogueStore:
        """The same, which never takes the index."""
        return CatalogueStore(
            Database(self._database._url, self._database.shown),  # noqa: SLF001 - the same place
            self._space,
            len(self._photos) * 4,
            Way.EXACT,
            self._folder,
        )

    def close(self) -> None:
        """End the connection."""
        self._runner.run(self._database.close())
        self._runner.close()


@contextmanager
def catalogue_of(data: VectorData, folder: Path) -> Iterator[tuple[CatalogueStore, Built]]:
    """An embedded catalogue that holds the data.

    Args:
        data: what goes in.
        folder: where; it must not be there.

    Raises:
        CatalogueError: the database cannot be made.
    """
    postgres = EmbeddedPostgres(folder)
    url = postgres.open()
    try:
        built, space = asyncio.run(_filled(url, folder, data))
        store = CatalogueStore(Database(url, str(folder)), space, len(data.vectors), Way.AUTO, folder)
        try:
            yield store, built
        finally:
            store.close()
    finally:
        postgres.close()


async def _filled(url: str, folder: Path, data: VectorData) -> tuple[Built, Space]:
    width = data.vectors.shape[1]
    async with open_catalogue(Place(str(folder), folder), create=True) as catalogue:
        space = await catalogue.make_space(_MODEL, width)
        start_s = time.perf_counter()
        await asyncio.to_thread(copy_all, url, data, space)
        load_s = time.perf_counter() - start_s
        database = Database(url, str(folder))
        await database.look_at_extension()
        start_s = time.perf_counter()
        await indexes.build_indexes(database, space, is_here=True, least=min(indexes.LEAST_GARMENTS, len(data.vectors)))
        index_s = time.perf_counter() - start_s
        await database.outside("VACUUM ANALYZE fashioncrop.garment")
        async with database.transaction() as transaction:
            row = await transaction.row(_INDEX_BYTES)
        await database.close()
        overview = await catalogue.overview()
    return Built(load_s, index_s, overview.disk_bytes, int(row[0]) if row else None), space


class LanceStore:
    """LanceDB: vectors in files, an inverted file of small graphs over them; made by `lance_of`."""

    name = "LanceDB"

    def __init__(self, table: Any) -> None:  # noqa: ANN401 - LanceDB's own
        self._table = table

    def find(self, vector: NDArray[np.float32], wanted: Wanted) -> list[int]:
        """See `Store`."""
        query = self._table.search(vector).metric("cosine").limit(ASKED)
        query = query.nprobes(_LANCE_PROBES).ef(_LANCE_EF).refine_factor(_LANCE_REFINE)
        parts = []
        if wanted.category is not None:
            parts.append(f"category = {wanted.category}")
        if wanted.colour is not None:
            parts.append(f"array_has_any(colours, [{wanted.colour}])")
        if parts:
            query = query.where(" AND ".join(parts), prefilter=True)
        return [int(one) for one in query.select(["id", "_distance"]).to_arrow()["id"].to_pylist()]

    def memory_bytes(self) -> int:
        """Of this whole process, in which LanceDB lives."""
        return int(psutil.Process().memory_full_info().pss)


def lance_conditions() -> str:
    """How LanceDB was asked."""
    return (
        f"LanceDB: IVF_HNSW_SQ by cosine with its own numbers of partitions and neighbours, asked with {_LANCE_PROBES} "
        f"probes, ef {_LANCE_EF} and {_LANCE_REFINE} times as many refined by the whole vectors; a BITMAP index on the "
        "category and a LABEL_LIST index on the colours."
    )


@contextmanager
def lance_of(data: VectorData, folder: Path) -> Iterator[tuple[LanceStore, Built]]:
    """A LanceDB table that holds the data.

    Raises:
        ModuleNotFoundError: the extra `bench-search` is not installed.
    """
    import lancedb  # noqa: PLC0415 - an extra of its own
    import pyarrow as pa  # noqa: PLC0415
    from lancedb.index import Bitmap, HnswSq, LabelList  # noqa: PLC0415

    width = data.vectors.shape[1]

    def batches() -> Iterator[Any]:
        for start in range(0, len(data.vectors), _LANCE_ROWS):
            some = slice(start, start + _LANCE_ROWS)
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(data.vectors[some].reshape(-1)), width)
            colours = [[int(one) for one in np.flatnonzero(row)] for row in data.colours[some]]
            ids = pa.array(np.arange(start, start + len(vectors)))
            columns = [ids, vectors, pa.array(data.categories[some]), pa.array(colours, pa.list_(pa.int16()))]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    schema = pa.schema(
        {
            "id": pa.int64(),
            "vector": pa.list_(pa.float32(), width),
            "category": pa.int16(),
            "colours": pa.list_(pa.int16()),
        }
    )
    start_s = time.perf_counter()
    table = lancedb.connect(str(folder)).create_table("garment", batches(), schema=schema)
    load_s = time.perf_counter() - start_s
    start_s = time.perf_counter()
    table.create_index("vector", config=HnswSq(distance_type="cosine"))
    table.create_index("category", config=Bitmap())
    table.create_index("colours", config=LabelList())
    index_s = time.perf_counter() - start_s
    try:
        yield LanceStore(table), Built(load_s, index_s, _size_bytes(folder), None)
    finally:
        shutil.rmtree(folder)


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def shares(data: VectorData, cases: Sequence[Case]) -> dict[str, float]:
    """What part of the garments each kind of filter lets through, on average of the queries."""
    passing = {one: float(data.passes(one).mean()) for case in cases for one in dict.fromkeys(case.wanted)}
    return {case.name: float(np.mean([passing[one] for one in case.wanted])) for case in cases}
