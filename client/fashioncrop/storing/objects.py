"""A store in a bucket. The only module here that knows obstore (the extra `storage`).

Errors of obstore are not chained to this project's: they quote URLs, and a URL may be signed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore, S3Store

from fashioncrop.errors import OptionError
from fashioncrop.storing import problems
from fashioncrop.storing.locations import Bucket
from fashioncrop.storing.options import StoreOptions
from fashioncrop.storing.stored import StoredObject, check_key, is_by_content

_T = TypeVar("_T")
_Backend = S3Store | GCSStore | AzureStore
# What obstore raises: its own errors, FileNotFoundError for 404, ValueError for a path, NotImplementedError.
_FAULTS = (BaseError, OSError, ValueError, NotImplementedError)


class ObjectStore:
    """Objects below a prefix of a bucket; for one event loop. Repetitions are obstore's."""

    def __init__(self, bucket: Bucket, options: StoreOptions) -> None:
        """Nothing is sent yet.

        Raises:
            OptionError: the credentials cannot be read, or something is missing that the provider needs.
        """
        self._bucket = bucket
        self._options = options
        self._slots = asyncio.Semaphore(options.max_concurrency)
        self._may_look = True
        self._base_url = bucket.public_base(options) if options.urls == "public" else None
        problem = None
        try:
            self._backend = _backend(bucket, options)
        except _FAULTS:
            problem = OptionError(
                f"The store {bucket.shown} cannot be opened: its credentials or options are not of the form that the "
                "provider knows. Check them."
            )
        if problem is not None:  # outside of `except`, so that nothing of the credentials is chained
            raise problem

    def __repr__(self) -> str:
        return f"ObjectStore({self.shown})"

    @property
    def shown(self) -> str:
        """The bucket and its prefix."""
        return self._bucket.shown

    def place_of(self, key: str) -> str:
        """Where an object is, for good: its public URL where it has one, else `s3://bucket/key` and the like."""
        if self._base_url is not None:
            return f"{self._base_url}/{quote(key)}"
        return f"{self._bucket.shown}/{key}"

    async def url_of(self, key: str) -> str:
        """Where others find an object.

        Raises:
            StorageError: the credentials cannot sign.
        """
        if self._options.urls != "signed":
            return self.place_of(key)
        expires_in = timedelta(seconds=self._options.signed_url_s)
        return await self._named(obstore.sign_async(self._backend, "GET", self._whole(key), expires_in))

    async def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        """Store an object, unless the same is there already.

        Raises:
            StorageError: the key cannot be used, or the store refuses or cannot be reached.
        """
        check_key(key)
        async with self._slots:
            is_new = not (is_by_content(key, data) and await self._is_there(key, len(data)))
            if is_new:
                attributes = {"Content-Type": content_type}
                # One request: all of it arrives, or nothing.
                await self._named(
                    obstore.put_async(self._backend, self._whole(key), data, attributes=attributes, use_multipart=False)
                )
            return StoredObject(key, await self.url_of(key), is_new)

    async def close(self) -> None:
        """Nothing is left open; for the protocol's sake."""

    def _whole(self, key: str) -> str:
        """The key with the prefix, which older versions of obstore forget when they sign."""
        return f"{self._bucket.prefix}/{key}" if self._bucket.prefix else key

    async def _is_there(self, key: str, size: int) -> bool:
        if not self._may_look:
            return False
        try:
            return int((await obstore.head_async(self._backend, self._whole(key)))["size"]) == size
        except FileNotFoundError:
            return False
        except (PermissionDeniedError, UnauthenticatedError):
            # Credentials may write and not look, and S3 says "forbidden" of what is missing to who may not list.
            self._may_look = False
            return False
        except _FAULTS as error:
            words = str(error)
        raise problems.of_store(self.shown, words)

    async def _named(self, work: Awaitable[_T]) -> _T:
        try:
            return await work
        except _FAULTS as error:
            words = str(error)
        raise problems.of_store(self.shown, words)


def _backend(bucket: Bucket, options: StoreOptions) -> _Backend:
    endpoint = bucket.endpoint(options)
    shared: dict[str, Any] = {
        "client_options": {
            "timeout": timedelta(seconds=options.timeout_s),
            "connect_timeout": timedelta(seconds=min(options.timeout_s, 10.0)),
            "allow_http": endpoint is not None and urlsplit(endpoint).scheme == "http",
            "user_agent": "fashioncrop",
        },
        "retry_config": {
            "max_retries": options.max_retries,
            "retry_timeout": timedelta(seconds=options.retry_timeout_s),
        },
    }
    if bucket.provider == "gs":
        given = {"service_account": str(options.credentials_file) if options.credentials_file else None}
        return GCSStore(bucket.name, **_present(given), **shared)
    if bucket.provider == "az":
        given = {
            "account_name": options.account_name,
            "account_key": _open(options.account_key),
            "sas_key": _open(options.sas_token),
            "endpoint": endpoint,
        }
        return AzureStore(container_name=bucket.name, **_present(given), **shared)
    given = {
        "access_key_id": options.access_key_id,
        "secret_access_key": _open(options.secret_access_key),
        "session_token": _open(options.session_token),
        "region": bucket.region(options),
        "endpoint": endpoint,
    }
    # With an endpoint the bucket is part of the path, as MinIO and Supabase want it.
    is_host = endpoint is None and bucket.may_be_a_host
    return S3Store(bucket.name, virtual_hosted_style_request=is_host, **_present(given), **shared)


def _present(given: dict[str, str | None]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _open(secret: Any) -> str | None:  # noqa: ANN401 - SecretStr or None
    return None if secret is None else str(secret.get_secret_value())
