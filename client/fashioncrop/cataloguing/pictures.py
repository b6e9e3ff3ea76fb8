"""The pictures of found garments: their crops, from wherever they are, or cut out of their photos again."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Container, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fashioncrop._decoding import upright_rgb
from fashioncrop._fetch import FetchLimits
from fashioncrop._sources import read_photo
from fashioncrop.batching.listing import STORE_SCHEMES
from fashioncrop.batching.object_photos import read_object
from fashioncrop.cataloguing.answers import FoundPhoto, SearchAnswer
from fashioncrop.errors import FashionCropError
from fashioncrop.results import Box, Crop

_QUALITY = 90


async def pictures_of(answer: SearchAnswer, limits: FetchLimits) -> dict[str, bytes]:
    """A JPEG for each found garment, by its ID, and for each query out of the catalogue, by `Query.key`.

    A garment whose crop and photo can both no longer be read is left out.

    Args:
        answer: what was found.
        limits: what the photos' URLs may do.
    """
    pictures = await crops_of([photo for found in answer.found for photo in found.photos], limits)
    for found in answer.found:
        query = found.query
        if query.crop_jpeg is not None:
            pictures[query.key] = query.crop_jpeg
        elif query.source is not None and query.box_xyxy is not None:
            jpeg = await _cut(query.source, query.box_xyxy, limits)
            pictures |= {} if jpeg is None else {query.key: jpeg}
    return pictures


async def crops_of(photos: Sequence[FoundPhoto], limits: FetchLimits) -> dict[str, bytes]:
    """A JPEG for each found garment, by its ID; one whose crop and photo can both no longer be read is left out.

    Args:
        photos: what was found.
        limits: what their URLs may do.
    """
    pictures: dict[str, bytes] = {}
    for photo in photos:
        pictures |= await _of_photo(photo, pictures, limits)
    return pictures


async def _of_photo(photo: FoundPhoto, known: Container[str], limits: FetchLimits) -> dict[str, bytes]:
    pictures = {}
    for one in photo.garments:
        if one.id in known:
            continue
        crop = one.garment.crop
        jpeg = await _kept(crop, limits)
        if jpeg is None:
            jpeg = await _cut(photo.source, crop.box_xyxy, limits)
        if jpeg is not None:
            pictures[one.id] = jpeg
    return pictures


async def _kept(crop: Crop, limits: FetchLimits) -> bytes | None:
    if crop.url is None:
        return None
    try:
        if crop.url.startswith("file://"):
            return await asyncio.to_thread(Path(unquote(urlsplit(crop.url).path)).read_bytes)
        if crop.url.startswith("supabase://"):
            return None  # read through S3, with credentials that only the store has
        return await _bytes_of(crop.url, limits)
    except (FashionCropError, OSError):
        return None


async def _cut(source: str, box_xyxy: Box | tuple[int, int, int, int], limits: FetchLimits) -> bytes | None:
    try:
        data = await _bytes_of(source, limits)
        return await asyncio.to_thread(_cropped, data, box_xyxy)
    except (FashionCropError, OSError):
        return None


async def _bytes_of(source: str, limits: FetchLimits) -> bytes:
    if source.startswith(STORE_SCHEMES):
        return await read_object(source, max_bytes=limits.max_bytes)
    return (await read_photo(source, limits=limits)).data


def _cropped(data: bytes, box_xyxy: Box | tuple[int, int, int, int]) -> bytes | None:
    image = upright_rgb(data)
    x0, y0, x1, y1 = (round(value) for value in box_xyxy)
    inside = max(x0, 0), max(y0, 0), min(x1, image.width), min(y1, image.height)
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        return None
    file = io.BytesIO()
    image.crop(inside).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
