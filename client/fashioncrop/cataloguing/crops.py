"""Where the crops of indexed photos are kept: in the embedded catalogue's own folder, or in the store that was named.

In the catalogue's folder each photo has a folder of its own, named by the photo's number, so that its crops go with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fashioncrop._postgres.places import Place
from fashioncrop._sources import Photo
from fashioncrop.cataloguing.entries import photo_id
from fashioncrop.errors import StorageError
from fashioncrop.results import Analysis
from fashioncrop.settings import Settings
from fashioncrop.storing import Store, StoreOptions, check_store, open_store, store_analysis
from fashioncrop.storing.stored import JPEG


class CropKeeper:
    """Keeps crops, so that each one's `url` says for good where it is; made by `open_crop_keeper`.

    Attributes:
        keeps: False where there is no place for crops; they are cut out of the photos when they are shown.
    """

    def __init__(self, folder: Path | None, store: Store | None) -> None:
        self._folder, self._store = folder, store
        self.keeps = store is not None

    async def keep(self, source: str, analysis: Analysis, photo: Photo) -> Analysis:
        """Keep the crops of a photo.

        Raises:
            StorageError: one cannot be kept.
        """
        if self._store is None:
            return analysis
        if self._folder is None:
            stored = await store_analysis(self._store, analysis, photo)
            if stored.failures:
                raise StorageError(stored.failures[0].reason)
            return stored.analysis
        garments = []
        for garment in analysis.garments:
            jpeg, url = garment.crop.jpeg, None
            if jpeg is not None:
                key = f"{_folder_of(photo_id(source))}/{hashlib.sha256(jpeg).hexdigest()}.jpg"
                url = (await self._store.put(key, jpeg, JPEG)).url
            garments.append(garment.model_copy(update={"crop": garment.crop.model_copy(update={"url": url})}))
        return analysis.model_copy(update={"garments": tuple(garments)})

    async def forget_others(self, source: str, analysis: Analysis) -> None:
        """Remove crops of the photo that this analysis does not have; a store's are left, others may show them."""
        if self._folder is not None:
            kept = {garment.crop.url for garment in analysis.garments}
            await asyncio.to_thread(_remove_others, self._folder / _folder_of(photo_id(source)), kept)


@asynccontextmanager
async def open_crop_keeper(place: Place, settings: Settings) -> AsyncIterator[CropKeeper]:
    """What keeps crops as the settings want it.

    Raises:
        OptionError: the store's URL names none.
        StorageError: it cannot be written.
    """
    url: str | Path | None = settings.store_url
    folder = None
    if url is None and place.folder is not None:
        url = folder = crops_folder(place.folder)
    if url is None:
        yield CropKeeper(None, None)
        return
    public = settings.store_public_url if folder is None else None
    # Lasting URLs, never signed ones, which end to be good.
    options = StoreOptions(
        urls="public" if public else "location", public_base_url=public, allow_http=settings.allow_http
    )
    store = open_store(url, options)
    try:
        if folder is None:
            await check_store(store)
        yield CropKeeper(folder, store)
    finally:
        await store.close()


def forget_photos(place: Place, photos: list[int]) -> None:
    """Remove the crops of photos that are no longer in an embedded catalogue."""
    if place.folder is not None:
        for photo in photos:
            shutil.rmtree(crops_folder(place.folder) / _folder_of(photo), ignore_errors=True)


def crops_folder(folder: Path) -> Path:
    """Of an embedded catalogue."""
    return folder / "crops"


def _folder_of(photo: int) -> str:
    name = f"{photo:016x}"
    return f"{name[:2]}/{name}"


def _remove_others(folder: Path, kept: set[str | None]) -> None:
    if folder.is_dir():
        for file in folder.iterdir():
            if file.suffix == ".jpg" and file.as_uri() not in kept:
                file.unlink(missing_ok=True)
