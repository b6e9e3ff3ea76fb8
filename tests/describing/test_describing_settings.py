"""Settings: what is out of range says so, and the key shows nowhere."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pydantic import SecretStr

from fashioncrop.describing import DescriberSettings
from fashioncrop.errors import CredentialError, OptionError

KEY = "sk-planted-4Wq9ZkT2vXb7Lr1N"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", ""),
        ("model", "a\nb"),
        ("model", "x" * 201),
        ("base_url", "ftp://example.com"),
        ("base_url", "example.com/v1"),
        ("base_url", "https://"),
        ("base_url", "https://host:99999/v1"),
        ("base_url", "https://ho st/v1"),
        ("base_url", f"https://user:{KEY}@example.com/v1"),
        ("base_url", f"https://example.com/v1?key={KEY}"),
        ("base_url", f"https://example.com/v1#{KEY}"),
        ("detail", "auto"),
        ("max_concurrency", 0),
        ("max_concurrency", True),
        ("timeout_s", 0),
        ("timeout_s", float("inf")),
        ("timeout_s", float("nan")),
        ("max_retries", -1),
        ("max_wait_s", -1),
        ("max_output_tokens", 0),
        ("temperature", 2.5),
        ("temperature", float("nan")),
        ("language", " "),
        ("language", "x" * 41),
    ],
)
def test_what_is_out_of_range_is_named(field: str, value: Any) -> None:  # noqa: ANN401 - anything at all
    with pytest.raises(OptionError, match=field) as caught:
        DescriberSettings(**{field: value})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", [f"{KEY} x", f"{KEY}\n{KEY}", "schlüssel", "a\x00b"])
def test_a_key_that_is_none_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(CredentialError) as caught:
        DescriberSettings(api_key=SecretStr(key))
    assert key not in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", [KEY, SecretStr(KEY), SecretStr(f"  {KEY}\n")])
def test_a_key_is_kept_but_not_shown(key: Any) -> None:  # noqa: ANN401 - a text by mistake too
    settings = DescriberSettings(api_key=key)
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == KEY
    for shown in (repr(settings), str(settings), str(dataclasses.asdict(settings)), str(vars(settings))):
        assert KEY not in shown


def test_no_key_is_no_key() -> None:
    assert DescriberSettings(api_key=SecretStr(" ")).api_key is None


@pytest.mark.parametrize(
    ("base_url", "url", "is_openai", "is_here"),
    [
        (None, "https://api.openai.com/v1", True, False),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1", True, False),
        ("http://localhost:8000/v1", "http://localhost:8000/v1", False, True),
        ("http://127.0.0.2:8000", "http://127.0.0.2:8000", False, True),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1", False, True),
        ("https://api.openai.com.example.com/v1", "https://api.openai.com.example.com/v1", False, False),
    ],
)
def test_an_endpoint_is_known_by_its_host(base_url: str | None, url: str, *, is_openai: bool, is_here: bool) -> None:
    settings = DescriberSettings(base_url=base_url)
    assert settings.url == url
    assert settings.is_openai() == is_openai
    assert settings.is_this_machine() == is_here
