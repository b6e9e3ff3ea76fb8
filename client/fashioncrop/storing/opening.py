"""Which store is meant: a folder, or a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from fashioncrop.errors import OptionError
from fashioncrop.storing.folder import FolderStore
from fashioncrop.storing.locations import parse_location
from fashioncrop.storing.options import StoreOptions
from fashioncrop.storing.stored import StoredObject


class Store(Protocol):
    """Objects by key."""

    @property
    def shown(self) -> str:
        """The store, as it may be shown."""

    def place_of(self, key: str) -> str:
        """Where an object is, for good: never a signed URL."""

    async def url_of(self, key: str) -> str:
        """Where others find an object, as the options say.

        Raises:
            StorageError: the credentials cannot sign.
        """

    async def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        """Store an object, unless the same is there already.

        Raises:
            StorageError: the key cannot be used, or the store refuses, is full or cannot be reached.
            StoreUnusableError: so would the next object be.
        """

    async def close(self) -> None:
        """Close what is open."""


_NOTE = b"Crops and analyses of fashioncrop, named by their content.\n"


async def check_store(store: Store) -> None:
    """Write a small text file, so that a store that cannot be written is known before the work begins.

    Raises:
        StorageError: it cannot be written.
    """
    await store.put("fashioncrop.txt", _NOTE, "text/plain")


def open_store(url: str | Path, options: StoreOptions | None = None) -> Store:
    """The store at a place. Nothing is read or written yet.

    Args:
        url: a folder (a path or `file:///path`), `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or
            `supabase://PROJECT/BUCKET/PREFIX`. Credentials never stand in it.
        options: credentials, endpoint, kind of URLs, limits.

    Raises:
        OptionError: the URL names no store, the options do not fit it, or the extra `storage` is not installed.
    """
    place = parse_location(url)
    options = options or StoreOptions()
    if isinstance(place, Path):
        return FolderStore(place, options)
    try:
        from fashioncrop.storing.objects import ObjectStore  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise OptionError(
            f"Storing in {place.provider}:// needs obstore. Run pip install 'fashioncrop[storage]'."
        ) from error
    return ObjectStore(place, options)
