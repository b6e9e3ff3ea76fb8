"""Keys: hashed at rest, shown once, good until they are not, and read anew when the file changes."""

from __future__ import annotations

import datetime as dt
import hmac
import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fashioncrop.cli import app
from fashioncrop.errors import OptionError, OutputError
from fashioncrop.gateway.keys import KeyFile, KeyRefusedError, Scope, default_keys_file


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "deep" / "keys.json")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments])


def test_a_key_is_good_for_its_scopes_and_only_its_hash_is_kept(file: KeyFile) -> None:
    record, key = file.create("shop", [Scope.ANALYZE, Scope.ANALYZE, Scope.METRICS])
    assert key.startswith(f"fck_{record.id}_")
    assert record.scopes == ("analyze", "metrics")
    text = file.path.read_text()
    assert key not in text
    assert key.rpartition("_")[2] not in text
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    caller = KeyFile(file.path).caller(key)
    assert (caller.id, caller.name) == (record.id, "shop")
    assert caller.scopes == {Scope.ANALYZE, Scope.METRICS}


@pytest.mark.parametrize("change", ["", "x", "fck_", "other id", "other secret", "longer", "\u1234", "half"])
def test_what_is_no_key_here_is_refused_alike(file: KeyFile, change: str) -> None:
    record, key = file.create("shop", [Scope.ANALYZE])
    _, other = file.create("other", [Scope.ANALYZE])
    given = {
        "other id": key.replace(record.id, "0" * 12),
        "other secret": key[:17] + other[17:],
        "longer": key + "A",
        "half": key[:30],
    }.get(change, change)
    with pytest.raises(KeyRefusedError, match="not known here") as caught:
        file.caller(given)
    assert key not in str(caught.value)


@pytest.mark.parametrize("given", ["none of them", "fck_000000000000_" + "A" * 43])
def test_hashes_are_compared_in_constant_time_even_where_there_is_no_such_key(
    file: KeyFile, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.create("shop", [Scope.ANALYZE])
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    with pytest.raises(KeyRefusedError):
        file.caller(given)
    assert [tuple(map(len, pair)) for pair in compared] == [(64, 64)]


def test_a_key_ends_at_once_where_it_is_revoked_or_its_time_is_over(file: KeyFile) -> None:
    watching = KeyFile(file.path)
    record, key = file.create("shop", [Scope.ANALYZE])
    assert watching.caller(key).name == "shop"
    file.revoke(record.id)
    with pytest.raises(KeyRefusedError, match="was revoked"):
        watching.caller(key)
    assert file.revoke(record.id).revoked == file.records()[0].revoked
    _, old = file.create("old", [Scope.ANALYZE], expires=dt.datetime.now(dt.UTC) - dt.timedelta(days=1))
    with pytest.raises(KeyRefusedError, match="expired on 20"):
        watching.caller(old)
    _, young = file.create("young", [Scope.ANALYZE], expires=dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
    assert watching.caller(young).name == "young"
    with pytest.raises(OptionError, match="no key with this id"):
        file.revoke("nobody")


def test_a_scope_of_a_newer_version_grants_nothing(file: KeyFile) -> None:
    _, key = file.create("shop", [Scope.ANALYZE])
    document = json.loads(file.path.read_text())
    document["keys"][0]["scopes"] = ["everything", "analyze", "ADMIN"]
    file.path.write_text(json.dumps(document))
    assert file.caller(key).scopes == {Scope.ANALYZE}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"keys": [{"id": 1}]}', '{"keys": "fck_secret"}'])
def test_a_file_that_is_no_file_of_keys_lets_nobody_in(file: KeyFile, text: str) -> None:
    _, key = file.create("shop", [Scope.ANALYZE])
    assert file.caller(key)
    file.path.write_text(text)
    for _ in range(2):
        with pytest.raises(OptionError, match="cannot be read") as caught:
            file.caller(key)
        assert "secret" not in str(caught.value)
    with pytest.raises(OptionError, match="cannot be read"):
        file.create("another", [Scope.ANALYZE])
    assert file.path.read_text() == text, "nothing is lost that could be mended by hand"


def test_a_file_that_others_may_write_is_not_trusted(file: KeyFile) -> None:
    _, key = file.create("shop", [Scope.ADMIN])
    file.path.chmod(0o620)
    with pytest.raises(OptionError, match=r"chmod go-w"):
        KeyFile(file.path).caller(key)


def test_no_file_is_no_key_and_a_folder_in_the_way_is_told(file: KeyFile, tmp_path: Path) -> None:
    assert file.records() == ()
    with pytest.raises(KeyRefusedError):
        file.caller("fck_000000000000_" + "A" * 43)
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        KeyFile(tmp_path / "taken" / "keys.json").create("shop", [Scope.ANALYZE])
    (tmp_path / "folder" / "keys.json").mkdir(parents=True)
    with pytest.raises((OptionError, OutputError), match=r"cannot be (read|written)"):
        KeyFile(tmp_path / "folder" / "keys.json").create("shop", [Scope.ANALYZE])


def test_two_who_make_keys_at_a_time_lose_none(file: KeyFile) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda name: KeyFile(file.path).create(str(name), [Scope.ANALYZE])[1], range(24)))
    assert len(file.records()) == 24
    assert len({file.caller(key).id for key in made}) == 24


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 81])
def test_a_name_that_would_spoil_a_list_is_refused(file: KeyFile, name: str) -> None:
    with pytest.raises(OptionError, match="printable"):
        file.create(name, [Scope.ANALYZE])
    with pytest.raises(OptionError, match="needs a scope"):
        file.create("shop", [])


