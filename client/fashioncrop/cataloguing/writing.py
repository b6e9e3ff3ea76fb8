"""Put photos into a catalogue, and take them out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from fashioncrop.cataloguing._database import Database, Transaction
from fashioncrop.cataloguing.entries import (
    Entry,
    Outcome,
    Space,
    colours_of,
    document_of,
    embedding_of,
    folded,
    kept_text,
    photo_id,
)
from fashioncrop.errors import CatalogueError, OptionError
from fashioncrop.results import Category, ModelIdentity

# Two writers of one photo take turns: ON CONFLICT settles a race for the key it names, and the table has another, in
# which the second writer's row may be found first.
_TAKE_TURN = "SELECT pg_advisory_xact_lock(%(photo)s)"
# Where what is stored is the same, nothing comes back.
_PUT_PHOTO = """
INSERT INTO photo (id, source, sha256, recipe, space_id, analysis)
VALUES (%(id)s, %(source)s, %(sha256)s, %(recipe)s, %(space)s, %(analysis)s::jsonb)
ON CONFLICT (id) DO UPDATE
SET sha256 = excluded.sha256, recipe = excluded.recipe, space_id = excluded.space_id, analysis = excluded.analysis,
    indexed_at = now()
WHERE (photo.sha256, photo.recipe, photo.space_id) IS DISTINCT FROM
      (excluded.sha256, excluded.recipe, excluded.space_id)
RETURNING xmax = 0
"""
_PUT_GARMENT = """
INSERT INTO garment (photo_id, number, space_id, dimension, category_id, phrase, colours, embedding)
VALUES (%(photo)s, %(number)s, %(space)s, %(dimension)s, %(category)s, %(phrase)s, %(colours)s,
        %(embedding)s::real[]::halfvec)
"""
_PUT_CATEGORIES = """
INSERT INTO category (name, supercategory)
SELECT * FROM unnest(%(names)s::text[], %(supercategories)s::text[]) ON CONFLICT (name) DO NOTHING
"""
_PUT_SPACE = """
INSERT INTO space (digest, name, version, source, trained, domain, dimension)
VALUES (%(digest)s, %(name)s, %(version)s, %(source)s, %(trained)s, %(domain)s, %(dimension)s)
ON CONFLICT (digest) DO NOTHING
"""
SPACE_COLUMNS = (
    "space.id, space.digest, space.name, space.version, space.source, space.trained, space.domain, space.dimension"
)
_ROLE = "image_embedder"


def space_of(row: Sequence[object]) -> Space:
    """From `SPACE_COLUMNS`."""
    names = ("digest", "name", "version", "source", "trained", "domain")
    model = ModelIdentity.model_validate({"role": _ROLE, **dict(zip(names, row[1:7], strict=True))})
    return Space(int(str(row[0])), model, int(str(row[7])))


async def find_space(database: Database, digest: str) -> Space | None:
    """The space of a model's vectors; None where the catalogue has none of it."""
    async with database.transaction() as transaction:
        query = f"SELECT {SPACE_COLUMNS} FROM space WHERE digest = %(digest)s"  # noqa: S608 - names written here
        row = await transaction.row(query, {"digest": digest})
    return None if row is None else space_of(row)


async def used_spaces(database: Database) -> list[Space]:
    """The spaces that have photos, oldest first."""
    query = (
        f"SELECT {SPACE_COLUMNS} FROM space "  # noqa: S608 - names written here
        "WHERE EXISTS (SELECT FROM photo WHERE space_id = space.id) ORDER BY space.id"
    )
    async with database.transaction() as transaction:
        return [space_of(row) for row in await transaction.rows(query)]


async def make_space(database: Database, model: ModelIdentity, dimension: int) -> Space:
    """The space of a model's vectors, made where it is not there.

    Raises:
        CatalogueError: the catalogue knows the model with vectors of another length.
    """
    space = await find_space(database, model.digest)
    if space is None:
        async with database.transaction() as transaction:
            await transaction.run(_PUT_SPACE, {**model.model_dump(), "dimension": dimension})
        space = await find_space(database, model.digest)
    if space is None or space.dimension != dimension:
        got = None if space is None else space.dimension
        raise CatalogueError(
            f"The catalogue's vectors of {model.name} ({model.digest[:19]}) have {got} numbers each, and the server's "
            f"have {dimension}. Start the server with the models that made the catalogue."
        )
    return space


