"""Databases that are not there, do not let in, lack something, or are of another version: a sentence each."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import threading
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import errors as postgres_errors

from fashioncrop._postgres.places import Place
from fashioncrop.cataloguing import _database, _migrating, problems
from fashioncrop.cataloguing._database import HEAD, Database, Transaction
from fashioncrop.cataloguing.catalogue import open_catalogue
from fashioncrop.errors import CatalogueError, NoCatalogueError
from planted import DIMENSION, MODEL, at_angle, entry, eventually, is_alive, planted

PASSWORD = "PLANTED-hidden"  # noqa: S105 - looked for in what is told
_guests = count()

Guest = Callable[..., Place]


@pytest.fixture
def guest(postgres: str) -> Guest:
    """A user without rights who comes with a password: `guest(url, "CREATE ON DATABASE ...")`."""
    folder = Path(re.search(r"host='(.*)/socket'", postgres)[1]) / "data"  # type: ignore[index]
    name = f"guest_{next(_guests)}"

    def make(url: str, *grants: str, password: str = PASSWORD) -> Place:
        database = url.rpartition("=")[2]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'".encode())
            for grant in grants:
                connection.execute(f"GRANT {grant} TO {name}".encode())
            access = folder / "pg_hba.conf"
            access.write_text(f"local all {name} scram-sha-256\n{access.read_text()}")
            connection.execute(b"SELECT pg_reload_conf()")
        other = url.replace("user=fashioncrop", f"user={name} password={password}")
        return Place(f"here/{database}", url=other)

    return make


async def problem_of(place: Place, *, create: bool = True, kind: type[CatalogueError] = CatalogueError) -> str:
    with pytest.raises(kind) as caught:
        async with open_catalogue(place, create=create):
            pass
    told = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in told
    return str(caught.value)


async def test_an_address_where_nobody_is(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for url, words in (
        (f"postgresql://jo:{PASSWORD}@127.0.0.1:{port}/shop", "nobody answers there. Check host and port"),
        (f"postgresql://jo:{PASSWORD}@nobody.invalid/shop", "has a host that nobody knows"),
        (f"postgresql://jo@/shop?host={tmp_path}", "nobody answers there"),
    ):
        assert words in await problem_of(Place("there/shop", url=url))


async def test_something_else_that_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        port = listening.getsockname()[1]
        url = f"postgresql://jo:{PASSWORD}@127.0.0.1:{port}/shop?sslmode=disable"
        assert "The database there/shop " in await problem_of(Place("there/shop", url=url))
        thread.join()


async def test_nobody_who_answers_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        url = f"postgresql://jo@127.0.0.1:{port}/shop?connect_timeout=1&sslmode=disable"
        assert "did not answer in time" in await problem_of(Place("there/shop", url=url))


async def test_a_wrong_password_and_a_wrong_name(place: Place, postgres: str, guest: Guest) -> None:
    wrong = guest(str(place.url), password=PASSWORD[:-1])
    assert "refuses the user or the password" in await problem_of(wrong)
    assert "does not have this database" in await problem_of(Place("here/none", url=f"{postgres} dbname=none"))
    stranger = str(place.url).replace("user=fashioncrop", "user=stranger")
    assert "does not let this user in" in await problem_of(Place("here", url=stranger))


async def test_no_rights_to_make_one(bare: str, guest: Guest) -> None:
    problem = await problem_of(guest(bare))
    assert "does not allow this user to do that: permission denied for database" in problem
    assert problem.endswith("Give the user the right, or use another.")


async def test_no_rights_in_one_that_is_there(place: Place, guest: Guest) -> None:
    assert "permission denied for schema fashioncrop" in await problem_of(guest(str(place.url)), create=False)


async def test_rights_to_read_are_enough_to_search(place: Place, guest: Guest) -> None:
    async with open_catalogue(place) as catalogue:
        space = await catalogue.make_space(MODEL, DIMENSION)
        await catalogue.put(entry("/a.jpg", planted(0, at_angle(0))), space)
    reader = guest(str(place.url), "USAGE ON SCHEMA fashioncrop", "SELECT ON ALL TABLES IN SCHEMA fashioncrop")
    async with open_catalogue(reader) as catalogue:
        assert [photo.source for photo in await catalogue.search(space, at_angle(0))] == ["/a.jpg"]
        assert (await catalogue.overview()).spaces[0].garments == 1
        with pytest.raises(CatalogueError, match="permission denied for table photo"):
            await catalogue.put(entry("/b.jpg"), space)


async def test_no_extension(bare: str) -> None:
    # What a server without pgvector says: it does not find its files.
    with psycopg.connect(bare, autocommit=True) as connection:
        name = bare.rpartition("=")[2]
        connection.execute(f"ALTER DATABASE {name} SET extension_control_path = '/nowhere'".encode())
    problem = await problem_of(Place("here/bare", url=bare))
    assert 'does not have pgvector: extension "vector" is not available' in problem
    assert "Install pgvector 0.8 or newer" in problem
    with psycopg.connect(bare) as connection:
        assert connection.execute("SELECT to_regnamespace('fashioncrop')").fetchone() == (None,), "all or nothing"


async def test_an_old_extension_and_a_lost_one(place: Place) -> None:
    with psycopg.connect(str(place.url), autocommit=True) as connection:
        connection.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
    problem = await problem_of(place)
    assert "has pgvector 0.7.4, and filters need 0.8 or newer" in problem
    with psycopg.connect(str(place.url), autocommit=True) as connection:
        connection.execute("DROP EXTENSION vector CASCADE")
    assert "CREATE EXTENSION vector" in await problem_of(place)


async def test_an_extension_in_a_schema_of_its_own(bare: str) -> None:
    with psycopg.connect(bare, autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "Ex tensions"')
        connection.execute('CREATE EXTENSION vector SCHEMA "Ex tensions"')
    async with open_catalogue(Place("here", url=bare), create=True) as catalogue:
        space = await catalogue.make_space(MODEL, DIMENSION)
        await catalogue.put(entry("/a.jpg", planted(0, at_angle(0))), space)
        assert len(await catalogue.search(space, at_angle(0))) == 1


async def test_a_catalogue_that_is_not_there(bare: str, tmp_path: Path) -> None:
    for place in (Place("here/bare", url=bare), Place(str(tmp_path), tmp_path)):
        assert "There is no catalogue at" in await problem_of(place, create=False, kind=NoCatalogueError)
    assert list(tmp_path.iterdir()) == [], "asking makes none"  # noqa: ASYNC240 - a test may wait for a disk


async def test_a_catalogue_of_a_newer_version(place: Place) -> None:
    with psycopg.connect(str(place.url)) as connection:
        connection.execute("UPDATE fashioncrop.version SET version_num = '9999'")
    assert "made by a newer fashioncrop. Update this one" in await problem_of(place)


async def test_a_catalogue_without_any_step_is_brought_up_to_date(bare: str) -> None:
    """As one is that was interrupted between making its schema and its tables, in a tool without transactions."""
    with psycopg.connect(bare, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA fashioncrop")
        connection.execute("CREATE TABLE fashioncrop.version (version_num varchar(32) PRIMARY KEY)")
    async with open_catalogue(Place("here", url=bare), create=True) as catalogue:
        assert (await catalogue.overview()).schema == HEAD


async def _server_process(transaction: Transaction) -> int:
    row = await transaction.row("SELECT pg_backend_pid()")
    assert row is not None
    return int(row[0])


def _end(place: Place, process: int) -> None:
    with psycopg.connect(str(place.url), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 10000)", [process])


async def test_a_connection_that_breaks_is_made_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(str(place.url), place.shown)
    try:
        async with database.transaction() as transaction:
            process = await _server_process(transaction)
        _end(place, process)
        with pytest.raises(CatalogueError, match=r"Run it again; what was stored is kept"):
            await database.version()
        assert await database.version() == HEAD
        monkeypatch.setattr(_database, "_TRUSTED_FOR_S", 0.0)
        async with database.transaction() as transaction:
            process = await _server_process(transaction)
        _end(place, process)
        assert await database.version() == HEAD, "one that broke while nobody used it is not given to anybody"
    finally:
        await database.close()


async def test_so_many_are_asked_at_a_time_and_no_more(place: Place) -> None:
    database = Database(str(place.url), place.shown, connections=2)
    inside, most, processes = 0, 0, set()

    async def ask() -> None:
        nonlocal inside, most
        async with database.transaction() as transaction:
            inside += 1
            most = max(most, inside)
            processes.add(await _server_process(transaction))
            await transaction.run("SELECT pg_sleep(0.02)")
            inside -= 1

    try:
        await asyncio.gather(*(ask() for _ in range(8)))
        assert (most, len(processes)) == (2, 2), "connections are used again"
    finally:
        await database.close()


async def test_a_query_that_nobody_waits_for_ends_and_its_connection_harms_nobody(place: Place) -> None:
    database = Database(str(place.url), place.shown)
    try:
        begun = asyncio.Event()

        async def wait() -> None:
            async with database.transaction() as transaction:
                begun.set()
                await transaction.run("SELECT pg_sleep(60)")

        task = asyncio.create_task(wait())
        await begun.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await database.version() == HEAD
        with psycopg.connect(str(place.url)) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active'"
            assert connection.execute(f"{query} AND pid <> pg_backend_pid()".encode()).fetchone() == (0,)
    finally:
        await database.close()


async def test_an_embedded_one_that_died_is_started_again(folder: Path) -> None:
    place = Place(str(folder), folder)
    async with open_catalogue(place, create=True, connections=2) as catalogue:
        assert await catalogue.spaces() == []
        process = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(process, signal.SIGKILL)
        eventually(lambda: not is_alive(process), "it was killed")
        with pytest.raises(CatalogueError):
            await catalogue.spaces()  # the connection was used a moment ago
        assert await catalogue.spaces() == []


def test_the_newest_step_is_known() -> None:
    config = Config()
    config.set_main_option("script_location", str(_migrating._FOLDER))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_every_state_that_is_named_is_one_of_postgresqls() -> None:
    for state in problems._BY_STATE:
        assert postgres_errors.lookup(state).sqlstate == state


@pytest.mark.parametrize(
    "kind", [psycopg.Error, *psycopg.Error.__subclasses__(), *psycopg.DatabaseError.__subclasses__()]
)
async def test_whatever_psycopg_raises_becomes_a_sentence(kind: type[psycopg.Error], place: Place) -> None:
    database = Database(str(place.url), "here/shop")
    with pytest.raises(CatalogueError, match="The database here/shop "), database._told():
        raise kind("words")


def test_words_of_a_server_are_quoted_in_one_line() -> None:
    told = str(problems.in_use("here", "99999", "first\nsecond\x1b[2J" + "x" * 500))
    assert told.startswith("The database here failed (99999): first second [2Jxxx")
    assert len(told) < 300
    for text, words in (
        ("FATAL: no such thing", "cannot be connected to. Check address, user and rights"),
        ("server does not support SSL, but SSL was required", "offers no encryption"),
        ("FATAL:  sorry, too many clients already", "has no connection left"),
    ):
        assert words in str(problems.at_connection("here", text))
