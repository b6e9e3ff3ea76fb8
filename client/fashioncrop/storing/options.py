"""How a store is reached, and by which URLs others find what is in it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from fashioncrop._photo_url import shown_url
from fashioncrop.errors import OptionError

UrlKind = Literal["location", "public", "signed"]
"""`s3://bucket/key` and the like; an https URL for everybody; an https URL that ends to be good."""

_MAX_SIGNED_S = 7 * 24 * 3600.0  # what S3 and Google sign at most


@dataclass(frozen=True)
class StoreOptions:
    """What a store's URL does not say. Secrets show in no `repr`.

    Credentials that are None are looked for in the environment (`AWS_ACCESS_KEY_ID` and so on,
    `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_KEY`) and asked of the machine's role; the files that the
    providers' command-line tools write (`~/.aws`) are not read.

    Attributes:
        urls: what `StoredObject.url` and `Crop.url` are.
        public_base_url: where the store's own root (its prefix included) is on the web; None is the provider's address.
        signed_url_s: how long a signed URL is good, in seconds, at most a week.
        endpoint_url: of a server that speaks S3 (MinIO, R2, ...); None is `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` or
            `AWS_ENDPOINT`, else the provider.
        region: of S3 or Supabase.
        allow_http: ask an `http://` endpoint on another machine; anybody on the way can then read along.
        access_key_id: of S3 or Supabase.
        secret_access_key: of S3 or Supabase.
        session_token: of S3, with credentials that run out.
        credentials_file: of Google, a service account's.
        account_name: of Azure.
        account_key: of Azure.
        sas_token: of Azure, instead of the key.
        timeout_s: for each request, in seconds.
        max_retries: how often a request is repeated that failed on the way or in the store.
        retry_timeout_s: no repetition begins later than this after the first request, in seconds.
        max_concurrency: objects under way at a time.

    Raises:
        OptionError: one of them is outside its range.
    """

    urls: UrlKind = "location"
    public_base_url: str | None = None
    signed_url_s: float = 3600.0
    endpoint_url: str | None = None
    region: str | None = None
    allow_http: bool = False
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    credentials_file: Path | None = None
    account_name: str | None = None
    account_key: SecretStr | None = None
    sas_token: SecretStr | None = None
    timeout_s: float = 30.0
    max_retries: int = 4
    retry_timeout_s: float = 60.0
    max_concurrency: int = 16

    def __post_init__(self) -> None:
        for name in ("secret_access_key", "session_token", "account_key", "sas_token"):
            value = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, SecretStr(value))
        if self.urls not in ("location", "public", "signed"):
            raise OptionError(f"urls must be location, public or signed; got {self.urls!r}.")
        for name in ("public_base_url", "endpoint_url"):
            url = getattr(self, name)
            if url is not None:
                _check_url(name, url)
        if self.endpoint_url is not None:
            check_endpoint(self.endpoint_url, allow_http=self.allow_http)
        _check_range("signed_url_s", self.signed_url_s, 1.0, _MAX_SIGNED_S)
        _check_range("timeout_s", self.timeout_s, 0.001, 3600.0)
        _check_range("retry_timeout_s", self.retry_timeout_s, 0.001, 3600.0)
        _check_range("max_retries", self.max_retries, 0, 20)
        _check_range("max_concurrency", self.max_concurrency, 1, 1000)


def check_endpoint(url: str, *, allow_http: bool) -> None:
    """Refuse an endpoint that others could read along.

    Raises:
        OptionError: it is no web address, or http on another machine.
    """
    _check_url("endpoint_url", url)
    parts = urlsplit(url)
    if parts.scheme == "http" and not allow_http and not _is_loopback(parts.hostname or ""):
        raise OptionError(
            f"endpoint_url {shown_url(url)} is not encrypted. Use https, or set allow_http where nobody can listen."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_range(name: str, value: float, lowest: float, highest: float) -> None:
    if isinstance(value, bool) or not lowest <= value <= highest:
        raise OptionError(f"{name} must be from {lowest} to {highest}; got {value!r}.")


def _check_url(name: str, url: str) -> None:
    shown = shown_url(url)
    try:
        parts = urlsplit(url)
        is_readable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_readable = False
    if not is_readable or not url.isprintable() or " " in url:
        raise OptionError(f"{name} must begin with https:// or http:// and a host; got {shown}.")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise OptionError(f"{name} must have no user name, password, query or fragment: {shown}.")