def test_the_file_is_beside_the_users_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_keys_file() == tmp_path / "fashioncrop" / "keys.json"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_keys_file() == tmp_path / ".config" / "fashioncrop" / "keys.json"


def test_the_command_makes_lists_and_revokes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    where = ("--keys-file", str(tmp_path / "keys.json"))
    made = run("create", "my shop", "--scope", "analyze", "--scope", "describe", "--days", "7", *where)
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    assert made.stdout.count("fck_") == 1
    assert "not shown again" in made.stderr
    assert run("create", "plain", *where).exit_code == 0
    listed = run("list", "--json", *where)
    records = json.loads(listed.stdout)
    assert [record["name"] for record in records] == ["my shop", "plain"]
    assert [record["scopes"] for record in records] == [["analyze", "describe"], ["analyze"]]
    assert "sha256" not in listed.stdout
    assert key not in listed.stdout
    table = run("list", *where).stdout
    assert "my shop" in table
    assert key not in table
    assert run("revoke", records[0]["id"], *where).exit_code == 0
    assert json.loads(run("list", "--json", *where).stdout)[0]["revoked"]


def test_what_is_no_scope_or_time_is_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for wrong in (["--scope", "everything"], ["--days", "0"], ["--days", "soon"]):
        assert run("create", "shop", *wrong).exit_code == 2
    assert run("create").exit_code == 2
    assert isinstance(run("revoke", "nobody", "--keys-file", "keys.json").exception, OptionError)


def test_keys_are_made_without_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('fastapi', 'uvicorn', 'limits', 'prometheus_client')))\n"
        f"sys.argv = ['fashioncrop', *sys.argv[1:], '--keys-file', {str(tmp_path / 'keys.json')!r}]\n"
        "from fashioncrop.cli import main; main()"
    )
    call = [sys.executable, "-c", code]
    done = subprocess.run([*call, "keys", "create", "shop"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fck_")
    serve = subprocess.run([*call, "serve"], capture_output=True, text=True, timeout=60, check=False)
    assert serve.returncode == 1
    assert serve.stderr.splitlines()[-1].endswith("pip install 'fashioncrop[gateway]'.")
