"""A catalogue, opened: everything that can be done with one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fashioncrop._postgres.embedded import EmbeddedPostgres
from fashioncrop._postgres.places import Place
from fashioncrop.cataloguing import indexes, overview, searching, writing
from fashioncrop.cataloguing._database import HEAD, Database, Row
from fashioncrop.cataloguing.answers import FoundGarment, FoundPhoto, link_to
from fashioncrop.cataloguing.entries import Entry, Outcome, Space, folded, garment_id, parse_garment_id
from fashioncrop.cataloguing.overview import Flaw, Overview
from fashioncrop.cataloguing.searching import Filters
from fashioncrop.errors import NoCatalogueError, OptionError
from fashioncrop.results import Analysis, Garment, ModelIdentity, PhotoInfo

_MOST_NAMED = 12
_FILL = "Fill it: fashioncrop index FOLDER"


@dataclass(frozen=True)
class KeptGarment:
    """A garment of a catalogue, with its vector.

    Attributes:
        id: in the catalogue.
        space: that its vector is of.
        source: its photo.
        garment: as it was analysed.
        vector: [dimension], L2 norm 1.
        photo: number of its photo.
    """

    id: str
    space: Space
    source: str
    garment: Garment
    vector: tuple[float, ...]
    photo: int


class Catalogue:
    """A catalogue that is open; made by `open_catalogue`. For the tasks of one event loop.

    Attributes:
        place: where it is.
    """

    def __init__(self, place: Place, database: Database, pgvector: str) -> None:
        self.place = place
        self._database = database
        self._pgvector = pgvector
        self._categories: dict[str, int] = {}

    async def space(self, digest: str) -> Space | None:
        """The space of a model's vectors, by the digest of its engine; None where the catalogue has none of it."""
        return await writing.find_space(self._database, digest)

    async def make_space(self, model: ModelIdentity, dimension: int) -> Space:
        """The same, made where it is not there.

        Raises:
            CatalogueError: the catalogue knows the model with vectors of another length.
        """
        return await writing.make_space(self._database, model, dimension)

    async def spaces(self) -> list[Space]:
        """The models that photos of the catalogue were indexed by; empty where there is no photo."""
        return await writing.used_spaces(self._database)

    async def put(self, entry: Entry, space: Space) -> Outcome:
        """Store a photo and its garments, all or nothing, in place of what was stored of the same source.

        Raises:
            CatalogueError: the database refuses, or a vector is not of this space.
        """
        found = [garment.category for garment in entry.analysis.garments if garment.category is not None]
        await writing.number_categories(self._database, found, self._categories)
        return await writing.put(self._database, entry, space, self._categories)

    async def has(self, source: str, sha256: bytes, recipe: str, space: Space) -> bool:
        """Is this photo stored as it is, made in this way?"""
        return await writing.is_stored(self._database, source, sha256, recipe, space)

    def sources(self) -> AsyncIterator[str]:
        """Every photo's source, in their order. Nothing else can be asked until all are taken."""
        return writing.sources(self._database)

    async def remove(self, names: Sequence[str] | None) -> list[int]:
        """Remove photos by source, or all below a folder or prefix; None removes all.

        Returns:
            The numbers of the photos that went.

        Raises:
            OptionError: a name is of no photo; nothing is removed then.
        """
        if names is None:
            return await writing.remove_all(self._database)
        return await writing.remove(self._database, names)

    async def finish(self) -> int:
        """Make searches fast after photos were stored: statistics, and indexes over what has become large.

        Returns:
            How many indexes were built.
        """
        await indexes.drop_unused(self._database)
        is_here = self.place.folder is not None
        built = [
            name
            for space in await self.spaces()
            for name in await indexes.build_indexes(
                self._database, space, is_here=is_here, least=indexes.LEAST_GARMENTS
            )
        ]
        await indexes.gather_statistics(self._database)
        return len(built)

    async def overview(self) -> Overview:
        """What is in it."""
        return await overview.look_over(self._database, self._pgvector)

    def flaws(self, *, read_photos: bool = False) -> AsyncIterator[Flaw]:
        """What is wrong with it; see `overview.flaws`. Nothing else can be asked until all are taken."""
        return overview.flaws(self._database, read_photos=read_photos)

    async def filters(
        self, categories: Sequence[str], colours: Sequence[str], *, without_photo: int | None = None
    ) -> Filters:
        """Filters of these names.

        Args:
            categories: a garment is of one of them: a category, a noun of its name, a super-category, or, where the
                name is none of these, the phrase that it was found as.
            colours: a garment has all of them.
            without_photo: a photo whose garments are left out.

        Raises:
            OptionError: no garment of the catalogue has one of the names; the message says which there are.
        """
        known = await overview.categories(self._database) if categories else []
        numbers: set[int] = set()
        phrases: list[str] = []
        for name in map(folded, categories):
            found = {one.number for one in known if name in one.names}
            numbers |= found
            if not found:
                phrases.append(name)
                if not await overview.is_phrase(self._database, name):
                    raise OptionError(
                        f"No garment of the catalogue is of the category {name!r}, or was found as that. It has: "
                        f"{'; '.join(sorted(one.name for one in known)) or 'none'}."
                    )
        for name in map(folded, colours):
            if not await overview.is_colour(self._database, name):
                common = "; ".join(await overview.common_colours(self._database, _MOST_NAMED))
                raise OptionError(f"No garment of the catalogue has the colour {name!r}. The commonest are: {common}.")
        return Filters(tuple(sorted(numbers)), tuple(phrases), tuple(map(folded, colours)), without_photo)

    async def search(
        self, space: Space, vector: Sequence[float], *, limit: int = 10, filters: Filters | None = None
    ) -> tuple[FoundPhoto, ...]:
        """The photos with the garments that are the most alike, the best first.

        Args:
            space: whose vectors are compared.
            vector: of a crop or of words, by the same models.
            limit: photos at most.
            filters: what the garments must be.

        Raises:
            CatalogueError: the vector is of another length, or the database fails.
        """
        photos = await searching.nearest_photos(self._database, space, vector, limit=limit, filters=filters)
        near = [one for garments in photos for one in garments]
        query = (
            "SELECT photo.id, source, analysis ->> 'photo', number, analysis -> 'garments' ->> number "
            "FROM unnest(%(photos)s::bigint[], %(numbers)s::integer[]) AS wanted (photo, number) "
            "JOIN photo ON photo.id = wanted.photo"
        )
        async with self._database.transaction() as transaction:
            values = {"photos": [one.photo for one in near], "numbers": [one.number for one in near]}
            rows = await transaction.rows(query, values)
        return await asyncio.to_thread(_found_photos, photos, rows)

    async def garment(self, text: str) -> KeptGarment:
        """A garment by its ID.

        Raises:
            OptionError: the catalogue has no such garment.
        """
        photo, number = parse_garment_id(text)
        query = (
            f"SELECT {writing.SPACE_COLUMNS}, photo.source, analysis, embedding::real[] "  # noqa: S608 - names
            "FROM garment JOIN photo ON photo.id = photo_id JOIN space ON space.id = garment.space_id "
            "WHERE photo_id = %(photo)s AND number = %(number)s"
        )
        async with self._database.transaction() as transaction:
            row = await transaction.row(query, {"photo": photo, "number": number})
        if row is None:
            raise OptionError(f"The catalogue has no garment {text}. Search again: it may have gone with its photo.")
        return KeptGarment(
            id=garment_id(photo, number),
            space=writing.space_of(row),
            source=str(row[8]),
            garment=Analysis.model_validate(row[9]).garments[number],
            vector=tuple(row[10]),
            photo=photo,
        )

    async def export(self) -> AsyncIterator[tuple[str, bytes, Analysis]]:
        """Every photo in the order of their sources: source, SHA-256 of the file, and the answer with its vectors."""
        query = (
            "SELECT source, sha256, analysis, "
            "ARRAY(SELECT embedding::real[] FROM garment WHERE photo_id = photo.id ORDER BY number) FROM photo "
            'ORDER BY source COLLATE "C"'
        )
        async with self._database.transaction() as transaction:
            async for source, sha256, document, vectors in transaction.each(query):
                for garment, vector in zip(document["garments"], vectors, strict=True):
                    garment["embedding"] = vector
                yield source, bytes(sha256), Analysis.model_validate(document)


