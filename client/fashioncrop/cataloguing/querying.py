"""From words, a photo, a box or a garment of the catalogue to what is found for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fashioncrop._client import AnalyzeOptions, AsyncClient
from fashioncrop._fetch import FetchLimits
from fashioncrop.analyzing import Analyzer
from fashioncrop.analyzing.opening import open_parts, options_of
from fashioncrop.cataloguing.answers import Found, Query, SearchAnswer
from fashioncrop.cataloguing.catalogue import Catalogue
from fashioncrop.cataloguing.entries import Space
from fashioncrop.cataloguing.serving_models import ServingModels, ask_for_models, foreign, warnings_of
from fashioncrop.errors import CatalogueError, NoCatalogueError
from fashioncrop.results import Analysis, Box, Garment, ModelIdentity
from fashioncrop.settings import Settings

_BOX_PHRASE = "garment"
_OTHERS = (
    "Some photos of the catalogue were indexed by other models and are left out. To bring them in: "
    "fashioncrop index --reindex"
)


@dataclass(frozen=True)
class Wanted:
    """What is wanted of the answer.

    Attributes:
        limit: photos for each query, at most.
        categories: a garment has one of them; see `Catalogue.filters`.
        colours: a garment has all of them.
    """

    limit: int = 10
    categories: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Asked:
    query: Query
    vector: Sequence[float]
    without_photo: int | None = None


async def search_by_words(catalogue: Catalogue, settings: Settings, words: str, wanted: Wanted) -> SearchAnswer:
    """As `find_by_words`, with the server that the settings name."""
    async with AsyncClient(settings.url, timeout_s=settings.timeout_s) as client:
        return await find_by_words(catalogue, client, words, wanted)


async def find_by_words(catalogue: Catalogue, client: AsyncClient, words: str, wanted: Wanted) -> SearchAnswer:
    """The garments that a text describes.

    Raises:
        OptionError: the words are none or too many, or a filter is of no garment.
        NoCatalogueError: the catalogue is empty.
        CatalogueError: other models made it.
        FashionCropError: the server does not answer.
    """
    models = await ask_for_models(client)
    space, warnings = await _space(catalogue, models)
    text_model = models.paired_text()
    (vector,) = (await client.embed_texts([words])).tolist()
    asked = [_Asked(Query(kind="words", text=words), vector)]
    return await _answer(catalogue, space, asked, wanted, (text_model,), (*warnings_of(text_model), *warnings))


async def search_by_photo(
    catalogue: Catalogue,
    settings: Settings,
    source: str,
    wanted: Wanted,
    *,
    box_xyxy: Box | None = None,
    on_warning: Callable[[str], None] = lambda _sentence: None,
) -> SearchAnswer:
    """As `find_by_photo`, with the server that the settings name, and what else they say.

    Args:
        catalogue: what is searched.
        settings: how the photo is analysed; nobody is asked to describe it.
        source: the photo; see `fashioncrop.Source`.
        wanted: see `Wanted`.
        box_xyxy: in pixels of the upright photo; nothing is detected then.
        on_warning: is told, in one sentence, what is wrong with the cache.
    """
    quiet = settings.model_copy(update={"mode": "off", "store_url": None})
    async with open_parts(quiet, dinox=quiet.detector == "dinox" and box_xyxy is None, on_warning=on_warning) as parts:
        options = queried(options_of(quiet), box_xyxy)
        analyzer = Analyzer(parts.client, options=options, detector=parts.detector, cache=parts.cache)

        async def analyze() -> Analysis:
            return (await analyzer.analyze(source))[0]

        return await find_by_photo(catalogue, parts.client, analyze, wanted, source=source, box_xyxy=box_xyxy)


async def find_by_photo(
    catalogue: Catalogue,
    client: AsyncClient,
    analyze: Callable[[], Awaitable[Analysis]],
    wanted: Wanted,
    *,
    source: str,
    box_xyxy: Box | None = None,
) -> SearchAnswer:
    """The garments that are like those of a photo: each of its garments is a query, or the one in the box.

    Args:
        catalogue: what is searched.
        client: of the server.
        analyze: has that server analyse the photo, with options of `queried`; nobody is asked where the catalogue
            cannot be searched.
        wanted: see `Wanted`.
        source: what the photo is called in the answer.
        box_xyxy: where the only query is, as it was given to `queried`.

    Raises:
        PhotoError: the photo cannot be read.
        OptionError: the box is not in the photo, or a filter is of no garment.
        NoCatalogueError: the catalogue is empty.
        CatalogueError: other models made it.
        FashionCropError: as `AsyncClient.analyze`.
    """
    models = await ask_for_models(client)
    space, warnings = await _space(catalogue, models)
    analysis = await analyze()
    kind: Literal["garment", "box"] = "garment" if box_xyxy is None else "box"
    asked = [
        _Asked(
            Query(
                kind=kind,
                text=garment.phrase if box_xyxy is None else "",
                source=source,
                box_xyxy=garment.box_xyxy,
                crop_jpeg=garment.crop.jpeg,
            ),
            _vector(garment),
        )
        for garment in analysis.garments
    ]
    return await _answer(catalogue, space, asked, wanted, (models.image,), (*analysis.warnings, *warnings))


async def search_by_garment(catalogue: Catalogue, name: str, wanted: Wanted) -> SearchAnswer:
    """The garments of other photos that are like one of the catalogue; no server is asked.

    Raises:
        OptionError: the catalogue has no such garment, or a filter is of none.
    """
    kept = await catalogue.garment(name)
    query = Query(kind="catalogue", text=kept.garment.phrase, source=kept.source, box_xyxy=kept.garment.box_xyxy)
    others = [space for space in await catalogue.spaces() if space != kept.space]
    asked = [_Asked(query, kept.vector, without_photo=kept.photo)]
    return await _answer(catalogue, kept.space, asked, wanted, (), (_OTHERS,) if others else ())


async def _space(catalogue: Catalogue, models: ServingModels) -> tuple[Space, tuple[str, ...]]:
    """The space of the server's vectors, and what must be said of others."""
    spaces = await catalogue.spaces()
    if not spaces:
        raise NoCatalogueError(f"The catalogue at {catalogue.place.shown} is empty. Fill it: fashioncrop index FOLDER")
    space = next((one for one in spaces if one.model.digest == models.image.digest), None)
    if space is None:
        raise foreign(catalogue.place.shown, spaces[0].model, models.image)
    return space, (_OTHERS,) if len(spaces) > 1 else ()


