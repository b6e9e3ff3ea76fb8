"""A store's URL, taken apart: which provider, which bucket, and how to find what is in it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from fashioncrop.errors import OptionError, StorageError
from fashioncrop.storing.options import StoreOptions, check_endpoint
from fashioncrop.storing.stored import check_key

Provider = Literal["s3", "gs", "az", "supabase"]

_PROVIDERS: dict[str, Provider] = {"s3": "s3", "gs": "gs", "az": "az", "supabase": "supabase"}
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_MISSPELT = re.compile(r"(s3|gs|az|supabase|file):(?!//)", re.IGNORECASE)
_HELP = (
    "Write a folder, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or supabase://PROJECT/BUCKET/PREFIX"
)


@dataclass(frozen=True)
class Bucket:
    """Where in an object store.

    Attributes:
        provider: who keeps it.
        name: of the bucket or container.
        prefix: before every key, without a slash at either end; may be empty.
        project: of Supabase; empty elsewhere.
    """

    provider: Provider
    name: str
    prefix: str
    project: str = ""

    @property
    def shown(self) -> str:
        """As it was given: nothing in it is secret."""
        project = f"{self.project}/" if self.project else ""
        return f"{self.provider}://{project}{self.name}" + (f"/{self.prefix}" if self.prefix else "")

    @property
    def may_be_a_host(self) -> bool:
        """Whether the bucket can be part of a host's name: Amazon's certificate does not cover one with a dot in it."""
        return "." not in self.name

    def endpoint(self, options: StoreOptions) -> str | None:
        """Where the store answers; None where the provider's own address is meant.

        Raises:
            OptionError: the environment names an endpoint that may not be used.
        """
        if options.endpoint_url is not None:
            return options.endpoint_url.rstrip("/")
        if self.provider == "supabase":
            return f"https://{self.project}.storage.supabase.co/storage/v1/s3"
        if self.provider != "s3":
            return None
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"):
            if os.environ.get(name):
                check_endpoint(os.environ[name], allow_http=options.allow_http)
                return os.environ[name].rstrip("/")
        return None

    def region(self, options: StoreOptions) -> str:
        """Of S3: as given, else the environment's, else Amazon's oldest.

        Raises:
            OptionError: Supabase signs with the project's region, which is not known.
        """
        known = options.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if known is None and self.provider == "supabase":
            raise OptionError(
                f"{self.shown} needs the project's region, such as eu-central-1: it stands under Storage, S3, in the "
                "project's settings."
            )
        return known or "us-east-1"

    def public_base(self, options: StoreOptions) -> str:
        """The web address of the store's root, without a slash at its end.

        Raises:
            OptionError: it cannot be told.
        """
        if options.public_base_url is not None:
            return options.public_base_url.rstrip("/")
        if self.provider == "gs":
            base = f"https://storage.googleapis.com/{self.name}"
        elif self.provider == "supabase" and options.endpoint_url is None:
            base = f"https://{self.project}.supabase.co/storage/v1/object/public/{self.name}"
        elif self.provider == "az":
            account = options.account_name or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
            if account is None:
                raise OptionError(f"{self.shown} needs account_name, or AZURE_STORAGE_ACCOUNT_NAME.")
            base = f"https://{account}.blob.core.windows.net/{self.name}"
        elif (endpoint := self.endpoint(options)) is not None:
            base = f"{endpoint}/{self.name}"
        elif self.may_be_a_host:
            base = f"https://{self.name}.s3.{self.region(options)}.amazonaws.com"
        else:
            base = f"https://s3.{self.region(options)}.amazonaws.com/{self.name}"
        return base + (f"/{quote(self.prefix)}" if self.prefix else "")


def parse_location(url: str | Path) -> Bucket | Path:
    """A bucket, or a folder.

    Raises:
        OptionError: the URL names neither.
    """
    if isinstance(url, Path):
        return url
    if not url or "\0" in url or _MISSPELT.match(url):
        raise OptionError(f"That is no place to store in. {_HELP}.")
    scheme = _SCHEME.match(url)
    if scheme is None:
        return Path(url)
    name, rest = scheme[1].lower(), url[scheme.end() :]
    if name == "file":
        return _folder(rest)
    if name not in _PROVIDERS:
        raise OptionError(f"Nothing can be stored in {name}://... . {_HELP}.")
    return _bucket(_PROVIDERS[name], rest)


def _folder(rest: str) -> Path:
    host, slash, path = rest.partition("/")
    if host not in {"", "localhost"} or not slash or "?" in rest or "#" in rest:
        raise OptionError("A folder's URL has three slashes and no query: file:///path/to/folder.")
    return Path("/" + unquote(path))


def _bucket(provider: Provider, rest: str) -> Bucket:
    project = ""
    if provider == "supabase":
        project, _, rest = rest.partition("/")
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    is_named = _BUCKET.fullmatch(bucket) and (provider != "supabase" or _PROJECT.fullmatch(project))
    # Not quoted: somebody may have written a key before an `@`.
    if not is_named or "?" in prefix or "#" in prefix:
        raise OptionError(
            f"The {provider}:// URL does not name a bucket, or has a user name, port or query. {_HELP}; credentials "
            "belong into the options or the environment."
        )
    if prefix:
        try:
            check_key(prefix)
        except StorageError as error:
            raise OptionError(f"The {provider}:// URL has a prefix that cannot be used. {error}") from error
    return Bucket(provider, bucket, prefix, project)