@asynccontextmanager
async def open_catalogue(place: Place, *, create: bool = False, connections: int = 1) -> AsyncIterator[Catalogue]:
    """A catalogue, with the newest schema.

    Args:
        place: where it is.
        create: make it where it is not there.
        connections: what is asked of it at a time.

    Raises:
        NoCatalogueError: it is not there.
        CatalogueError: its database cannot be reached, used or brought up to date.
        EmbeddedDatabaseError: the same of an embedded one.
        OptionError: its URL cannot be read.
    """
    if not place.is_there and not create:
        raise NoCatalogueError(f"There is no catalogue at {place.shown} yet. {_FILL}")
    postgres = None if place.folder is None else EmbeddedPostgres(place.folder)
    try:
        url = place.url or ""
        if postgres is not None:
            url = await asyncio.to_thread(postgres.open)
        restart = None if postgres is None else postgres.open
        database = Database(url, place.shown, connections=connections, restart=restart)
        try:
            version = await database.version()
            if version is None and not create:
                raise NoCatalogueError(f"There is no catalogue at {place.shown} yet. {_FILL}")
            if version != HEAD:
                await database.upgrade()
            yield Catalogue(place, database, await database.look_at_extension())
        finally:
            await database.close()
    finally:
        if postgres is not None:
            postgres.close()


def _found_photos(photos: Sequence[list[searching.Near]], rows: Sequence[Row]) -> tuple[FoundPhoto, ...]:
    """What was stored of what is near; reading it takes longer than an event loop should wait."""
    kept = {int(photo): (str(source), PhotoInfo.model_validate_json(info)) for photo, source, info, _, _ in rows}
    garments = {
        (int(photo), int(number)): Garment.model_validate_json(garment)
        for photo, _, _, number, garment in rows
        if garment is not None
    }
    # Of those that changed a moment ago, none may be left.
    left = [[one for one in near if (one.photo, one.number) in garments] for near in photos]
    return tuple(_found_photo(*kept[near[0].photo], near, garments) for near in left if near)


def _found_photo(
    source: str, info: PhotoInfo, near: Sequence[searching.Near], garments: Mapping[tuple[int, int], Garment]
) -> FoundPhoto:
    return FoundPhoto(
        source=source,
        link=link_to(source),
        name=info.name,
        width=info.width,
        height=info.height,
        similarity=round(1 - near[0].distance, 6),
        garments=tuple(
            FoundGarment(
                id=garment_id(one.photo, one.number),
                similarity=round(1 - one.distance, 6),
                garment=garments[one.photo, one.number],
            )
            for one in near
        ),
    )
