"""Settings from flags, variables and files: who wins, what is refused, and what is never shown."""

from __future__ import annotations

import json
import pickle
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fashioncrop._client import find_server_url
from fashioncrop._embedded.state import default_state_folder
from fashioncrop.errors import OptionError
from fashioncrop.settings import Settings, effective, load_settings, render_config
from fashioncrop.settings._declaration import flag, variable
from settings_samples import BAD, OF_OTHERS, SECRETS, VALUES, forget_settings, write_settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_settings(monkeypatch, tmp_path)


def as_variable(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def plain(value: Any) -> Any:  # noqa: ANN401 - any setting
    value = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value


def test_every_setting_is_tried_here() -> None:
    assert list(VALUES) == list(Settings.model_fields)
    assert all(field.description for field in Settings.model_fields.values())


def can_be_in(place: str, name: str) -> bool:
    return name not in SECRETS if place == "flag" else name in OF_OTHERS if place == "other" else True


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_strongest_place_wins(data: st.DataObject, tmp_path: Path) -> None:
    places = ("flag", "variable", "other", "project", "user")
    layers: dict[str, dict[str, Any]] = {}
    for place in places:
        has = {name: VALUES[name] for name in Settings.model_fields if can_be_in(place, name)}
        layers[place] = data.draw(st.fixed_dictionaries({}, optional=has), label=place)
    files = {
        place: tmp_path / name
        for place, name in (("project", "fashioncrop.toml"), ("user", "config/fashioncrop/config.toml"))
    }
    for place, file in files.items():
        write_settings(layers[place], path=file)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in layers["variable"].items():
            patch.setenv(f"FASHIONCROP_{name.upper()}", as_variable(value))
        for name, value in layers["other"].items():
            patch.setenv(OF_OTHERS[name], value)
        found = load_settings(layers["flag"])
    for name, field in Settings.model_fields.items():
        place = next((place for place in places if name in layers[place]), "default")
        assert plain(getattr(found, name)) == (layers[place][name] if place in layers else field.default), name
        assert (
            found.origin(name)
            == {
                "flag": flag(name),
                "variable": variable(name),
                "other": OF_OTHERS.get(name),
                "default": "default",
                **{place: str(file) for place, file in files.items()},
            }[place]
        )
    assert found.files == tuple(files.values())
    assert found.warnings == ()


def test_one_file_can_be_named_instead_of_the_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings({"threshold": 0.1, "max_garments": 1})
    values = {"threshold": 0.2, "prices": "prices.json", "cache_dir": "/kept"}
    named = write_settings(values, path=tmp_path / "else" / "mine.toml")
    monkeypatch.setenv("FASHIONCROP_CONFIG", str(named))
    found = load_settings()
    assert (found.threshold, found.max_garments, found.files) == (0.2, None, (named,))
    assert found.prices == tmp_path / "else" / "prices.json", "what a file names lies beside it"
    assert found.cache_dir == Path("/kept")
    monkeypatch.setenv("FASHIONCROP_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(OptionError, match=r"none\.toml cannot be read: No such file"):
        load_settings()
    monkeypatch.setenv("FASHIONCROP_CONFIG", "")
    assert load_settings().threshold == 0.1


def test_the_user_s_file_is_where_xdg_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    own = write_settings({"threshold": 0.3}, path=tmp_path / "home" / ".config" / "fashioncrop" / "config.toml")
    for relative in ("", "config"):
        monkeypatch.setenv("XDG_CONFIG_HOME", relative)
        assert load_settings().origin("threshold") == str(own)

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert load_settings().files == ()


def test_paths_of_a_user_begin_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jo")
    write_settings({"prices": "~/prices.json"})
    assert load_settings({"cache_dir": Path("~/kept")}).cache_dir == Path("/home/jo/kept")
    assert load_settings().prices == Path("/home/jo/prices.json")


def test_variables_that_others_read_keep_their_meaning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CACHE", "STATE"):
        monkeypatch.setenv(f"FASHIONCROP_{name}", str(tmp_path / name))
        assert f"FASHIONCROP_{name}" not in {variable(name) for name in Settings.model_fields}
    monkeypatch.setenv("FASHIONCROP_URL", "host:8001")
    found = load_settings()
    assert (found.url, found.caching, found.cache_dir, found.warnings) == ("host:8001", True, None, ())
    assert find_server_url(found.url) == find_server_url(None) == "host:8001"
    assert default_state_folder().folder == tmp_path / "STATE"
    monkeypatch.setenv("FASHIONCROP_URL", "")
    assert load_settings().url is None, "an empty variable is none"


def test_a_variable_that_is_nearly_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHIONCROP_TRESHOLD", "0.5")
    monkeypatch.setenv("FASHIONCROP_OWN_AFFAIR", "1")
    assert load_settings().warnings == (
        "FASHIONCROP_TRESHOLD is no setting and was not read. Is FASHIONCROP_THRESHOLD meant?",
    )


@pytest.mark.parametrize(
    ("found", "describing"),
    [({}, "off"), ({"openai_api_key": "k"}, "hybrid"), ({"base_url": "http://here"}, "hybrid")],
)
def test_auto_describes_where_somebody_can(found: dict[str, Any], describing: str) -> None:
    assert Settings(**found).describing == describing
    assert Settings(**found, mode="vision").describing == "vision"
    assert ("mode", f"auto: {describing}", "default") in effective(Settings(**found))


def test_phrases_are_separated_by_commas_full_stops_and_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ("shirt", "leather bag", "hat")
    assert load_settings({"vocabulary": ["shirt. leather bag", "hat\n"]}).vocabulary == wanted
    monkeypatch.setenv("FASHIONCROP_VOCABULARY", "shirt,leather bag, hat.")
    assert load_settings().vocabulary == wanted
    monkeypatch.delenv("FASHIONCROP_VOCABULARY")
    for value in (["shirt", "leather bag", "hat"], "shirt, leather bag, hat"):
        write_settings({"vocabulary": value})
        assert load_settings().vocabulary == wanted


@pytest.mark.parametrize(("name", "value", "words"), BAD)
def test_a_bad_value_names_its_place_and_what_is_allowed(
    name: str, value: object, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_settings({name: value})
    told = [refused(rf"^{name} in {file} {words}")]
    file.unlink()
    if value:
        monkeypatch.setenv(variable(name), str(value))
        told.append(refused(rf"^{variable(name)} {words}"))
    if name not in SECRETS:
        told.append(refused(rf"^{flag(name)} {words}", {name: value}))
    assert not any("hidden" in text for text in told)


def refused(words: str, flags: Mapping[str, Any] | None = None) -> str:
    with pytest.raises(OptionError, match=words) as caught:
        load_settings(flags)
    assert caught.value.__cause__ is caught.value.__context__ is None, "a cause would carry every value"
    return "".join(traceback.format_exception(caught.value))


def test_all_that_is_wrong_is_told_at_once_and_what_is_overruled_is_not() -> None:
    write_settings({"threshold": 7, "mode": "?", "timeout_s": -1})
    with pytest.raises(OptionError, match=r"^timeout_s in .*\. threshold in .*\. --mode must"):
        load_settings({"mode": "!"})
    assert load_settings({"threshold": 0.5, "mode": "off", "timeout_s": 3}).threshold == 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "treshold = 1",
            r"fashioncrop\.toml has a key that is no setting: treshold\. Is threshold meant\? Allowed are url",
        ),
        ("[describer]\nmodel = 'x'", r"no setting: describer\. "),
        ('"a\\u001b[31m" = 1', r"no setting: a\?\[31m\. Allowed"),
        ("threshold", r"fashioncrop\.toml is no TOML file: .*document"),
        ("mode = off", "is no TOML file"),
        ("threshold = {}", "threshold in .* must be a number from 0 to 1"),
        ("vocabulary = [1]", "vocabulary in .* must be a list of texts"),
        ("prices = 5", "prices in .* must be a path"),
    ],
)
def test_a_file_that_is_wrong_is_a_sentence(text: str, words: str) -> None:
    write_settings(text=text)
    with pytest.raises(OptionError, match=words):
        load_settings()


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "fashioncrop.toml"
    file.write_bytes(b"url = '\xff'")
    with pytest.raises(OptionError, match="not UTF-8"):
        load_settings()
    file.unlink()
    file.mkdir()
    with pytest.raises(OptionError, match="cannot be read: Is a directory"):
        load_settings()
    with pytest.raises(OptionError, match="The command line has a key that is no setting: unheard"):
        load_settings({"unheard": 1}, folder=tmp_path / "none")


