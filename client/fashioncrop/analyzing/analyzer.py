"""The flow around the server: the server sees and measures; what costs money is asked only for what no cache has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import numpy as np

from fashioncrop._client import AnalyzeOptions, AsyncClient
from fashioncrop._sources import Photo, Source
from fashioncrop.analyzing import kept
from fashioncrop.analyzing.account import Account
from fashioncrop.caching import decode_analysis, encode_analysis, encode_json
from fashioncrop.describing import CropToDescribe, Described, DescriberSettings, NamedGarments
from fashioncrop.dinox import CloudDetections
from fashioncrop.errors import BudgetError, CredentialError, FashionCropError, OptionError
from fashioncrop.results import Analysis, Description
from fashioncrop.storing import Store, store_analysis


class Mode(StrEnum):
    """What a large model is asked for."""

    HYBRID = "hybrid"
    """Detect, then describe."""
    VISION = "vision"
    """A large model names the garments first; its phrases are the vocabulary. Then as `hybrid`."""
    OFF = "off"
    """Nothing."""


class Describes(Protocol):
    """What is used of a `Describer`."""

    settings: DescriberSettings

    async def describe(self, crops: Sequence[CropToDescribe]) -> Described:
        """Descriptions of one photo's garments."""
        ...

    async def name_garments(self, photo: bytes) -> NamedGarments:
        """What is worn in a photo."""
        ...


class Detects(Protocol):
    """What is used of a `DinoX`."""

    @property
    def identity(self) -> str:
        """Changes whenever its answers may."""
        ...

    async def detect(self, photo: bytes, vocabulary: Sequence[str]) -> CloudDetections:
        """Boxes for the pipeline."""
        ...


_NOTHING_FOUND = CloudDetections(np.zeros((0, 4), np.float32), [], np.zeros(0, np.float32), "", (), ())