def queried(options: AnalyzeOptions, box_xyxy: Box | None = None) -> AnalyzeOptions:
    """The options with which a photo becomes queries.

    Args:
        options: how its garments are looked for.
        box_xyxy: the only garment, in pixels of the upright photo; nothing is looked for then.
    """
    wanted = AnalyzeOptions(**{**options, "crops": True, "embeddings": True})
    if box_xyxy is None:
        return wanted
    kept = {name: value for name, value in wanted.items() if name in {"crop_padding", "crops", "embeddings"}}
    given = {"boxes_xyxy": [list(box_xyxy)], "box_phrases": [_BOX_PHRASE]}
    return AnalyzeOptions(**{**kept, **given})  # type: ignore[typeddict-item]


def _vector(garment: Garment) -> Sequence[float]:
    if garment.embedding is None:
        raise CatalogueError("The server answered without embeddings, which are what is searched by.")
    return garment.embedding


async def _answer(
    catalogue: Catalogue,
    space: Space,
    asked: Sequence[_Asked],
    wanted: Wanted,
    models: tuple[ModelIdentity, ...],
    warnings: tuple[str, ...],
) -> SearchAnswer:
    found = []
    for one in asked:
        filters = await catalogue.filters(wanted.categories, wanted.colours, without_photo=one.without_photo)
        photos = await catalogue.search(space, one.vector, limit=wanted.limit, filters=filters)
        found.append(Found(query=one.query, photos=photos))
    return SearchAnswer(
        found=tuple(found), models=tuple(dict.fromkeys((space.model, *models))), warnings=tuple(dict.fromkeys(warnings))
    )


def photo_limits(settings: Settings) -> FetchLimits:
    """What a photo's URL may do."""
    return FetchLimits(allow_http=settings.allow_http, allow_private_addresses=settings.allow_private_addresses)