async def number_categories(database: Database, categories: Iterable[Category], known: dict[str, int]) -> None:
    """Learn the numbers of categories, which get one where they are new.

    Args:
        database: the catalogue's.
        categories: whose numbers are needed.
        known: numbers by name; what is missing is added.
    """
    missing = {kept_text(one.name): kept_text(one.supercategory) for one in categories if one.name not in known}
    if not missing:
        return
    names = sorted(missing)  # in one order, so that two writers never wait for each other
    async with database.transaction() as transaction:
        supercategories = [missing[name] for name in names]
        await transaction.run(_PUT_CATEGORIES, {"names": names, "supercategories": supercategories})
    async with database.transaction() as transaction:
        rows = await transaction.rows("SELECT name, id FROM category")
    known |= {str(name): int(number) for name, number in rows}


async def put(database: Database, entry: Entry, space: Space, categories: Mapping[str, int]) -> Outcome:
    """Store a photo and its garments, all or nothing; what was stored of the same source before is replaced.

    Args:
        database: the catalogue's.
        entry: the photo.
        space: of its vectors.
        categories: numbers of its garments' categories; see `number_categories`.

    Raises:
        CatalogueError: the database refuses, or a vector is not of this space.
    """
    photo = photo_id(entry.source)
    garments = [
        {
            "photo": photo,
            "number": number,
            "space": space.id,
            "dimension": space.dimension,
            "category": None if garment.category is None else categories[kept_text(garment.category.name)],
            "phrase": folded(garment.phrase),
            "colours": colours_of(garment),
            "embedding": embedding_of(garment, space.dimension),
        }
        for number, garment in enumerate(entry.analysis.garments)
    ]
    async with database.transaction() as transaction:
        await transaction.row(_TAKE_TURN, {"photo": photo})
        row = await transaction.row(
            _PUT_PHOTO,
            {
                "id": photo,
                "source": entry.source,
                "sha256": entry.sha256,
                "recipe": entry.recipe,
                "space": space.id,
                "analysis": document_of(entry.analysis),
            },
        )
        if row is None:
            return Outcome.UNCHANGED
        await transaction.run("DELETE FROM garment WHERE photo_id = %(photo)s", {"photo": photo})
        if garments:
            await transaction.many(_PUT_GARMENT, garments)
    return Outcome.NEW if row[0] else Outcome.REPLACED


async def is_stored(database: Database, source: str, sha256: bytes, recipe: str, space: Space) -> bool:
    """Is this photo stored as it is, made in this way?"""
    async with database.transaction() as transaction:
        row = await transaction.row(
            "SELECT sha256 = %(sha256)s AND recipe = %(recipe)s AND space_id = %(space)s FROM photo WHERE id = %(id)s",
            {"id": photo_id(source), "sha256": sha256, "recipe": recipe, "space": space.id},
        )
    return row is not None and bool(row[0])


async def sources(database: Database) -> AsyncIterator[str]:
    """Every photo's source, in their order."""
    async with database.transaction() as transaction:
        async for (source,) in transaction.each('SELECT source FROM photo ORDER BY source COLLATE "C"'):
            yield source


async def remove(database: Database, names: Sequence[str]) -> list[int]:
    """Remove photos.

    Args:
        database: the catalogue's.
        names: sources, or what they begin with: a folder or a prefix of a store.

    Returns:
        The numbers of the photos that went.

    Raises:
        OptionError: a name is of no photo; nothing is removed then.
    """
    async with database.transaction() as transaction:
        chosen: set[int] = set()
        for name in names:
            found = await _named(transaction, kept_text(name))
            if not found:
                raise OptionError(
                    f"The catalogue has no photo {name}, and none below it. All of them: fashioncrop catalogue export"
                )
            chosen |= found
        await transaction.run("DELETE FROM photo WHERE id = ANY(%(photos)s)", {"photos": sorted(chosen)})
    return sorted(chosen)


async def remove_all(database: Database) -> list[int]:
    """Remove every photo. As `remove`."""
    async with database.transaction() as transaction:
        return [int(row[0]) for row in await transaction.rows("DELETE FROM photo RETURNING id")]


async def _named(transaction: Transaction, name: str) -> set[int]:
    query = "SELECT id FROM photo WHERE id = %(id)s OR starts_with(source, %(prefix)s)"
    rows = await transaction.rows(query, {"id": photo_id(name), "prefix": name.rstrip("/") + "/"})
    return {int(row[0]) for row in rows}
