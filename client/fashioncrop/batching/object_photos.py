"""Photos that lie in an object store: which there are, and their bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from fashioncrop.errors import OptionError, PhotoError, StorageError


def list_objects(prefix_url: str, suffixes: Collection[str]) -> Iterator[str]:
    """URLs of the photos under a prefix, a page of the listing at a time.

    Args:
        prefix_url: `s3://bucket/prefix`, `gs://...` or `az://...`.
        suffixes: of photos.

    Raises:
        StorageError: the store refuses or cannot be reached.
        PhotoError: there is no photo.
    """
    obstore, store, root = _open(prefix_url)
    found = False
    try:
        for page in obstore.list(store, prefix=urlsplit(prefix_url).path.strip("/") or None):
            for entry in page:
                if PurePosixPath(entry["path"]).suffix.lower() in suffixes:
                    found = True
                    yield f"{root}/{entry['path']}"
    except (OSError, obstore.exceptions.BaseError) as error:
        raise StorageError(f"{prefix_url} cannot be listed. Check bucket, prefix and rights.") from error
    if not found:
        raise PhotoError(f"There is no photo under {prefix_url}. Check bucket and prefix.")


async def read_object(url: str, *, max_bytes: int) -> bytes:
    """The bytes of one object.

    Raises:
        PhotoError: it is not there, or larger than `max_bytes`.
        StorageError: the store refuses or cannot be reached.
    """
    obstore, store, _ = _open(url)
    path = urlsplit(url).path.strip("/")
    try:
        result = await obstore.get_async(store, path)
        if result.meta["size"] > max_bytes:
            raise PhotoError(f"{url} has more than {max_bytes} bytes. Use a smaller photo.")
        return bytes(await result.bytes_async())
    except FileNotFoundError as error:
        raise PhotoError(f"There is no object {url}.") from error
    except (OSError, obstore.exceptions.BaseError) as error:
        raise StorageError(f"{url} cannot be read. Check bucket, key and rights.") from error


def _open(url: str) -> tuple[Any, Any, str]:
    try:
        import obstore  # noqa: PLC0415 - an extra
        from obstore.store import from_url  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise OptionError("Photos in an object store need obstore. Run pip install 'fashioncrop[storage]'.") from error
    parts = urlsplit(url)
    root = f"{parts.scheme}://{parts.netloc}"
    return obstore, from_url(root), root
