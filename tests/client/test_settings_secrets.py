"""Secrets appear in no output, go to nobody by accident, and have no flag."""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fashioncrop.errors import OptionError
from fashioncrop.settings import Settings, effective, load_settings, render_config
from fashioncrop.settings._declaration import flag, variable
from settings_samples import BAD, SECRETS, forget_settings, write_settings

PLANTED = {
    "openai_api_key": "sk-PLANTED-hidden-0123456789",
    "dinox_api_key": "PLANTED-hidden-9876543210",
    "cache_redis_url": "rediss://jo:PLANTED-hidden@redis.example:6379/0",
    "catalogue": "postgresql://jo:PLANTED-hidden@db.example:5432/shop",
    "jobs_database": "postgresql://jo:PLANTED-hidden@db.example:5432/jobs",
    "rate_limit_redis_url": "rediss://jo:PLANTED-hidden@redis.example:6379/1",
}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_settings(monkeypatch, tmp_path)


def shown(found: Settings) -> str:
    """All that is ever said of settings."""
    return "\n".join(
        [
            *(repr(found), f"{found}", repr(found.model_dump()), found.model_dump_json()),
            *(repr(effective(found)), render_config(found), render_config(found, as_json=True)),
            *(repr(vars(found)), repr(found.model_copy()), repr(found.warnings)),
        ]
    )


def hidden_in(text: str) -> bool:
    return not any(part in text for part in ("PLANTED", "hidden", "0123", "9876", "redis.example", "db.example", "jo:"))


def test_every_secret_is_planted() -> None:
    assert sorted(PLANTED) == sorted(SECRETS)


@pytest.mark.parametrize("place", ["file", "variable", "other", "argument"])
def test_secrets_are_used_and_never_shown(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if place == "file":
        write_settings(PLANTED, mode=0o644)
    for name, value in PLANTED.items():
        if place == "variable":
            monkeypatch.setenv(variable(name), value)
        if place == "other":
            monkeypatch.setenv(name.upper() if name.endswith("_api_key") else variable(name), value)
    found = Settings(**PLANTED) if place == "argument" else load_settings()  # type: ignore[arg-type]
    for name, value in PLANTED.items():
        assert getattr(found, name).get_secret_value() == value
    assert hidden_in(shown(found))
    rows = {name: said for name, said, _ in effective(found)}
    assert {rows[name] for name in PLANTED} == {"set"}
    assert {said for name, said, _ in effective(Settings()) if name in PLANTED} == {"not set"}
    values = {row["name"]: row["value"] for row in json.loads(render_config(found, as_json=True))["settings"]}
    assert {values[name] for name in PLANTED} == {"set"}


@pytest.mark.parametrize(("name", "value", "words"), BAD)
def test_an_error_beside_a_secret_does_not_show_it(name: str, value: object, words: str) -> None:
    del words
    planted: dict[str, Any] = {key: f"{secret} \u00fc" if name == key else secret for key, secret in PLANTED.items()}
    values = planted | ({} if name in SECRETS else {name: value})
    write_settings(values)
    with pytest.raises(OptionError) as caught:
        load_settings()
    assert hidden_in("".join(traceback.format_exception(caught.value)))
    assert caught.value.__context__ is None
    with pytest.raises(ValidationError) as bare:
        Settings(**values)
    assert hidden_in(str(bare.value))


@pytest.mark.parametrize("text", ["threshold = ", "openai_api_kee = 'sk-PLANTED'", "openai_api_key = 'sk-PLANTED"])
def test_a_file_that_is_wrong_does_not_show_its_secrets(text: str) -> None:
    write_settings(PLANTED, text=text)
    with pytest.raises(OptionError) as caught:
        load_settings()
    assert hidden_in("".join(traceback.format_exception(caught.value)))


def test_a_key_is_taken_without_the_space_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " key\n")
    key = load_settings().openai_api_key
    assert key is not None
    assert key.get_secret_value() == "key"


def test_secrets_have_no_flag() -> None:
    assert {flag(name) for name in SECRETS} == {""}


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o604, 0o644])
def test_a_file_of_secrets_that_others_can_read_is_told(mode: int, tmp_path: Path) -> None:
    file = write_settings({"threshold": 0.5}, path=tmp_path / "config" / "fashioncrop" / "config.toml", mode=mode)
    assert load_settings().warnings == ()
    write_settings({"openai_api_key": "k", "cache_redis_url": "redis://h"}, path=file, mode=mode)
    told = f"{file} holds cache_redis_url and openai_api_key, and other users of this machine can read it."
    told += f" Run: chmod 600 {file}"
    assert load_settings().warnings == ((told,) if mode & 0o044 else ())


@pytest.mark.parametrize(("key", "address"), [("openai_api_key", "base_url"), ("dinox_api_key", "dinox_base_url")])
def test_a_file_that_came_with_a_project_does_not_get_the_user_s_key(
    key: str, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = write_settings({address: "https://elsewhere.example/v1"})
    assert getattr(load_settings(), address) == "https://elsewhere.example/v1", "without a key there is none to lose"
    for origin in (variable(key), key.upper()):
        with monkeypatch.context() as patch:
            patch.setenv(origin, "k")
            with pytest.raises(OptionError, match=f"{file} sets {address}, and the key from {origin} would be sent"):
                load_settings()
    user = write_settings({key: "k"}, path=tmp_path / "config" / "fashioncrop" / "config.toml")
    with pytest.raises(OptionError, match=f"the key from {user} would be sent"):
        load_settings()
    assert getattr(load_settings({address: "https://mine.example"}), address) == "https://mine.example"
    with monkeypatch.context() as patch:
        patch.setenv("FASHIONCROP_CONFIG", str(file))
        patch.setenv(key.upper(), "k")
        assert getattr(load_settings(), address) == "https://elsewhere.example/v1", "it was chosen by name"
    for here in ("http://localhost:8000/v1", "http://127.0.0.1/v1", "http://[::1]/v1"):
        write_settings({address: here})
        assert getattr(load_settings(), address) == here
    write_settings({address: "https://elsewhere.example", key: "its-own"})
    assert getattr(load_settings(), key).get_secret_value() == "its-own"


def test_a_file_of_another_user_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = write_settings({"threshold": 0.5})
    of_a_stranger = list(file.stat())
    of_a_stranger[4] += 12345
    monkeypatch.setattr(os, "fstat", lambda _number: os.stat_result(of_a_stranger))
    with pytest.raises(OptionError, match=f"belongs to another user.*FASHIONCROP_CONFIG={tmp_path}/fashioncrop.toml"):
        load_settings()
    monkeypatch.setenv("FASHIONCROP_CONFIG", str(file))
    assert load_settings().threshold == 0.5
