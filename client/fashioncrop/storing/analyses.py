"""An analysis, stored: its crops first, then itself with their places."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fashioncrop._sources import Photo
from fashioncrop.errors import StorageError
from fashioncrop.results import Analysis
from fashioncrop.storing.opening import Store
from fashioncrop.storing.problems import StoreUnusableError
from fashioncrop.storing.stored import JPEG, JSON, StoredObject, analysis_key, crop_key, photo_key

_PHOTO_TYPES = {
    "JPEG": (".jpg", JPEG),
    "MPO": (".jpg", JPEG),
    "PNG": (".png", "image/png"),
    "WEBP": (".webp", "image/webp"),
    "GIF": (".gif", "image/gif"),
    "BMP": (".bmp", "image/bmp"),
    "TIFF": (".tif", "image/tiff"),
    "AVIF": (".avif", "image/avif"),
}


@dataclass(frozen=True)
class StoreFailure:
    """An object that is not stored.

    Attributes:
        key: where it was to be.
        reason: a sentence.
    """

    key: str
    reason: str


@dataclass(frozen=True)
class StoredAnalysis:
    """What became of an analysis. Storing it again tries what failed, and costs one question for each other object.

    Attributes:
        analysis: with `crop.url` of each crop that is stored.
        document: the analysis as JSON; None unless all its crops are stored.
        photo: the photo; None where it was not asked for, or not stored.
        failures: what is not stored.
    """

    analysis: Analysis
    document: StoredObject | None
    photo: StoredObject | None
    failures: tuple[StoreFailure, ...]


async def store_analysis(
    store: Store, analysis: Analysis, photo: Photo | bytes, *, with_photo: bool = False
) -> StoredAnalysis:
    """Store the crops of an analysis, and the analysis with their places as JSON.

    The JSON is the answer without what it took (`timings_ms`, `cost`, `cached`), so that the same answer is the same
    object whenever it is stored. Its crops' URLs are lasting ones even where `analysis` gets signed ones.

    Args:
        store: where.
        analysis: with the JPEGs of its crops; a garment without one is stored without a crop.
        photo: the photo that was analysed.
        with_photo: store the photo itself too, as it is, with whatever its EXIF says of place and time.

    Returns:
        What is stored and what is not; no failure is raised.
    """
    crops = {crop_key(jpeg): jpeg for jpeg in (garment.crop.jpeg for garment in analysis.garments) if jpeg is not None}
    things = [(key, jpeg, JPEG) for key, jpeg in crops.items()]
    photo_at = None
    if with_photo:
        data = photo.data if isinstance(photo, Photo) else photo
        suffix, content_type = _PHOTO_TYPES.get(analysis.photo.format, ("", "application/octet-stream"))
        photo_at = photo_key(data, suffix)
        things.append((photo_at, data, content_type))
    stored, failures, unusable = await _put_all(store, things)
    missing = sum(key not in stored for key in crops)
    document = None
    written = _document(store, analysis)
    if unusable is not None or missing:
        reason = unusable or f"{missing} of its {len(crops)} crops are not stored."
        failures.append(StoreFailure(analysis_key(written), reason))
    else:
        document, failed = await _put(store, analysis_key(written), written, JSON)
        failures += failed
    return StoredAnalysis(
        analysis=_with_urls(analysis, {key: one.url for key, one in stored.items()}),
        document=document,
        photo=stored.get(photo_at) if photo_at else None,
        failures=tuple(failures),
    )


async def _put_all(
    store: Store, things: list[tuple[str, bytes, str]]
) -> tuple[dict[str, StoredObject], list[StoreFailure], str | None]:
    """Store the first alone: where nothing can be stored at all, the others are not tried, and the reason is told."""
    stored: dict[str, StoredObject] = {}
    failures: list[StoreFailure] = []
    if not things:
        return stored, failures, None
    key, data, content_type = things[0]
    try:
        stored[key] = await store.put(key, data, content_type)
    except StoreUnusableError as error:
        return stored, [StoreFailure(key, str(error)) for key, _, _ in things], str(error)
    except StorageError as error:
        failures.append(StoreFailure(key, str(error)))
    outcomes = await asyncio.gather(*(_put(store, *thing) for thing in things[1:]))
    for (key, _, _), (one, failed) in zip(things[1:], outcomes, strict=True):
        failures += failed
        if one is not None:
            stored[key] = one
    return stored, failures, None


async def _put(
    store: Store, key: str, data: bytes, content_type: str
) -> tuple[StoredObject | None, list[StoreFailure]]:
    try:
        return await store.put(key, data, content_type), []
    except StorageError as error:
        return None, [StoreFailure(key, str(error))]


def _document(store: Store, analysis: Analysis) -> bytes:
    """The analysis as it is stored."""
    jpegs = (garment.crop.jpeg for garment in analysis.garments)
    places = {key: store.place_of(key) for key in (crop_key(jpeg) for jpeg in jpegs if jpeg is not None)}
    complete = _with_urls(analysis, places)
    garments = tuple(
        garment.model_copy(update={"crop": garment.crop.model_copy(update={"file": None})})
        for garment in complete.garments
    )
    lasting: dict[str, object] = {"garments": garments, "timings_ms": {}, "cost": None, "cached": False}
    return complete.model_copy(update=lasting).model_dump_json(indent=2).encode()


def _with_urls(analysis: Analysis, urls: dict[str, str]) -> Analysis:
    garments = []
    for garment in analysis.garments:
        url = urls.get(crop_key(garment.crop.jpeg)) if garment.crop.jpeg is not None else None
        garments.append(garment.model_copy(update={"crop": garment.crop.model_copy(update={"url": url})}))
    return analysis.model_copy(update={"garments": tuple(garments)})
