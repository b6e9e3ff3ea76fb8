"""The catalogue, `/v1/search`: garments found again by words, by a photo, by a garment; one query or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Discriminator, Field, Tag
from starlette.responses import Response

from fashioncrop._client import AnalyzeOptions
from fashioncrop.cataloguing.answers import SearchAnswer
from fashioncrop.gateway.access import may
from fashioncrop.gateway.answers import batch_json, batch_model, json_answer
from fashioncrop.gateway.bodies import JSON, Asked, ImageBody, check_batch, media_type, read_json, validated
from fashioncrop.gateway.documented import content, image_body, route
from fashioncrop.gateway.keys import Caller, Scope
from fashioncrop.gateway.own_api import OF_PHOTOS, DetectOptions, Share
from fashioncrop.gateway.photos import ImageInput, Sent, Strict
from fashioncrop.gateway.problems import INVALID, NO_CATALOGUE, NOT_OFFERED, OPTION, ProblemError, Wrong
from fashioncrop.gateway.searching import Searcher, Sought
from fashioncrop.gateway.work import workshop_of
from fashioncrop.results import Box

router = APIRouter(tags=["own"])

Seeker = Annotated[Caller, may(Scope.SEARCH)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Names = Annotated[list[Name], Field(max_length=20)]
Words = Annotated[str, Field(min_length=1, max_length=1000, json_schema_extra={"examples": ["a red striped skirt"]})]
GarmentId = Annotated[str, Field(min_length=1, max_length=40, json_schema_extra={"examples": ["3f2a9c41d0e1b2a7-2"]})]
FourNumbers = Annotated[list[float], Field(min_length=4, max_length=4)]

_KINDS = ("words", "garment", "image", "images", "queries")


class SearchOptions(Strict):
    """What the garments must be, and what is answered.

    Attributes:
        category: a garment is of one of these: a category, a noun of its name, a super-category, or the phrase that it
            was found as.
        colour: a garment has all of these.
        limit: photos for each query, at most.
        crops: whether the crop of each garment that is found comes as a data: URL in `crop.url`.
    """

    category: Names = Field(default_factory=list)
    colour: Names = Field(default_factory=list)
    limit: Annotated[int, Field(ge=1, le=100)] = 10
    crops: bool = False

    def sought(self) -> Sought:
        """As a `Searcher` takes them."""
        return Sought(self.limit, tuple(self.category), tuple(self.colour), self.crops)


class PhotoSearchOptions(SearchOptions, DetectOptions):
    """What is looked for in a photo that is a query, what the garments must be, and what is answered.

    Attributes:
        threshold: least score of a garment of the photo.
        max_garments: at most this many of the photo, the best first; each is a query.
        crop_padding: margin of a crop, as a share of its box.
    """

    crop_padding: Share | None = None

    def asked(self) -> AnalyzeOptions:
        """As the client takes them."""
        options = super().asked()
        if self.crop_padding is not None:
            options["crop_padding"] = self.crop_padding
        return options


class PhotoSearchAsked(PhotoSearchOptions):
    """What is looked for in a photo that is a query, what the garments must be, and what is answered.

    Attributes:
        box_xyxy: the only query: what is in this box, x0, y0, x1, y1 in pixels of the upright photo.
    """

    box_xyxy: FourNumbers | None = None


class WordsQuery(Strict):
    """Words.

    Attributes:
        words: what the garments look like, in English.
    """

    words: Words


class GarmentQuery(Strict):
    """A garment of the catalogue.

    Attributes:
        garment: its `id` in an answer; its own photo is left out.
    """

    garment: GarmentId


class PhotoQuery(Strict):
    """A photo, as one of several queries.

    Attributes:
        image: the photo.
        box_xyxy: the only query in it: what is in this box, x0, y0, x1, y1 in pixels of the upright photo.
    """

    image: ImageInput
    box_xyxy: FourNumbers | None = None


class SearchWords(SearchOptions, WordsQuery):
    """One query: words."""


class SearchGarment(SearchOptions, GarmentQuery):
    """One query: a garment of the catalogue."""


def _kind(query: Any) -> str | None:  # noqa: ANN401 - any JSON
    """Which query it is meant to be; the tags are no fields, so that places in the body are told apart from them."""
    found = [name for name in ("words", "garment", "image") if isinstance(query, dict) and name in query]
    return f"by {found[0]}" if len(found) == 1 else None


QueryInput = Annotated[
    Annotated[WordsQuery, Tag("by words")]
    | Annotated[GarmentQuery, Tag("by garment")]
    | Annotated[PhotoQuery, Tag("by image")],
    Discriminator(
        _kind,
        custom_error_type="no_query",
        custom_error_message="Input should be an object with one of: words, garment, image",
    ),
]
"""One query of several."""


class SearchQueries(PhotoSearchOptions):
    """Several queries; the answer has a result for each, in their order.

    Attributes:
        queries: of any kinds.
    """

    queries: Annotated[list[QueryInput], Field(min_length=1)]


@dataclass(frozen=True)
class _Photo:
    """A photo that is a query, however it was sent.

    Attributes:
        sent: the photo.
        box_xyxy: the only query in it, not yet checked; None where its garments are the queries.
    """

    sent: Sent
    box_xyxy: list[float] | None


_Query = WordsQuery | GarmentQuery | _Photo

_photos = ImageBody(PhotoSearchAsked, "Search")


@router.post(
    "/v1/search",
    summary="Garments of the catalogue, found again",
    **route(
        *OF_PHOTOS,
        NO_CATALOGUE,
        NOT_OFFERED,
        body=image_body(_photos, SearchWords, SearchGarment, SearchQueries),
        ok=content(SearchAnswer, batch_model("SearchAnswers", "answer", SearchAnswer)),
        scope=Scope.SEARCH,
    ),
)
async def search(request: Request, caller: Seeker) -> Response:
    """Find photos whose garments are like words, like each garment of a photo, or like a garment of the catalogue.

    Of a photo that is a file of the gateway's own machine there is no link, and of a URL with a query no query.
    """
    workshop = workshop_of(request)
    options, queries, is_batch = await _read(request, max_batch=workshop.settings.max_batch)
    searcher = Searcher(workshop, caller, options.sought())

    async def one(query: _Query) -> bytes:
        if isinstance(query, WordsQuery):
            return await searcher.by_words(query.words)
        if isinstance(query, GarmentQuery):
            return await searcher.by_garment(query.garment)
        box_xyxy = _box(query.box_xyxy)
        received = await workshop.photos.read(query.sent)
        asked = options if isinstance(options, PhotoSearchOptions) else PhotoSearchOptions()
        return await searcher.by_photo(received, asked.asked(), detector=asked.detector, box_xyxy=box_xyxy)

    if not is_batch:
        return json_answer(await one(queries[0]))
    return json_answer(batch_json(await workshop.each_of(request, queries, caller, one), "answer", bytes))


async def _read(request: Request, *, max_batch: int) -> tuple[SearchOptions, Sequence[_Query], bool]:
    """What is asked, of what, and whether the answer is a list.

    Raises:
        ProblemError: the request is not as documented.
    """
    if media_type(request) != JSON:
        return _of_photos(await _photos.read(request, max_batch=max_batch))
    document = await read_json(request)
    kind = _only_kind(document)
    if kind == "words":
        words = validated(SearchWords, document)
        return words, [words], False
    if kind == "garment":
        garment = validated(SearchGarment, document)
        return garment, [garment], False
    if kind == "queries":
        several = validated(SearchQueries, document)
        check_batch(len(several.queries), max_batch, "queries")
        queries = [_Photo(one.image, one.box_xyxy) if isinstance(one, PhotoQuery) else one for one in several.queries]
        return several, queries, True
    return _of_photos(_photos.asked(document, max_batch=max_batch))


def _of_photos(asked: Asked[PhotoSearchAsked]) -> tuple[SearchOptions, Sequence[_Query], bool]:
    return asked.options, [_Photo(sent, asked.options.box_xyxy) for sent in asked.images], asked.is_batch


def _only_kind(document: Any) -> str:  # noqa: ANN401 - any JSON
    """The one kind of query that a body has.

    Raises:
        ProblemError: it has none, or several.
    """
    found = [name for name in _KINDS if isinstance(document, dict) and name in document]
    if len(found) != 1:
        words = f"Say what to look for by one of: {', '.join(_KINDS)}"
        has = f"; the request has {' and '.join(found)}" if found else ""
        wrong = [Wrong(pointer=f"/{name}" if found else "", detail=words) for name in found or ("",)]
        raise ProblemError(INVALID, f"The request is not as documented. {words}{has}.", errors=wrong)
    return found[0]


def _box(numbers: list[float] | None) -> Box | None:
    """The box.

    Raises:
        ProblemError: there is nothing in it.
    """
    if numbers is None:
        return None
    x0, y0, x1, y1 = numbers
    if not (x0 < x1 and y0 < y1):
        raise ProblemError(OPTION, "The box is empty or reversed. Say left, top, right and bottom in pixels.")
    return x0, y0, x1, y1