def test_the_rendering_is_a_table_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_settings(
        {"base_url": "http://localhost:8000/v1?secret=1", "vocabulary": ["r\u00f6d [b]kl\u00e4nning[/b]\u202e"]}
    )
    monkeypatch.setenv("FASHIONCROP_CACHING", "off")
    found = load_settings({"threshold": 0.5})
    rows = {name: (shown, source) for name, shown, source in effective(found)}
    assert rows["base_url"] == ("http://localhost:8000/v1", str(file))
    assert rows["caching"] == ("no", "FASHIONCROP_CACHING")
    assert rows["threshold"] == ("0.5", "--threshold")
    assert rows["vocabulary"][0] == "r\u00f6d [b]kl\u00e4nning[/b]?"
    table = render_config(found, width=200)
    assert all(value in table for row in rows.values() for value in row)
    document = json.loads(render_config(found, as_json=True))
    assert document["files"] == [str(file)]
    assert [row["name"] for row in document["settings"]] == list(rows)
    assert next(row for row in document["settings"] if row["name"] == "threshold") == {
        "name": "threshold",
        "value": 0.5,
        "source": "--threshold",
        "variable": "FASHIONCROP_THRESHOLD",
        "flag": "--threshold",
        "secret": False,
    }


def test_settings_cannot_be_changed_and_can_be_pickled() -> None:
    found = Settings(threshold=0.5)
    with pytest.raises(ValueError, match="frozen"):
        found.threshold = 0.6
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - made here
