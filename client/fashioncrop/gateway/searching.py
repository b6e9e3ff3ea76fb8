"""The catalogue behind the gateway: opened where there is one, looked for again where there was none, and searched."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fashioncrop._photo_url import shown_url
from fashioncrop._postgres.places import Place, parse_place
from fashioncrop.cataloguing.answers import Found, FoundGarment, FoundPhoto, SearchAnswer, link_to
from fashioncrop.cataloguing.installation import check_installed
from fashioncrop.errors import FashionCropError, NoCatalogueError, OptionError
from fashioncrop.gateway.answers import model_json
from fashioncrop.gateway.keys import Caller
from fashioncrop.gateway.photos import Received
from fashioncrop.gateway.problems import NOT_OFFERED, ProblemError
from fashioncrop.gateway.work import DetectorName, Workshop
from fashioncrop.results import Analysis, Box
from fashioncrop.settings import Settings

if TYPE_CHECKING:  # an extra
    from fashioncrop._client import AnalyzeOptions
    from fashioncrop.cataloguing.catalogue import Catalogue

_CONNECTIONS = 4
_LOOK_AGAIN_S = 5.0
"""A catalogue that could not be opened is left alone for so long."""
_ASK_WITHIN_S = 2.0
_FILE = "file://"


class Finder:
    """The gateway's way to its catalogue; made by `open_finder`. For the tasks of one event loop.

    Where there is no catalogue it is looked for again when somebody asks, so that one that is made while the gateway
    runs is found.

    Args:
        place: where it is.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stack = AsyncExitStack()
        self._opening: asyncio.Task[Catalogue] | None = None
        self._again_s = 0.0

    async def catalogue(self) -> Catalogue:
        """The catalogue, open.

        Raises:
            NoCatalogueError: there is none yet.
            FashionCropError: as `open_catalogue`.
        """
        opening = self._opening
        if opening is None or (opening.done() and opening.exception() is not None and _now_s() >= self._again_s):
            opening = self._opening = asyncio.create_task(self._open())
        # Who does not wait any longer must not keep the others from it.
        return await asyncio.shield(opening)

    async def has_photos(self) -> bool:
        """Is there something to be found? False, too, where the catalogue cannot be asked, or not soon."""
        try:
            async with asyncio.timeout(_ASK_WITHIN_S):
                return bool(await (await self.catalogue()).spaces())
        except (FashionCropError, TimeoutError):
            return False

    async def close(self) -> None:
        """Close the catalogue; an embedded database that nobody else uses stops then."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        await self._stack.aclose()

    async def _open(self) -> Catalogue:
        from fashioncrop.cataloguing.catalogue import open_catalogue  # noqa: PLC0415 - an extra

        try:
            return await self._stack.enter_async_context(open_catalogue(self._place, connections=_CONNECTIONS))
        finally:
            self._again_s = _now_s() + _LOOK_AGAIN_S


@asynccontextmanager
async def open_finder(settings: Settings, on_warning: Callable[[str], None]) -> AsyncIterator[Finder | None]:
    """The way to the catalogue that the settings name, or to the default one; None where the extra is not installed.

    Args:
        settings: see `Settings`.
        on_warning: is told, in one sentence, why there is nothing to search yet.

    Raises:
        OptionError: the settings name a catalogue, and the extra `catalogue` is not installed.
        FashionCropError: they name one that cannot be opened, as `open_catalogue`; that it is not there yet is none.
    """
    is_named = settings.catalogue is not None
    try:
        check_installed()
    except OptionError:
        if is_named:
            raise
        yield None
        return
    finder = Finder(parse_place(None if settings.catalogue is None else settings.catalogue.get_secret_value()))
    try:
        try:
            await finder.catalogue()
        except NoCatalogueError as error:
            if is_named:
                on_warning(str(error))
        except FashionCropError as error:
            if is_named:
                raise
            on_warning(str(error))
        yield finder
    finally:
        await finder.close()


@dataclass(frozen=True)
class Sought:
    """What is wanted of an answer.

    Attributes:
        limit: photos for each query, at most.
        categories: a garment has one of them.
        colours: a garment has all of them.
        crops: whether crops come along.
    """

    limit: int
    categories: tuple[str, ...]
    colours: tuple[str, ...]
    crops: bool


class Searcher:
    """Searches the workshop's catalogue for one caller; what it answers is a `SearchAnswer` as JSON.

    Args:
        workshop: whose.
        caller: who asks.
        sought: what is wanted.

    Raises:
        ProblemError: this gateway cannot search.
    """

    def __init__(self, workshop: Workshop, caller: Caller, sought: Sought) -> None:
        if workshop.catalogue is None:
            raise ProblemError(
                NOT_OFFERED,
                "This gateway cannot search. Its operator makes it able to: pip install 'fashioncrop[catalogue]', then "
                "fashioncrop index FOLDER.",
            )
        from fashioncrop.cataloguing import querying  # noqa: PLC0415 - an extra

        self._workshop, self._caller, self._sought = workshop, caller, sought
        self._finder, self._querying = workshop.catalogue, querying
        self._wanted = querying.Wanted(sought.limit, sought.categories, sought.colours)

    async def by_words(self, words: str) -> bytes:
        """Garments that a text describes.

        Raises:
            FashionCropError: as `find_by_words`.
        """
        catalogue, client = await self._finder.catalogue(), self._workshop.parts.client
        answer = await self._querying.find_by_words(catalogue, client, words, self._wanted)
        return await self._written("words", answer)

    async def by_garment(self, id_: str) -> bytes:
        """Garments of other photos like one of the catalogue.

        Raises:
            FashionCropError: as `search_by_garment`.
        """
        catalogue = await self._finder.catalogue()
        return await self._written("garment", await self._querying.search_by_garment(catalogue, id_, self._wanted))

    async def by_photo(
        self, received: Received, options: AnalyzeOptions, *, detector: DetectorName, box_xyxy: Box | None
    ) -> bytes:
        """Garments like those of a photo, or like what is in its box.

        Args:
            received: the photo.
            options: how its garments are looked for.
            detector: who looks.
            box_xyxy: in pixels of the upright photo; nobody looks then.

        Raises:
            ProblemError: as `Workshop.look`.
            FashionCropError: as `find_by_photo`.
        """
        catalogue = await self._finder.catalogue()
        asked = self._querying.queried(options, box_xyxy)
        by: DetectorName = "served" if box_xyxy is not None and detector == "auto" else detector

        async def analyze() -> Analysis:
            return await self._workshop.look(received.photo, self._caller, asked, detector=by)

        answer = await self._querying.find_by_photo(
            catalogue,
            self._workshop.parts.client,
            analyze,
            self._wanted,
            source=received.photo.name,
            box_xyxy=box_xyxy,
        )
        return await self._written("photo", answer)

    async def _written(self, kind: str, answer: SearchAnswer) -> bytes:
        from fashioncrop.cataloguing.pictures import crops_of  # noqa: PLC0415 - an extra

        self._workshop.figures.search(kind)
        crops: dict[str, bytes] = {}
        if self._sought.crops:
            limits = self._querying.photo_limits(self._workshop.settings)
            crops = await crops_of([photo for found in answer.found for photo in found.photos], limits)
        return await asyncio.to_thread(_as_json, answer, crops)


def _as_json(answer: SearchAnswer, crops: dict[str, bytes]) -> bytes:
    """The answer as callers may see it; query by query, so that in between others get their turn."""
    whole = model_json(answer.model_copy(update={"found": ()}))
    found = b",".join(model_json(_found(one, crops)) for one in answer.found)
    return b'{"found":[' + found + whole.removeprefix(b'{"found":[')


def _found(found: Found, crops: dict[str, bytes]) -> Found:
    """Without the gateway's own files, and without what may be secret in a URL."""
    source = None if found.query.source is None else _source(found.query.source)
    query = found.query.model_copy(update={"source": source})
    return found.model_copy(update={"query": query, "photos": tuple(_photo(photo, crops) for photo in found.photos)})


def _photo(photo: FoundPhoto, crops: dict[str, bytes]) -> FoundPhoto:
    is_web = photo.link is not None and not photo.link.startswith(_FILE)
    changes = {
        "source": _source(photo.source),
        "link": photo.link if is_web else None,
        "garments": tuple(_garment(one, crops.get(one.id)) for one in photo.garments),
    }
    return photo.model_copy(update=changes)


def _source(source: str) -> str:
    return source if "://" not in source or link_to(source) is not None else shown_url(source)


def _garment(one: FoundGarment, jpeg: bytes | None) -> FoundGarment:
    url = one.garment.crop.url
    if jpeg is not None:
        url = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
    elif url is not None and url.startswith(_FILE):
        url = None
    # Why somebody could not describe it then may name the describer's address.
    changes = {"crop": one.garment.crop.model_copy(update={"url": url}), "description_problem": None}
    return one.model_copy(update={"garment": one.garment.model_copy(update=changes)})


def _now_s() -> float:
    return asyncio.get_running_loop().time()
