"""Where a catalogue is, told without telling a password."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import pytest

from fashioncrop._postgres.places import default_folder
from fashioncrop.cataloguing import parse_place
from fashioncrop.cataloguing._database import _checked
from fashioncrop.errors import OptionError

SECRET = "PLANTED-hidden"  # noqa: S105 - looked for in what is told


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (f"postgresql://jo:{SECRET}@db.example:6543/shop?sslmode=require", "db.example:6543/shop"),
        (f"postgres://jo:{SECRET}@[::1]/shop", "[::1]/shop"),
        (f"postgresql://jo:{SECRET}@one:1,two:2/shop", "one:1,two:2/shop"),
        ("postgresql://db.example", "db.example/"),
        ("postgresql:///shop?host=/run/postgresql&user=jo", "/run/postgresql/shop"),
        ("postgresql:///shop", "this machine/shop"),
    ],
)
def test_of_a_database_host_port_and_name_are_shown(given: str, shown: str) -> None:
    place = parse_place(given)
    assert (place.shown, place.url, place.folder, place.is_there) == (shown, given, None, True)
    assert SECRET not in repr(place)


@pytest.mark.parametrize(
    "given",
    [
        "",
        " \t",
        "\x1b[2J",
        f"mysql://jo:{SECRET}@host/db",
        f"postgresql:jo:{SECRET}@host/db",
        f"postgresql://jo:{SECRET}/x@host/db",  # a slash in the password
        "postgresql://jo:123/PLANTED-hidden@host/db",
        f"postgresql://host:port{SECRET}/db",
        f"postgresql://host/db/{SECRET}",
    ],
)
def test_what_is_no_place_is_refused_and_not_quoted(given: str) -> None:
    with pytest.raises(OptionError, match=r"postgresql://USER:PASSWORD@HOST") as caught:
        parse_place(given)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_folder_is_an_embedded_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/jo")
    for given, folder in (("/some/where", "/some/where"), ("~/here", "/home/jo/here"), ("here", f"{tmp_path}/here")):
        place = parse_place(given)
        assert (place.folder, place.shown, place.is_there) == (Path(folder), folder, False)
    (tmp_path / "here" / "data").mkdir(parents=True)
    assert parse_place("here").is_there


def test_by_default_it_is_in_the_users_own_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FASHIONCROP_STATE", str(tmp_path))
    assert parse_place(None).folder == tmp_path / "catalogue"
    monkeypatch.delenv("FASHIONCROP_STATE")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert default_folder() == Path("/data/fashioncrop/catalogue")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/jo")
    assert default_folder() == Path("/home/jo/.local/share/fashioncrop/catalogue")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_folder() == Path("/var/lib/fashioncrop/catalogue"), "nobody may enter root's home"


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ("postgresql://db.example/shop", "require"),
        ("postgresql://10.0.0.7/shop", "require"),
        ("postgresql://localhost,db.example/shop", "require"),
        ("postgresql://db.example/shop?sslmode=disable", "disable"),
        ("postgresql://127.0.0.1/shop", ""),
        ("postgresql://[::1]/shop", ""),
        ("postgresql:///shop?host=/run/postgresql", ""),
        ("postgresql:///shop", ""),
    ],
)
def test_on_the_way_to_another_machine_nobody_reads_along(
    given: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGHOST", "PGSSLMODE"):
        monkeypatch.delenv(name, raising=False)
    assert re.findall(r"sslmode=(\w+)", _checked(given)) == [mode] * bool(mode)
    assert "connect_timeout=" in _checked(given)


def test_the_environment_of_libpq_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    monkeypatch.delenv("PGSSLMODE", raising=False)
    assert "sslmode=require" in _checked("postgresql:///shop")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert "sslmode" not in _checked("postgresql:///shop")


def test_what_libpq_cannot_read_is_not_quoted() -> None:
    with pytest.raises(OptionError, match="cannot be read") as caught:
        _checked(f"postgresql://host/db?pass word={SECRET}")
    assert SECRET not in "".join(traceback.format_exception(caught.value))
