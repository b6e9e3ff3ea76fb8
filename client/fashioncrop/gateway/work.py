"""What the routes share: the parts, who may cost money, and doing one thing to each image of a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from fastapi import Request

from fashioncrop._client import AnalyzeOptions
from fashioncrop._sources import Photo
from fashioncrop.analyzing import Analyzer, Mode
from fashioncrop.analyzing.opening import Parts
from fashioncrop.describing import Describer
from fashioncrop.dinox import DinoX
from fashioncrop.errors import FashionCropError, OptionError, ServerFaultError
from fashioncrop.gateway.access import Gatekeeper, check_scope
from fashioncrop.gateway.keys import Caller, Scope
from fashioncrop.gateway.photos import PhotoReader, Received, Sent
from fashioncrop.gateway.problems import NOT_OFFERED, Problem, ProblemError, problem_of
from fashioncrop.gateway.telling import Figures
from fashioncrop.results import Analysis, Detection
from fashioncrop.settings import Settings

if TYPE_CHECKING:
    from fashioncrop.gateway.jobs.book import Book
    from fashioncrop.gateway.searching import Finder

ModeName = Literal["auto", "hybrid", "vision", "off"]
DetectorName = Literal["auto", "served", "dinox"]

_T = TypeVar("_T")
_Item = TypeVar("_Item")
_AT_A_TIME = 8
"""Images or queries of one request under way at a time."""
_READY_FOR_S = 1.0


@dataclass(frozen=True)
class Result(Generic[_T]):
    """What became of one image of a batch: a value or a problem.

    Attributes:
        value: None where there is a problem.
        problem: None where there is a value.
    """

    value: _T | None = None
    problem: Problem | None = None


class Workshop:
    """Everything that routes work with.

    Args:
        parts: what answers.
        settings: see `Settings`.
        gatekeeper: who may ask.
        figures: what is counted.
        book: where jobs are written down; None takes none.
        catalogue: the way to what is searched; None searches nothing.
    """

    def __init__(
        self,
        parts: Parts,
        settings: Settings,
        gatekeeper: Gatekeeper,
        figures: Figures,
        book: Book | None = None,
        catalogue: Finder | None = None,
    ) -> None:
        self.parts, self.settings, self.gatekeeper, self.figures = parts, settings, gatekeeper, figures
        self.book, self.catalogue = book, catalogue
        self.photos = PhotoReader(parts.client, max_pixels=settings.max_photo_pixels)
        self.at_a_time = _AT_A_TIME
        asked = (parts.describer and parts.describer.settings.shown_url, parts.detector and parts.detector.shown_url)
        self._addresses = [address for address in asked if address]
        self.is_draining = False
        self._ready = (0.0, False)

    async def is_server_ready(self) -> bool:
        """Whether the model server calls itself ready; asked at most once a second."""
        asked_s, is_ready = self._ready
        now_s = asyncio.get_running_loop().time()
        if now_s - asked_s > _READY_FOR_S or not asked_s:
            is_ready = await self.parts.client.is_ready()
            self._ready = (now_s, is_ready)
        return is_ready

    async def analyze(
        self, photo: Photo, caller: Caller, options: AnalyzeOptions, *, mode: ModeName, detector: DetectorName
    ) -> Analysis:
        """Analyse a photo.

        `auto` is what the gateway is set to, as far as the caller may cost money; otherwise what is free of charge.

        Raises:
            ProblemError: the caller may not cost money, or the gateway has no such service.
            FashionCropError: as `Analyzer.analyze`.
        """
        if mode == "auto":
            mode = self.settings.describing if Scope.DESCRIBE in caller.scopes else "off"
        if mode != "off":
            check_scope(caller, Scope.DESCRIBE)
        by = self._detector(caller, detector)
        analyzer = Analyzer(
            self.parts.client,
            options=options,
            mode=Mode(mode),
            describer=self.describer() if mode != "off" else None,
            detector=self.dinox() if by == "dinox" else None,
            cache=self.parts.cache,
            store=self.parts.store,
        )
        with self.keeping_addresses():
            analysis, _ = await analyzer.analyze(photo)
        self.figures.analysis(analysis)
        return self._without_addresses(analysis)

    async def look(self, photo: Photo, caller: Caller, options: AnalyzeOptions, *, detector: DetectorName) -> Analysis:
        """Analyse a photo that is only a question: nobody describes it, and nothing of it is stored.

        Raises:
            ProblemError, FashionCropError: as `analyze`.
        """
        by = self._detector(caller, detector)
        dinox = self.dinox() if by == "dinox" else None
        analyzer = Analyzer(self.parts.client, options=options, detector=dinox, cache=self.parts.cache)
        with self.keeping_addresses():
            analysis, _ = await analyzer.analyze(photo)
        self.figures.analysis(analysis)
        return self._without_addresses(analysis)

    @contextmanager
    def keeping_addresses(self) -> Iterator[None]:
        """What a paid service says of the gateway's own set-up is the operator's matter, not the caller's.

        Raises:
            ServerFaultError: instead of such an error.
        """
        try:
            yield
        except OptionError as error:
            if any(address in str(error) for address in self._addresses):
                raise ServerFaultError(str(error)) from error
            raise

    def _without_addresses(self, analysis: Analysis) -> Analysis:
        """The analysis without the addresses of the services that were asked."""
        if not self._addresses:
            return analysis
        garments = tuple(
            one
            if one.description_problem is None
            else one.model_copy(update={"description_problem": self._masked(one.description_problem)})
            for one in analysis.garments
        )
        warnings = tuple(self._masked(warning) for warning in analysis.warnings)
        return analysis.model_copy(update={"garments": garments, "warnings": warnings})

    def _masked(self, text: str) -> str:
        for address in self._addresses:
            text = text.replace(address, "the service")
        return text

    async def detect(
        self, photo: Photo, caller: Caller, options: AnalyzeOptions, *, detector: DetectorName
    ) -> tuple[Detection, ...]:
        """Find boxes, best score first.

        Raises:
            ProblemError: as `analyze`.
            FashionCropError: as `AsyncClient.detect` or `DinoX.detect`.
        """
        if self._detector(caller, detector) == "served":
            return await self.parts.client.detect(photo.data, **options)
        dinox = self.dinox()
        vocabulary = list(options.get("vocabulary") or await self.parts.client.default_vocabulary())
        with self.keeping_addresses():
            found = await dinox.detect(photo.data, vocabulary)
        least, most = options.get("score_threshold", 0.0), options.get("max_garments")
        boxes = zip(found.phrases, found.scores.tolist(), found.boxes_xyxy.tolist(), strict=True)
        return tuple(
            Detection(phrase=phrase, phrase_id=vocabulary.index(phrase), score=score, box_xyxy=box)
            for phrase, score, box in boxes
            if score >= least
        )[:most]

    def _detector(self, caller: Caller, wanted: DetectorName) -> Literal["served", "dinox"]:
        """Who finds.

        Raises:
            ProblemError: the caller may not cost money.
        """
        if wanted == "auto":
            wanted = self.settings.detector if Scope.DESCRIBE in caller.scopes else "served"
        if wanted == "dinox":
            check_scope(caller, Scope.DESCRIBE)
        return wanted

    def describer(self) -> Describer:
        """The describer.

        Raises:
            ProblemError: there is none.
        """
        if self.parts.describer is None:
            raise ProblemError(
                NOT_OFFERED, "This gateway has no describer. Its operator sets one with a key or a base URL."
            )
        return self.parts.describer

    def dinox(self) -> DinoX:
        """The DINO-X service.

        Raises:
            ProblemError: there is none.
        """
        if self.parts.detector is None:
            raise ProblemError(NOT_OFFERED, "This gateway has no key of the DINO-X service. Its operator sets one.")
        return self.parts.detector

    async def each(
        self, request: Request, images: Sequence[Sent], caller: Caller, work: Callable[[Received], Awaitable[_T]]
    ) -> list[Result[_T]]:
        """Read each image and work on it. As `each_of`."""

        async def one(sent: Sent) -> _T:
            return await work(await self.photos.read(sent))

        return await self.each_of(request, images, caller, one)

    async def each_of(
        self, request: Request, items: Sequence[_Item], caller: Caller, work: Callable[[_Item], Awaitable[_T]]
    ) -> list[Result[_T]]:
        """Work on each item of a batch, a few at a time; the results are in the items' order.

        Raises:
            ProblemError: the caller has asked too much.
        """
        await self.gatekeeper.count(caller, len(items) - 1)  # one was counted when the request came
        free = asyncio.Semaphore(self.at_a_time)
        request_id: str = request.state.request_id

        async def one(item: _Item) -> Result[_T]:
            async with free:
                try:
                    return Result(await work(item))
                except ProblemError as error:
                    return Result(problem=error.problem())
                except FashionCropError as error:
                    return Result(problem=problem_of(error, request_id).problem())

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
        return [task.result() for task in tasks]


def workshop_of(request: Request) -> Workshop:
    """The application's."""
    workshop: Workshop = request.app.state.workshop
    return workshop
