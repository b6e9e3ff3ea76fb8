"""The approximate indexes over vectors: HNSW, of cosine, in half precision.

There is one over a space, and one over each category of it that has many garments. The first cannot serve a category
alone: from a query of another category the walk would have to pass all that is nearer before it comes to the first
garment that counts, and what it meets first is not the nearest.

Half precision rounds each number of a unit vector by at most 0.0005 of itself; what that costs is measured by
`benchmarks/search.py`. The index takes half of the room that single precision would, and that is what a search reads.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fashioncrop.cataloguing._database import Database, Transaction
from fashioncrop.cataloguing.entries import Space

LEAST_GARMENTS = 10_000
"""With fewer, looking at all of them takes some milliseconds and misses nothing."""

M = 16
EF_CONSTRUCTION = 128
_LAYER_FACTOR = 1.07  # elements of all layers together, of those in the lowest one, at M = 16
_ELEMENT_BYTES = 240  # of pgvector in memory, beside vector and neighbours
_NEIGHBOUR_BYTES = 16
_LEAST_MEMORY_KB = 65_536
_MAX_MEMORY_KB = 8 * 2**20
_REMOTE_MEMORY_KB = 2**20
_SPARE = 1.1
_LOCK = 0x666173686F


@dataclass(frozen=True)
class _Part:
    """What an index is over.

    Attributes:
        name: of the index, within the schema.
        condition: which garments.
        count: how many they are.
    """

    name: str
    condition: str
    count: int


def index_name(space: Space, category: int | None = None) -> str:
    """The name of a space's index, or of that of a category in it, within the schema."""
    return f"garment_embedding_{space.id:d}" + ("" if category is None else f"_{category:d}")


async def is_indexed(transaction: Transaction, space: Space) -> bool:
    """Is the space's index there? It is built in one transaction: there it is whole."""
    return await _is_there(transaction, index_name(space))


async def build_indexes(database: Database, space: Space, *, is_here: bool, least: int) -> list[str]:
    """Build what is missing over many garments; who searches meanwhile looks at all of them.

    Built at once over what is there an index takes a fraction of the time that it takes to grow, photo by photo.
    Writers wait until it is there.

    Args:
        database: the catalogue's.
        space: whose vectors.
        is_here: the database is on this machine, so that it can be told how much memory there is.
        least: over fewer garments nothing is built.

    Returns:
        Names of the indexes that were built.

    Raises:
        CatalogueError: the database refuses.
    """
    return [
        part.name for part in await _missing(database, space, least) if await _build(database, space, part, is_here)
    ]


async def drop_unused(database: Database) -> None:
    """Drop the indexes of spaces that have no photo any more."""
    query = (
        "SELECT relname FROM pg_class JOIN space ON relname = 'garment_embedding_' || space.id "
        "OR relname LIKE 'garment\\_embedding\\_' || space.id || '\\_%' "
        "WHERE relnamespace = 'fashioncrop'::regnamespace AND relkind = 'i' "
        "AND NOT EXISTS (SELECT FROM photo WHERE space_id = space.id)"
    )
    async with database.transaction() as transaction:
        for (name,) in await transaction.rows(query):
            await transaction.run(f"DROP INDEX IF EXISTS {name}")


async def gather_statistics(database: Database) -> None:
    """Tell the planner what is there now: by it, a search chooses its way."""
    await database.outside("ANALYZE fashioncrop.garment")


def graph_kb(count: int, dimension: int) -> int:
    """What the graph takes while it is built, in kB."""
    each = 2 * dimension + _ELEMENT_BYTES + 2 * M * _NEIGHBOUR_BYTES
    return int(count * each * _LAYER_FACTOR) // 1024 + _LEAST_MEMORY_KB


async def _missing(database: Database, space: Space, least: int) -> list[_Part]:
    """What is large and has no index yet, the whole space first."""
    query = "SELECT category_id, count(*) FROM garment WHERE space_id = %(space)s GROUP BY category_id"
    async with database.transaction() as transaction:
        counts = [
            (None if number is None else int(number), int(count))
            for number, count in await transaction.rows(query, {"space": space.id})
        ]
        whole = f"space_id = {space.id:d}"
        parts = [_Part(index_name(space), whole, sum(count for _, count in counts))]
        # One over nearly all would be the first one again.
        parts += [
            _Part(index_name(space, number), f"{whole} AND category_id = {number:d}", count)
            for number, count in sorted(counts, key=lambda one: -one[1])
            if number is not None and len(counts) > 1
        ]
        return [part for part in parts if part.count >= least and not await _is_there(transaction, part.name)]


async def _build(database: Database, space: Space, part: _Part, is_here: bool) -> bool:  # noqa: FBT001 - see above
    # The memory that a build takes is shared by its workers, through /dev/shm, which is small in a container.
    settings = {"maintenance_work_mem": f"{_memory_kb(part.count, space.dimension, is_here=is_here)}kB"}
    if is_here and not _has_shared_memory(part.count, space.dimension):
        settings["max_parallel_maintenance_workers"] = "0"
    async with database.transaction(settings) as transaction:
        await transaction.row(f"SELECT pg_advisory_xact_lock({_LOCK})")
        if await _is_there(transaction, part.name):  # another process was first
            return False
        await transaction.run(
            f"CREATE INDEX {part.name} ON garment "
            f"USING hnsw ((embedding::halfvec({space.dimension:d})) halfvec_cosine_ops) "
            f"WITH (m = {M}, ef_construction = {EF_CONSTRUCTION}) WHERE {part.condition}"
        )
    return True


async def _is_there(transaction: Transaction, name: str) -> bool:
    row = await transaction.row("SELECT to_regclass(%(name)s) IS NOT NULL", {"name": f"fashioncrop.{name}"})
    return row is not None and bool(row[0])


def _memory_kb(count: int, dimension: int, *, is_here: bool) -> int:
    limit = min(_available_kb() // 2, _MAX_MEMORY_KB) if is_here else _REMOTE_MEMORY_KB
    return max(min(graph_kb(count, dimension), limit), _LEAST_MEMORY_KB)


def _available_kb() -> int:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1])
    return 2**20


def _has_shared_memory(count: int, dimension: int) -> bool:
    with suppress(OSError):
        status = os.statvfs("/dev/shm")  # noqa: S108 - where PostgreSQL keeps it
        return status.f_bavail * status.f_frsize // 1024 > _memory_kb(count, dimension, is_here=True) * _SPARE
    return False
