"""The embedded PostgreSQL: made once, started by who comes first, shared, and stopped after who leaves last.

A folder holds all of it:

    data/           the database, its owner's only
    socket/         where it listens; there is no TCP port
    crops/          of the catalogue: the garments' crops
    postgres.log    what it says
    *.lock          who uses it, who starts it, whether it runs

The locks are the kernel's, so a `kill -9` of anybody, at any moment, leaves nothing that would have to be cleared away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fashioncrop._postgres.programs import MAJOR, Programs, find_programs
from fashioncrop.errors import EmbeddedDatabaseError

USER = "fashioncrop"
_KEEPER = Path(__file__).with_name("keeper.py")
_INITDB_WITHIN_S = 300
_READY_WITHIN_S = 600
"""A database that was killed reads its journal first."""
_LOCK_WITHIN_S = 900
_POLL_S = 0.02
_PORT = 5432
_MAX_SOCKET_BYTES = 107  # sun_path of Linux, without its end
_SHARED_BUFFERS_SHARE = 8
_MAX_SHARED_BUFFERS_MB = 2048
_ENTER = stat.S_IXOTH
_SHOWN_LINES = 3


@dataclass(frozen=True)
class _Owner:
    """Who the database runs as.

    Attributes:
        uid: user's number.
        gid: group's number.
        name: as the system knows the user.
    """

    uid: int
    gid: int
    name: str


class EmbeddedPostgres:
    """The database of one folder, for as long as this object holds it.

    >>> postgres = EmbeddedPostgres(folder)  # doctest: +SKIP
    >>> url = postgres.open()  # doctest: +SKIP
    >>> postgres.close()  # the last one to close it stops it  # doctest: +SKIP
    """

    def __init__(self, folder: Path, *, named_by: str = "FASHIONCROP_CATALOGUE") -> None:
        """Nothing is written or started yet.

        Args:
            folder: of the database.
            named_by: the variable that names another, for errors.
        """
        self._folder, self._named_by = folder, named_by
        self._users: IO[bytes] | None = None

    def open(self) -> str:
        """Start the database unless it runs, make it unless it is there; may be asked again where it has died.

        Returns:
            Where it is, as libpq's connection string. It stays so until `close`.

        Raises:
            EmbeddedDatabaseError: it cannot be made or started; the message says why.
        """
        programs = find_programs(self._named_by)
        owner = self._prepare(programs)
        users = (self._folder / "users.lock").open("ab")
        try:
            _lock(users, fcntl.LOCK_SH, f"{self._folder} is being shut down")
            with (self._folder / "start.lock").open("ab") as starting:
                _lock(starting, fcntl.LOCK_EX, f"Another process is starting the database in {self._folder}")
                self._start(programs, owner)
        except BaseException:
            users.close()
            raise
        before, self._users = self._users, users
        if before is not None:
            before.close()
        return f"host='{_escaped(self._folder / 'socket')}' port={_PORT} user={USER} dbname=postgres"

    def close(self) -> None:
        """Leave it; where nobody else uses it, it is shut down a moment later."""
        if self._users is not None:
            self._users.close()
            self._users = None

    def _prepare(self, programs: Programs) -> _Owner:
        """The folder and who its database belongs to."""
        folder = self._folder
        if "," in str(folder) or not str(folder).isprintable():
            raise EmbeddedDatabaseError(
                f"The path {str(folder)!r} has a comma or a sign that cannot be printed, which addresses of a database "
                f"cannot have. Choose another: {self._named_by}."
            )
        if len(os.fsencode(folder / "socket" / f".s.PGSQL.{_PORT}")) > _MAX_SOCKET_BYTES:
            raise EmbeddedDatabaseError(
                f"The path {folder} is too long for a socket in it. Choose a shorter one: {self._named_by}."
            )
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
            owner = self._owner()
            if os.geteuid() == 0:
                self._check_reachable(folder, owner)
                self._check_reachable(programs.postgres, owner)
            for name in ("socket", "crops"):
                (folder / name).mkdir(mode=0o700, exist_ok=True)
            if os.geteuid() == 0:
                os.chown(folder / "socket", owner.uid, owner.gid)
        except OSError as error:
            raise EmbeddedDatabaseError(
                f"The database's folder {error.filename or folder} cannot be written: {error.strerror}. Choose "
                f"another: {self._named_by}."
            ) from error
        return owner

    def _check_reachable(self, path: Path, owner: _Owner) -> None:
        """Refuse, rather than open them to everybody, folders that the database's user may not enter."""
        for folder in reversed(path.resolve().parents):
            status = folder.stat()
            may = (
                status.st_mode & stat.S_IXUSR
                if status.st_uid == owner.uid
                else status.st_mode & (stat.S_IXGRP if status.st_gid == owner.gid else _ENTER)
            )
            if not may:
                raise EmbeddedDatabaseError(
                    f"PostgreSQL does not run as root, and the user {owner.name}, as whom it would run, may not enter "
                    f"{folder}. Work as another user than root, choose another folder ({self._named_by}), or name a "
                    f"database: {self._named_by}=postgresql://..."
                )

    def _owner(self) -> _Owner:
        """Of what is there already; else who asks, or, as PostgreSQL does not run as root, one who has no rights."""
        data = self._folder / "data"
        uid = data.stat().st_uid if data.exists() else os.geteuid()
        if uid == 0:
            names = {entry.pw_name: entry for entry in pwd.getpwall()}
            entry = names.get("postgres") or names.get("nobody")
        else:
            entry = next((one for one in pwd.getpwall() if one.pw_uid == uid), None)
        if entry is None:
            raise EmbeddedDatabaseError(
                f"PostgreSQL cannot run as user {uid}, whom the system does not know by name. Be another user, or name "
                f"a database: {self._named_by}=postgresql://..."
            )
        if os.geteuid() not in {0, entry.pw_uid}:
            raise EmbeddedDatabaseError(
                f"The database in {self._folder} belongs to the user {entry.pw_name}. Be that user, or choose "
                f"another: {self._named_by}."
            )
        return _Owner(entry.pw_uid, entry.pw_gid, entry.pw_name)

    def _start(self, programs: Programs, owner: _Owner) -> None:
        """Start the server unless it runs; back when it answers."""
        end_s = time.monotonic() + _READY_WITHIN_S
        is_spawned = False
        while not self._answers():
            if not _is_held(self._folder / "server.lock"):
                if is_spawned:
                    raise EmbeddedDatabaseError(f"The embedded database does not start. {self._last_words()}")
                self._make(programs, owner)
                self._spawn(programs, owner)
                is_spawned = True
            if time.monotonic() > end_s:
                raise EmbeddedDatabaseError(f"The embedded database does not answer. {self._last_words()}")
            time.sleep(_POLL_S)

    def _answers(self) -> bool:
        """Has its keeper seen it answer, and is it still alive? One that was killed is there until it is collected."""
        try:
            pid = int((self._folder / "ready").read_text())
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            return False
        return state not in {"Z", "X"} and _is_held(self._folder / "server.lock")

    def _make(self, programs: Programs, owner: _Owner) -> None:
        """A new database, which is there as a whole or not at all."""
        data, beside = self._folder / "data", self._folder / "data.part"
        if data.exists():
            self._check_version(data)
            return
        try:
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(mode=0o700)
            if os.geteuid() == 0:
                os.chown(beside, owner.uid, owner.gid)
            done = subprocess.run(
                [
                    str(programs.initdb),
                    *("-D", str(beside), "-U", USER, "--auth=peer", "--encoding=UTF8", "--no-instructions"),
                    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),  # the same everywhere
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_INITDB_WITHIN_S,
                check=False,
                **_as(owner),
            )
            if done.returncode:
                raise EmbeddedDatabaseError(
                    f"The embedded database cannot be made in {self._folder}: {_shortened(done.stderr)}"
                )
            # Besides the folder's own rights: the kernel says who is at the other end of the socket.
            names = dict.fromkeys((owner.name, pwd.getpwuid(os.geteuid()).pw_name))
            (beside / "pg_hba.conf").write_text("local all all peer map=own\n")
            (beside / "pg_ident.conf").write_text("".join(f'own "{name}" {USER}\n' for name in names))
            beside.rename(data)
        except subprocess.TimeoutExpired as error:
            raise EmbeddedDatabaseError(
                f"Making the embedded database took longer than {_INITDB_WITHIN_S} s."
            ) from error
        except (OSError, KeyError) as error:
            raise EmbeddedDatabaseError(
                f"The embedded database cannot be made in {self._folder}: {error}. Choose another folder: "
                f"{self._named_by}."
            ) from error

    def _check_version(self, data: Path) -> None:
        try:
            version = (data / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise EmbeddedDatabaseError(
                f"{data} is no PostgreSQL database. Move it away, or choose another folder."
            ) from error
        if version != str(MAJOR):
            raise EmbeddedDatabaseError(
                f"The database in {self._folder} was made by PostgreSQL {version}, and the installed one is {MAJOR}. "
                "Install the version of fashioncrop that made it, or move it away and index again."
            )

    def _spawn(self, programs: Programs, owner: _Owner) -> None:
        path = self._folder / "postgres.log"
        with open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as log:
            done = subprocess.run(
                [
                    *(sys.executable, "-I", str(_KEEPER), str(self._folder), str(programs.postgres)),
                    *(str(owner.uid), str(owner.gid), *_options(self._folder)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # Ctrl-C in this terminal is not meant for the database
                check=False,
            )
        if done.returncode:
            raise EmbeddedDatabaseError(f"The embedded database does not start. {self._last_words()}")

    def _last_words(self) -> str:
        try:
            text = (self._folder / "postgres.log").read_text(errors="replace")
        except OSError:
            text = ""
        return f"Its last words: {_shortened(text)} (log: {self._folder / 'postgres.log'})"


def _options(folder: Path) -> list[str]:
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": '"' + str(folder / "socket").replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "port": _PORT,
        "shared_buffers": f"{min(max(memory_mb // _SHARED_BUFFERS_SHARE, 32), _MAX_SHARED_BUFFERS_MB)}MB",
        "max_connections": 50,
        # Nothing is replicated, so that an index that is built is not written twice.
        "wal_level": "minimal",
        "max_wal_senders": 0,
        "jit": "off",  # compiling a query takes longer than these take
        "logging_collector": "off",
        "log_checkpoints": "off",
    }
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def _as(owner: _Owner) -> dict[str, Any]:
    """Arguments for `subprocess` that make a child the owner's; nothing where it is so already."""
    if os.geteuid() != 0:
        return {"cwd": "/"}
    return {"cwd": "/", "user": owner.uid, "group": owner.gid, "extra_groups": []}


def _lock(file: IO[bytes], kind: int, problem: str) -> None:
    """Wait for a lock, but not for ever."""
    end_s = time.monotonic() + _LOCK_WITHIN_S
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > end_s:
                raise EmbeddedDatabaseError(
                    f"{problem}, and has been for {_LOCK_WITHIN_S} s. See its postgres.log."
                ) from error
            time.sleep(_POLL_S)
        else:
            return


def _is_held(path: Path) -> bool:
    """Does somebody hold the lock?"""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace("'", "\\'")


def _shortened(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines()][-_SHOWN_LINES:]
    return " ".join(lines) or "none."
