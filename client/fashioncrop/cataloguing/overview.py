"""What a catalogue holds, and whether it holds together."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fashioncrop.cataloguing._database import HEAD, Database, Transaction
from fashioncrop.cataloguing.entries import Space, folded, garment_id, photo_id
from fashioncrop.cataloguing.indexes import LEAST_GARMENTS, is_indexed
from fashioncrop.cataloguing.writing import SPACE_COLUMNS, space_of

_NORM_TOLERANCE = 0.01
"""Half precision moves the norm of a unit vector by far less."""


@dataclass(frozen=True)
class SpaceInfo:
    """One model's part of a catalogue.

    Attributes:
        space: the model.
        photos: how many.
        garments: how many.
        is_indexed: whether the approximate index is there; without it every garment is looked at.
    """

    space: Space
    photos: int
    garments: int
    is_indexed: bool


@dataclass(frozen=True)
class Overview:
    """What a catalogue holds.

    Attributes:
        place: as it may be shown.
        postgresql: version of the database.
        pgvector: version of the extension.
        schema: step of the schema.
        disk_bytes: of tables and indexes.
        spaces: models with photos, the one with the most first.
    """

    place: str
    postgresql: str
    pgvector: str
    schema: str
    disk_bytes: int
    spaces: tuple[SpaceInfo, ...]


@dataclass(frozen=True)
class Flaw:
    """Something that is wrong.

    Attributes:
        subject: a source, or a garment's ID.
        words: what is wrong with it, and what to do.
    """

    subject: str
    words: str


async def look_over(database: Database, pgvector: str) -> Overview:
    """Count what is there."""
    async with database.transaction() as transaction:
        row = await transaction.row(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relnamespace = 'fashioncrop'::regnamespace AND relkind = 'r'"
        )
        spaces = await spaces_with_photos(transaction)
    return Overview(
        place=database.shown,
        postgresql=await database.server_version(),
        pgvector=pgvector,
        schema=HEAD,
        disk_bytes=int(row[0] or 0) if row else 0,
        spaces=spaces,
    )


async def spaces_with_photos(transaction: Transaction) -> tuple[SpaceInfo, ...]:
    """Each model with photos, the one with the most first."""
    photos = "SELECT space_id, count(*) AS photos FROM photo GROUP BY space_id"
    garments = "SELECT space_id, count(*) AS garments FROM garment GROUP BY space_id"
    rows = await transaction.rows(
        f"SELECT {SPACE_COLUMNS}, photos, coalesce(garments, 0) FROM space "  # noqa: S608 - names written here
        f"JOIN ({photos}) AS p ON p.space_id = space.id LEFT JOIN ({garments}) AS g ON g.space_id = space.id "
        "ORDER BY photos DESC, space.id"
    )
    found = []
    for row in rows:
        space = space_of(row)
        found.append(SpaceInfo(space, int(row[8]), int(row[9]), await is_indexed(transaction, space)))
    return tuple(found)


@dataclass(frozen=True)
class KnownCategory:
    """A category that garments of the catalogue have.

    Attributes:
        number: within the catalogue.
        name: Fashionpedia's.
        names: what it can be called: its name, each noun of it, and its super-category.
    """

    number: int
    name: str
    names: frozenset[str]


async def categories(database: Database) -> list[KnownCategory]:
    """The categories that garments of the catalogue have, or once had."""
    async with database.transaction() as transaction:
        rows = await transaction.rows("SELECT id, name, supercategory FROM category")
    return [
        KnownCategory(int(number), str(name), frozenset(map(folded, (name, *name.split(", "), supercategory))))
        for number, name, supercategory in rows
    ]


async def is_phrase(database: Database, phrase: str) -> bool:
    """Was a garment found as this?"""
    return await _is_there(database, "phrase = %(value)s", phrase)


async def is_colour(database: Database, colour: str) -> bool:
    """Does a garment have this colour?"""
    return await _is_there(database, "colours @> ARRAY[%(value)s]::text[]", colour)


async def common_colours(database: Database, most: int) -> list[str]:
    """The colours that garments have, the commonest first, at most so many."""
    query = (
        "SELECT colour FROM garment, unnest(colours) AS colour GROUP BY colour ORDER BY count(*) DESC, colour "
        "LIMIT %(most)s"
    )
    async with database.transaction() as transaction:
        return [str(row[0]) for row in await transaction.rows(query, {"most": most})]


async def _is_there(database: Database, condition: str, value: str) -> bool:
    async with database.transaction() as transaction:
        query = f"SELECT EXISTS (SELECT FROM garment WHERE {condition})"  # noqa: S608 - one of two
        row = await transaction.row(query, {"value": value})
    return row is not None and bool(row[0])


async def flaws(database: Database, *, read_photos: bool) -> AsyncIterator[Flaw]:
    """What is wrong with a catalogue, one thing at a time.

    Looked at are each photo's number, its garments against its analysis, their vectors, the crops that lie in folders,
    the indexes, and, for photos that are files, whether they are there.

    Args:
        database: the catalogue's.
        read_photos: also read each file, and compare it with what was indexed.
    """
    async with database.transaction() as transaction:
        for info in await spaces_with_photos(transaction):
            if info.garments >= LEAST_GARMENTS and not info.is_indexed:
                yield Flaw(
                    info.space.model.name,
                    f"its {info.garments:,} garments have no index yet, so searches are slow. Run: fashioncrop index",
                )
        rows = await transaction.rows(
            "SELECT photo_id, number, l2_norm(embedding) FROM garment "
            "WHERE NOT l2_norm(embedding) BETWEEN %(least)s AND %(most)s ORDER BY photo_id, number",
            {"least": 1 - _NORM_TOLERANCE, "most": 1 + _NORM_TOLERANCE},
        )
        for photo, number, norm in rows:
            yield Flaw(garment_id(photo, number), f"its vector has the length {norm:.3f}, not 1. Index its photo again")
        query = (
            "SELECT id, source, sha256, analysis, "
            "ARRAY(SELECT number FROM garment WHERE photo_id = photo.id ORDER BY number) FROM photo "
            'ORDER BY source COLLATE "C"'
        )
        async for photo, source, sha256, analysis, numbers in transaction.each(query):
            garments = analysis["garments"]
            if photo != photo_id(source):
                yield Flaw(source, "it is kept under another photo's number. Remove it, and index it again")
            if numbers != list(range(len(garments))):
                yield Flaw(
                    source, f"{len(garments)} garments were analysed and {len(numbers)} are kept. Index it again"
                )
            for garment in garments:
                missing = _missing(garment["crop"].get("url"))
                if missing is not None:
                    yield Flaw(source, f"its crop {missing} is gone. Remove the photo, and index it again")
            problem = _problem_of_file(source, bytes(sha256), read=read_photos)
            if problem is not None:
                yield Flaw(source, problem)


def _missing(url: str | None) -> Path | None:
    """The crop's file, where it should be and is not."""
    if url is None or not url.startswith("file://"):
        return None
    path = Path(unquote(urlsplit(url).path))
    return None if path.is_file() else path


def _problem_of_file(source: str, sha256: bytes, *, read: bool) -> str | None:
    if not source.startswith("/"):
        return None
    try:
        if not Path(source).is_file():
            return "the photo is gone. Bring it back, or remove it: fashioncrop catalogue remove"
        if read and hashlib.sha256(Path(source).read_bytes()).digest() != sha256:
            return "the photo has changed. Index it again"
    except OSError as error:
        return f"the photo cannot be read: {error.strerror}"
    return None
