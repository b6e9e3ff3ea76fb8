"""Photos into a catalogue: read, compared with what is known, analysed, stored; each one whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fashioncrop._client import AnalyzeOptions, AsyncClient
from fashioncrop._fetch import FetchLimits
from fashioncrop._sources import Photo
from fashioncrop.analyzing import Analyzer, Mode
from fashioncrop.analyzing.opening import open_parts, options_of
from fashioncrop.batching.listing import STORE_SCHEMES, Item
from fashioncrop.batching.object_photos import read_object
from fashioncrop.batching.running import Patience, Tally
from fashioncrop.caching import cache_key
from fashioncrop.cataloguing.catalogue import Catalogue
from fashioncrop.cataloguing.crops import CropKeeper, open_crop_keeper
from fashioncrop.cataloguing.entries import Entry, Outcome, Space, checked_source
from fashioncrop.cataloguing.serving_models import ServingModels, ask_for_models, described, embedding_width, foreign
from fashioncrop.errors import BudgetError, CatalogueError, FashionCropError, OutputError
from fashioncrop.results import Analysis
from fashioncrop.settings import Settings

OnFailure = Callable[[str, FashionCropError], None]
"""Is told the source of a photo that failed, and why."""


@dataclass
class IndexTally(Tally):
    """How far a run is; `skipped` are the photos that are stored as they are.

    Attributes:
        replaced: of the analysed photos, those that were stored before, with other content, options or models.
    """

    replaced: int = 0


@dataclass(frozen=True)
class _Tell:
    """Who is told what goes on.

    Attributes:
        progress: after each photo.
        failure: of each photo that failed.
        warning: once each sentence.
    """

    progress: Callable[[IndexTally], None]
    failure: OnFailure
    warning: Callable[[str], None]


class Indexer:
    """Stores photos, any number at a time; made by `open_indexer`.

    Attributes:
        tally: what was done so far.
        keeps_crops: see `CropKeeper`.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        client: AsyncClient,
        analyzer: Analyzer,
        crops: CropKeeper,
        space: Space,
        recipe: str,
        tell: _Tell,
    ) -> None:
        self._catalogue, self._client, self._analyzer, self._crops = catalogue, client, analyzer, crops
        self._space, self._recipe, self._tell = space, recipe, tell
        self._patience = Patience()
        self._warned: set[str] = set()
        self.tally = IndexTally()
        self.keeps_crops = crops.keeps

    async def one(self, item: Item) -> None:
        """Store one photo, or tell why it cannot be stored.

        Raises:
            OutputError, BudgetError, CatalogueError: the next photo would fail as well.
            TryAgainError, DeploymentError: many failed like this one, after each other.
        """
        try:
            await self._put(item)
        except (OutputError, BudgetError, CatalogueError):
            raise
        except FashionCropError as error:
            self._patience.failed(error)
            self.tally.failed += 1
            self._tell.failure(item.key, error)
        else:
            self._patience.answered()
        self._tell.progress(self.tally)

    async def _put(self, item: Item) -> None:
        source = checked_source(item.key)
        photo = await self._read(item)
        sha256 = hashlib.sha256(photo.data).digest()
        if await self._catalogue.has(source, sha256, self._recipe, self._space):
            self.tally.skipped += 1
            return
        analysis, _ = await self._analyzer.analyze(photo.data)
        self._check_model(analysis)
        analysis = analysis.model_copy(update={"photo": analysis.photo.model_copy(update={"name": photo.name})})
        kept = await self._crops.keep(source, analysis, photo)
        outcome = await self._catalogue.put(Entry(source, sha256, self._recipe, self._space.model, kept), self._space)
        if outcome is Outcome.UNCHANGED:  # another run was faster
            self.tally.skipped += 1
            return
        if outcome is Outcome.REPLACED:
            await self._crops.forget_others(source, kept)
            self.tally.replaced += 1
        self._count(analysis)

    async def _read(self, item: Item) -> Photo:
        if item.source is not None:
            return await self._client.read(item.source)
        return Photo(await read_object(item.key, max_bytes=FetchLimits().max_bytes), Path(item.key).stem)

    def _check_model(self, analysis: Analysis) -> None:
        """Between the start of the run and now somebody may have started the server with others."""
        for model in analysis.models:
            if model.role == self._space.model.role and model.digest != self._space.model.digest:
                raise CatalogueError(
                    f"The server's models have changed: the run began with {described(self._space.model)}, and now "
                    f"{described(model)} embeds. Run it again."
                )

    def _count(self, analysis: Analysis) -> None:
        self.tally.analysed += 1
        self.tally.garments += len(analysis.garments)
        self.tally.dollars += (analysis.cost.dollars or 0.0) if analysis.cost else 0.0
        for warning in analysis.warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                self._tell.warning(warning)


@asynccontextmanager
async def open_indexer(
    catalogue: Catalogue,
    settings: Settings,
    *,
    reindex: bool,
    on_progress: Callable[[IndexTally], None],
    on_failure: OnFailure,
    on_warning: Callable[[str], None],
) -> AsyncIterator[Indexer]:
    """An indexer as the settings want it; what it opened is closed at the end.

    Args:
        catalogue: where photos go.
        settings: how they are analysed, and where their crops go.
        reindex: bring a catalogue that other models made to the server's.
        on_progress: see `Indexer.tally`.
        on_failure: see `OnFailure`.
        on_warning: is told what a reader must know, one sentence each.

    Raises:
        CatalogueError: other models made the catalogue, and it is not to be brought to the server's.
        FashionCropError: as `open_analyzer`.
    """
    options = AnalyzeOptions(**{**options_of(settings), "crops": True, "embeddings": True})
    async with AsyncExitStack() as stack:
        crops = await stack.enter_async_context(open_crop_keeper(catalogue.place, settings))
        # Crops are kept here, under lasting URLs, and not by the analyser.
        alone = settings.model_copy(update={"store_url": None})
        parts = open_parts(alone, dinox=settings.detector == "dinox", on_warning=on_warning)
        made = await stack.enter_async_context(parts)
        models = await ask_for_models(made.client)
        await _check_models(catalogue, models, reindex=reindex)
        analyzer = Analyzer(
            made.client,
            options=options,
            mode=Mode(settings.describing),
            describer=made.describer,
            detector=made.detector,
            cache=made.cache,
        )
        detector = None if made.detector is None else made.detector.identity
        space = await catalogue.make_space(models.image, embedding_width())
        recipe = recipe_of(settings, options, models, detector)
        tell = _Tell(on_progress, on_failure, on_warning)
        yield Indexer(catalogue, made.client, analyzer, crops, space, recipe, tell)


def recipe_of(settings: Settings, options: AnalyzeOptions, models: ServingModels, detector: str | None) -> str:
    """Digest of what shapes an answer beside the photo: two photos of one recipe were asked the same of the same."""
    describer = None
    if settings.describing != "off":
        describer = [settings.describing, settings.describer_model, settings.base_url, settings.detail]
    return cache_key(
        "recipe",
        {
            "asked": {name: np.asarray(value).tolist() for name, value in options.items()},
            "server": models.identity,
            "detector": detector,
            "describer": describer,
        },
    )


def items_again(sources: list[str]) -> list[Item]:
    """The photos of a catalogue, to be read where they were read before."""
    return [Item(source, None if source.startswith(STORE_SCHEMES) else source) for source in sources]


async def _check_models(catalogue: Catalogue, models: ServingModels, *, reindex: bool) -> None:
    others = [space for space in await catalogue.spaces() if space.model.digest != models.image.digest]
    if others and not reindex:
        raise foreign(catalogue.place.shown, others[0].model, models.image)