class Analyzer:
    """Analyses photos, any number at a time of one event loop.

    Args:
        client: of the server.
        options: what to look for and what to answer.
        mode: what the describer is asked for.
        describer: needed unless `mode` is `off`.
        detector: asked for boxes instead of the server's own detector.
        cache: where earlier answers are looked up; None asks every time.
        store: where crops and analyses are put for good; None nowhere.

    Raises:
        OptionError: the parts do not go together.
    """

    def __init__(
        self,
        client: AsyncClient,
        *,
        options: AnalyzeOptions | None = None,
        mode: Mode = Mode.OFF,
        describer: Describes | None = None,
        detector: Detects | None = None,
        cache: kept.Keeps | None = None,
        store: Store | None = None,
    ) -> None:
        given = options or AnalyzeOptions()
        if mode is not Mode.OFF and describer is None:
            raise OptionError(f"Mode {mode} needs a describer: give a key or a base URL, or choose mode off.")
        if mode is Mode.VISION and "vocabulary" in given:
            raise OptionError(
                "In mode vision a large model chooses the vocabulary: leave yours out, or use mode hybrid."
            )
        if "boxes_xyxy" in given and (detector is not None or mode is Mode.VISION):
            raise OptionError("Boxes are given, so nobody has to detect: leave the other detector and mode vision out.")
        self._client, self._options, self._mode = client, given, mode
        self._describer = describer if mode is not Mode.OFF else None
        self._detector, self._store = detector, store
        self._cache: kept.Keeps = cache or kept.Nothing()

    async def analyze(self, source: Source | Photo) -> tuple[Analysis, Photo]:
        """Everything about one photo, and the photo as it was read, by now or before.

        A describer that fails leaves its reason at each garment, and the rest of the answer stands.

        Raises:
            BudgetError, CredentialError, OptionError: further photos would fail like this one.
            FashionCropError: as `AsyncClient.analyze`.
        """
        start_s = time.perf_counter()
        photo = source if isinstance(source, Photo) else await self._client.read(source)
        account = Account()
        options = self._options
        if self._describer is not None or self._store is not None:
            options = AnalyzeOptions(**{**options, "crops": True})
        if self._describer is not None and self._mode is Mode.VISION:
            options["vocabulary"] = await self._named(self._describer, photo, account)
        analysis = await self._detected(photo, options, account)
        if self._describer is not None and analysis.garments:
            with account.stage("describe"):
                analysis = await self._described(self._describer, analysis, account)
        server_ms = analysis.timings_ms if account.asked else {}
        analysis = analysis.model_copy(update={"photo": analysis.photo.model_copy(update={"name": photo.name})})
        if self._store is not None:
            with account.stage("store"):
                analysis = await _stored(self._store, analysis, photo)
        request_ms = round((time.perf_counter() - start_s) * 1000, 3)
        changes = {
            "timings_ms": {**server_ms, **account.timings_ms, "request": request_ms},
            "cost": account.cost(),
            "cached": not account.asked,
        }
        return analysis.model_copy(update=changes), photo

    async def _named(self, describer: Describes, photo: Photo, account: Account) -> list[str]:
        key = kept.naming_key(photo.data, describer.settings)
        data = await self._cache.get(key)
        known = None if data is None else kept.decode_phrases(data)
        if known is not None:
            return known
        with account.stage("name"):
            named = await describer.name_garments(photo.data)
        account.add(named.usage)
        await self._cache.set(key, encode_json(named.phrases))
        return list(named.phrases)

    async def _detected(self, photo: Photo, options: AnalyzeOptions, account: Account) -> Analysis:
        key = None
        if not isinstance(self._cache, kept.Nothing):
            server = await self._client.server_identity()
            detector = None if self._detector is None else self._detector.identity
            key = kept.analysis_key(photo.data, options, server, detector)
            data = await self._cache.get(key)
            known = None if data is None else await asyncio.to_thread(decode_analysis, data)
            if known is not None:
                return known
        account.asked = True
        given, warnings = await self._boxes(photo, options, account)
        analysis = await self._client.analyze_photo(photo, **given)
        analysis = analysis.model_copy(update={"warnings": (*analysis.warnings, *warnings)})
        if key is not None:
            await self._cache.set(key, await asyncio.to_thread(encode_analysis, analysis))
        return analysis

    async def _boxes(
        self, photo: Photo, options: AnalyzeOptions, account: Account
    ) -> tuple[AnalyzeOptions, tuple[str, ...]]:
        """The options with boxes in place of a vocabulary, where not the server but another detects."""
        vocabulary = options.get("vocabulary")
        if vocabulary is not None and not vocabulary:  # nothing was named, so there is nothing to look for
            return _with_boxes(options, _NOTHING_FOUND), ()
        if self._detector is None:
            return options, ()
        phrases = vocabulary or await self._client.default_vocabulary()
        with account.stage("detect"):
            found = await self._detector.detect(photo.data, phrases)
        return _with_boxes(options, found), found.warnings

    async def _described(self, describer: Describes, analysis: Analysis, account: Account) -> Analysis:
        crops = [
            CropToDescribe(garment.id, garment.phrase, garment.crop.jpeg)
            for garment in analysis.garments
            if garment.crop.jpeg is not None
        ]
        key = kept.description_key(crops, describer.settings)
        data = await self._cache.get(key)
        known = None if data is None else kept.decode_descriptions(data, crops)
        if known is not None:
            return _filled(analysis, known, {})
        account.asked = True
        try:
            described = await describer.describe(crops)
        except (BudgetError, CredentialError, OptionError):
            raise
        except FashionCropError as error:
            reasons = {crop.id: str(error) for crop in crops}
            return _filled(analysis, {}, reasons).model_copy(
                update={"warnings": (*analysis.warnings, f"No garment was described: {error}")}
            )
        account.add(described.usage)
        if not described.problems:
            await self._cache.set(key, kept.encode_descriptions(described.descriptions))
        return _filled(analysis, described.descriptions, described.problems)


async def _stored(store: Store, analysis: Analysis, photo: Photo) -> Analysis:
    """With its crops' URLs; what could not be stored is told, and running again stores just that."""
    stored = await store_analysis(store, analysis, photo)
    if not stored.failures:
        return stored.analysis
    first = stored.failures[0]
    warning = (
        f"{len(stored.failures)} objects are not stored, {first.key} among them: {first.reason} Run it again: what is "
        "stored is not sent twice."
    )
    return stored.analysis.model_copy(update={"warnings": (*stored.analysis.warnings, warning)})


def _with_boxes(options: AnalyzeOptions, found: CloudDetections) -> AnalyzeOptions:
    rest = {name: value for name, value in options.items() if name not in {"vocabulary", "score_threshold"}}
    boxes = {"boxes_xyxy": found.boxes_xyxy, "box_phrases": found.phrases, "box_scores": found.scores}
    return AnalyzeOptions(**{**rest, **boxes})  # type: ignore[typeddict-item]


def _filled(analysis: Analysis, descriptions: dict[int, Description], problems: dict[int, str]) -> Analysis:
    garments = tuple(
        garment.model_copy(
            update={
                "description": descriptions.get(garment.id),
                "description_problem": problems.get(garment.id),
            }
        )
        for garment in analysis.garments
    )
    return analysis.model_copy(update={"garments": garments})
