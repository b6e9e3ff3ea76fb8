"""Where things are stored, with which options, and by which URLs others find them."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from fashioncrop.errors import OptionError
from fashioncrop.storing import (
    StoreOptions,
    open_store,
)
from fashioncrop.storing.locations import Bucket, parse_location

PLANTED = "planted/Secret+4711"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("out", Path("out")),
        ("/out/a b", Path("/out/a b")),
        ("file:///out/a%20b", Path("/out/a b")),
        ("file://localhost/out", Path("/out")),
        ("s3://bucket", Bucket("s3", "bucket", "")),
        ("S3://bucket/", Bucket("s3", "bucket", "")),
        ("s3://my.bucket/a b/ü/", Bucket("s3", "my.bucket", "a b/ü")),
        ("gs://bucket_1/x", Bucket("gs", "bucket_1", "x")),
        ("az://container/x/y", Bucket("az", "container", "x/y")),
        ("supabase://abcdefghijklmnopqrst/crops/x", Bucket("supabase", "crops", "x", "abcdefghijklmnopqrst")),
    ],
)
def test_places(url: str, expected: Bucket | Path) -> None:
    assert parse_location(url) == expected
    if isinstance(expected, Bucket):
        assert parse_location(expected.shown) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a\0b",
        "ftp://host/x",
        "https://bucket.s3.amazonaws.com/x",
        "s3:bucket",
        "supabase:/x",
        "s3://",
        "s3:///x",
        f"s3://KEY:{PLANTED}@bucket/x",
        f"s3://planted:{PLANTED.replace('/', '')}@bucket/x",
        "s3://bucket:9000/x",
        "s3://bucket?secret=planted",
        "s3://bucket/x?secret=planted",
        "s3://bucket/x#planted",
        "s3://bucket/a/../b",
        "s3://bucket/a//b",
        "s3://bucket/a\\b",
        "s3://-bucket",
        "s3://buc ket",
        "supabase://project",
        "supabase://Project/bucket",
        "supabase:///bucket",
        "file://server/share",
        "file:relative",
        "file://",
    ],
)
def test_places_that_are_none(url: str) -> None:
    with pytest.raises(OptionError) as caught:
        open_store(url)
    assert "planted" not in str(caught.value)


@given(st.text(max_size=60) | st.text(max_size=30).map(lambda text: f"s3://{text}"))
def test_any_place_is_read_or_refused(url: str) -> None:
    with contextlib.suppress(OptionError):
        place = parse_location(url)
        assert isinstance(place, Path) or place.shown.isprintable()


def test_a_folder_has_no_addresses_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="signed"):
        open_store(tmp_path, StoreOptions(urls="signed"))
    with pytest.raises(OptionError, match="public_base_url"):
        open_store(tmp_path, StoreOptions(urls="public"))


@pytest.mark.parametrize(
    "more",
    [
        {"urls": "secret"},
        {"signed_url_s": 8 * 24 * 3600},
        {"signed_url_s": float("nan")},
        {"timeout_s": 0},
        {"max_retries": -1},
        {"max_concurrency": True},
        {"retry_timeout_s": 0},
        {"public_base_url": "shop.example"},
        {"public_base_url": "https://shop.example/?x"},
        {"endpoint_url": "ftp://host"},
        {"endpoint_url": "http://minio.example:9000"},
        {"endpoint_url": "https://"},
        {"endpoint_url": "https://[::1"},
        {"endpoint_url": f"https://{PLANTED.replace('/', '')}@host"},
    ],
)
def test_options_outside_their_range(more: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(more))) as caught:
        StoreOptions(**more)
    assert "planted" not in str(caught.value)


def test_an_endpoint_without_tls_is_for_this_machine_or_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    StoreOptions(endpoint_url="http://localhost:9000")
    StoreOptions(endpoint_url="http://[::1]:9000")
    StoreOptions(endpoint_url="http://minio.example:9000", allow_http=True)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio.example:9000")
    with pytest.raises(OptionError, match="not encrypted"):
        open_store("s3://bucket")


def test_secrets_show_in_no_repr() -> None:
    options = StoreOptions(
        secret_access_key=SecretStr(PLANTED),
        session_token=PLANTED,  # type: ignore[arg-type]  # a plain text is taken, and hidden
        account_key=SecretStr(PLANTED),
        sas_token=SecretStr(PLANTED),
    )
    assert "planted" not in f"{options!r}{options}"


# --- addresses on the web ---------------------------------------------------------------------------------------------

KEYS: dict[str, Any] = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": SecretStr(PLANTED), "region": "eu-west-3"}
PUBLIC = StoreOptions(urls="public", **KEYS)


@pytest.mark.parametrize(
    ("place", "options", "url"),
    [
        ("s3://bucket/a b", PUBLIC, "https://bucket.s3.eu-west-3.amazonaws.com/a%20b/x%20y.jpg"),
        ("s3://my.bucket", PUBLIC, "https://s3.eu-west-3.amazonaws.com/my.bucket/x%20y.jpg"),
        ("s3://bucket", StoreOptions(urls="public", endpoint_url="https://minio.example/"), "https://minio.example/bucket/x%20y.jpg"),
        ("s3://bucket/p", StoreOptions(urls="public", public_base_url="https://cdn.example/p"), "https://cdn.example/p/x%20y.jpg"),
        ("s3://bucket/p", StoreOptions(), "s3://bucket/p/x y.jpg"),
        ("gs://bucket/p", PUBLIC, "https://storage.googleapis.com/bucket/p/x%20y.jpg"),
        ("az://container", StoreOptions(urls="public", account_name="acc"), "https://acc.blob.core.windows.net/container/x%20y.jpg"),
        ("supabase://ref/crops", PUBLIC, "https://ref.supabase.co/storage/v1/object/public/crops/x%20y.jpg"),
    ],
)  # fmt: skip
async def test_where_others_find_an_object(place: str, options: StoreOptions, url: str) -> None:
    store = open_store(place, options)
    assert store.place_of("x y.jpg") == await store.url_of("x y.jpg") == url


async def test_azure_signs_and_google_is_opened() -> None:
    """Neither is asked: there is no such server here."""
    options = StoreOptions(urls="signed", account_name="acc", account_key=SecretStr("cGxhbnRlZA=="))
    url = urlsplit(await open_store("az://container/p", options).url_of("x y.jpg"))
    assert (url.netloc, url.path) == ("acc.blob.core.windows.net", "/container/p/x%20y.jpg")
    assert "sig=" in url.query
    assert repr(open_store("gs://bucket/p")) == "ObjectStore(gs://bucket/p)"


@pytest.mark.parametrize(
    ("place", "options", "words"),
    [
        ("az://container", {"urls": "public"}, "account_name"),
        ("az://container", {"account_name": "acc", "account_key": SecretStr("no base64 planted")}, "cannot be opened"),
        ("az://container", {"account_name": "acc", "sas_token": SecretStr("planted")}, "cannot be opened"),
        ("az://container", {}, "cannot be opened"),
        ("gs://bucket", {"credentials_file": Path("/nowhere/planted.json")}, "cannot be opened"),
        ("s3://bucket", {"access_key_id": "planted"}, "cannot be opened"),
        ("supabase://ref/bucket", {"access_key_id": "a", "secret_access_key": SecretStr("planted")}, "region"),
    ],
)
def test_options_that_do_not_fit_the_provider(place: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        open_store(place, StoreOptions(**options))
    error: BaseException | None = caught.value
    while error is not None:
        assert "planted" not in f"{error!r}"
        error = error.__cause__ or error.__context__


def test_without_the_extra_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "fashioncrop.storing.objects", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(OptionError, match=r"pip install 'fashioncrop\[storage\]'"):
        open_store("s3://bucket")
    open_store(tmp_path)
