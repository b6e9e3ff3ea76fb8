"""Who may ask the gateway for what: keys in a file, of which only a hash is kept.

A key is `fck_ID_SECRET`. Its secret is 256 random bits, so one round of SHA-256 is as good as a slow hash: there is
nothing to guess. The file is read again whenever it changes, so that a key that is revoked ends at once.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from fashioncrop.errors import OptionError, OutputError
from fashioncrop.settings import Settings

_FORM = re.compile(r"fck_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_NOBODY = "0" * 64
_MAX_NAME_CHARACTERS = 80
_MAX_FILE_BYTES = 16 * 2**20
_WRITABLE_BY_OTHERS = 0o022


class Scope(StrEnum):
    """What a key may ask for. None holds another."""

    ANALYZE = "analyze"
    """What the server's own models answer."""
    SEARCH = "search"
    """Finding garments of the catalogue again."""
    DESCRIBE = "describe"
    """What costs money: descriptions, and the DINO-X service."""
    JOBS = "jobs"
    """Submitting and watching jobs; what they ask needs its own scope as well."""
    METRICS = "metrics"
    """Figures for monitoring."""
    ADMIN = "admin"
    """Loading and unloading models, and everybody's jobs."""


class KeyRecord(BaseModel):
    """What is kept of a key.

    Attributes:
        id: public; by it a key is listed, logged and revoked.
        name: whose it is.
        sha256: of the whole key, in hexadecimal digits.
        scopes: as texts, because a newer version may have written ones that are not known here; those grant nothing.
        created: when.
        expires: when it ends to be good; None never.
        revoked: when it was revoked; None where it was not.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    name: str
    sha256: str
    scopes: tuple[str, ...]
    created: dt.datetime
    expires: dt.datetime | None = None
    revoked: dt.datetime | None = None


class _Document(BaseModel):
    keys: tuple[KeyRecord, ...] = ()


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        id: the key's.
        name: the key's.
        scopes: what it may ask for.
    """

    id: str
    name: str
    scopes: frozenset[Scope]


ANYBODY = Caller(id="anybody", name="anybody", scopes=frozenset(Scope))
"""Everybody, where the gateway asks for no key."""


class KeyRefusedError(Exception):
    """A key that is not good; the message says why and never holds it."""


def default_keys_file() -> Path:
    """`keys.json` beside the user's settings.

    Raises:
        OptionError: there is no home directory.
    """
    xdg = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        # A relative path is to be passed over, says the XDG specification.
        base = Path(xdg) if Path(xdg).is_absolute() else Path.home() / ".config"
    except RuntimeError as error:
        raise OptionError("There is no home directory for keys. Say where they are: --keys-file FILE.") from error
    return base / "fashioncrop" / "keys.json"


def keys_of(settings: Settings) -> KeyFile:
    """The file of keys that the settings name.

    Raises:
        OptionError: they name none, and there is no home directory.
    """
    return KeyFile(settings.keys_file or default_keys_file())


