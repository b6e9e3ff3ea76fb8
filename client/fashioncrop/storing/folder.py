"""A store in a folder. Each file is whole or not there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from pathlib import Path
from urllib.parse import quote

from fashioncrop.errors import OptionError
from fashioncrop.storing.options import StoreOptions
from fashioncrop.storing.problems import of_folder
from fashioncrop.storing.stored import StoredObject, check_key


class FolderStore:
    """Objects as files below one folder, shared by any number of processes."""

    def __init__(self, folder: Path, options: StoreOptions) -> None:
        """Nothing is written yet.

        Raises:
            OptionError: URLs are asked for that a folder does not have.
        """
        if options.urls == "signed":
            raise OptionError("A folder has no signed URLs. Use urls='location', or 'public' with public_base_url.")
        if options.urls == "public" and options.public_base_url is None:
            raise OptionError("A folder has no address on the web of its own. Say where it is: public_base_url.")
        self._folder = Path(os.path.abspath(folder))  # noqa: PTH100 - without following links
        self._base_url = options.public_base_url.rstrip("/") if options.public_base_url else None
        self._slots = asyncio.Semaphore(options.max_concurrency)

    def __repr__(self) -> str:
        return f"FolderStore({str(self._folder)!r})"

    @property
    def shown(self) -> str:
        """The folder."""
        return str(self._folder)

    def place_of(self, key: str) -> str:
        """Where an object is, for good."""
        if self._base_url is not None:
            return f"{self._base_url}/{quote(key)}"
        return (self._folder / key).as_uri()

    async def url_of(self, key: str) -> str:
        """Where others find an object."""
        return self.place_of(key)

    async def put(self, key: str, data: bytes, content_type: str) -> StoredObject:  # noqa: ARG002 - a file has none
        """Store an object, unless the same is there already.

        Raises:
            StorageError: the key cannot be used, or the file cannot be written.
        """
        check_key(key)
        async with self._slots:
            is_new = await asyncio.to_thread(self._write, self._folder / key, data)
        return StoredObject(key, self.place_of(key), is_new)

    async def close(self) -> None:
        """Nothing is left open; for the protocol's sake."""

    def _write(self, path: Path, data: bytes) -> bool:
        try:
            if _is_same(path, data):
                return False
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{secrets.token_hex(8)}.part")
            try:
                beside.write_bytes(data)
                beside.replace(path)
            finally:
                with contextlib.suppress(OSError):
                    beside.unlink(missing_ok=True)
        except OSError as error:
            problem = of_folder(self.shown, error)
            raise problem from error
        return True


def _is_same(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except FileNotFoundError:
        return False