class KeyFile:
    """The keys, for the command that makes them and the gateway that checks them."""

    def __init__(self, path: Path) -> None:
        """Nothing is read yet; a file that is not there holds no key."""
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._records: dict[str, KeyRecord] = {}

    def records(self) -> tuple[KeyRecord, ...]:
        """Every key that was made and not removed from the file by hand.

        Raises:
            OptionError: the file cannot be read, or others may write it.
        """
        self._refresh()
        return tuple(self._records.values())

    def create(
        self, name: str, scopes: Iterable[Scope], *, expires: dt.datetime | None = None
    ) -> tuple[KeyRecord, str]:
        """Make a key: what is kept of it, and the key itself, which nobody can tell again.

        Raises:
            OptionError: the name is none, there is no scope, or the file cannot be read.
            OutputError: the file cannot be written.
        """
        if not name.strip() or not name.isprintable() or len(name) > _MAX_NAME_CHARACTERS:
            raise OptionError(f"A key's name must have 1 to {_MAX_NAME_CHARACTERS} printable characters.")
        granted = tuple(dict.fromkeys(str(Scope(scope)) for scope in scopes))
        if not granted:
            raise OptionError(f"A key needs a scope: {', '.join(Scope)}.")
        id_ = secrets.token_hex(6)
        key = f"fck_{id_}_{secrets.token_urlsafe(32)}"
        now = _now()
        record = KeyRecord(id=id_, name=name.strip(), sha256=_digest(key), scopes=granted, created=now, expires=expires)
        with self._locked():
            self._write((*self.records(), record))
        return record, key

    def revoke(self, id_: str) -> KeyRecord:
        """End a key; one that has ended already stays as it is.

        Raises:
            OptionError: there is no such key, or the file cannot be read.
            OutputError: the file cannot be written.
        """
        with self._locked():
            records = {record.id: record for record in self.records()}
            if id_ not in records:
                raise OptionError(f"There is no key with this id in {self.path}. See: fashioncrop keys list")
            if records[id_].revoked is None:
                records[id_] = records[id_].model_copy(update={"revoked": _now()})
                self._write(records.values())
        return records[id_]

    def caller(self, key: str) -> Caller:
        """Whose key this is.

        Raises:
            KeyRefusedError: it is nobody's, has expired or was revoked.
            OptionError: the file cannot be read, or others may write it.
        """
        self._refresh()
        form = _FORM.fullmatch(key)
        record = self._records.get(form[1]) if form else None
        # Of the same cost whether there is such an id or not.
        is_right = hmac.compare_digest(_digest(key), _NOBODY if record is None else record.sha256)
        if record is None or not is_right:
            raise KeyRefusedError("The key is not known here. Ask the gateway's operator for one.")
        if record.revoked is not None:
            raise KeyRefusedError(f"The key {record.id} was revoked. Ask the gateway's operator for another.")
        if record.expires is not None and record.expires <= _now():
            raise KeyRefusedError(
                f"The key {record.id} expired on {record.expires:%Y-%m-%d}. Ask the gateway's operator for another."
            )
        known = frozenset(Scope(scope) for scope in record.scopes if scope in Scope.__members__.values())
        return Caller(id=record.id, name=record.name, scopes=known)

    def _refresh(self) -> None:
        """Read the file again if it is another than last time."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._seen, self._records = None, {}
            return
        except OSError as error:
            raise _unreadable(self.path, error.strerror or str(error)) from error
        now = (status.st_mtime_ns, status.st_size, status.st_ino)
        if now == self._seen:
            return
        self._seen = None
        if status.st_mode & _WRITABLE_BY_OTHERS:
            raise OptionError(
                f"Other users of this machine may write {self.path}, so its keys are not trusted. Run: chmod go-w "
                f"{self.path}"
            )
        try:
            if status.st_size > _MAX_FILE_BYTES:
                raise _unreadable(self.path, "it is too large")
            document = _Document.model_validate_json(self.path.read_bytes())
        except OSError as error:
            raise _unreadable(self.path, error.strerror or str(error)) from error
        except ValidationError as error:
            raise _unreadable(self.path, f"it is no file of keys ({error.error_count()} errors)") from None
        self._records = {record.id: record for record in document.keys}
        self._seen = now

    def _write(self, records: Iterable[KeyRecord]) -> None:
        text = _Document(keys=tuple(records)).model_dump_json(indent=2) + "\n"
        beside = self.path.with_name(f".{self.path.name}.part")
        try:
            beside.unlink(missing_ok=True)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            beside.replace(self.path)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, of all processes."""
        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def _unreadable(path: Path, why: str) -> OptionError:
    return OptionError(f"The keys in {path} cannot be read: {why}. Mend or remove the file.")


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"The keys in {path} cannot be written: {error.strerror or error}. Choose another --keys-file.")
