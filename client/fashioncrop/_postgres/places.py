"""Where a database is: at an address, or in a folder, where an embedded PostgreSQL keeps one."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

from fashioncrop.errors import OptionError

_SCHEMES = ("postgresql", "postgres")
_HOST = r"([\w.-]*|\[[0-9A-Fa-f:.%]+\])(:[0-9]+)?"
_HOSTS = re.compile(f"{_HOST}(,{_HOST})*", re.ASCII)
_DATABASE = re.compile(r"[^/@:]*")
_HELP = "Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or a folder for an embedded database"


@dataclass(frozen=True)
class Place:
    """A database's place.

    Attributes:
        shown: as it may be shown: no user, no password.
        folder: of the embedded database; None for one at an address.
        url: of the database; None for an embedded one, which says where it is once it runs.
    """

    shown: str
    folder: Path | None = None
    url: str | None = field(default=None, repr=False)

    @property
    def is_there(self) -> bool:
        """False where it is known without asking that nothing was ever stored."""
        return self.folder is None or (self.folder / "data").is_dir()


def default_folder() -> Path:
    """Of the embedded database: in `$FASHIONCROP_STATE`, else in the user's own data.

    PostgreSQL does not run as root, and no other user may enter root's home; so root's is `/var/lib/fashioncrop`.
    """
    chosen = os.environ.get("FASHIONCROP_STATE")
    if chosen:
        return Path(os.path.abspath(chosen)) / "catalogue"  # noqa: PTH100 - links stay as they were named
    if os.geteuid() == 0:
        return Path("/var/lib/fashioncrop/catalogue")
    xdg = os.environ.get("XDG_DATA_HOME", "")
    data = Path(xdg) if Path(xdg).is_absolute() else Path.home() / ".local" / "share"
    return data / "fashioncrop" / "catalogue"


def parse_place(given: str | None) -> Place:
    """The place that is meant; None is the default folder.

    Raises:
        OptionError: it is neither a folder nor a PostgreSQL URL. What was given is never quoted: it may be a password.
    """
    if given is None:
        return _in_folder(default_folder())
    if not given.isprintable() or not given.strip():
        raise OptionError(f"The database's place is empty or has signs that cannot be printed. {_HELP}.")
    scheme, separator, _ = given.partition("://")
    if not separator:
        if given.partition(":")[0].lower() in _SCHEMES:
            raise OptionError(f"The database's URL lacks its slashes. {_HELP}.")
        return _in_folder(Path(os.path.abspath(Path(given).expanduser())))  # noqa: PTH100 - links stay
    if scheme.lower() not in _SCHEMES:
        raise OptionError(f"The database's URL must begin with postgresql://. {_HELP}.")
    return Place(_shown(given), url=given)


def _in_folder(folder: Path) -> Place:
    return Place(str(folder), folder)


def _shown(url: str) -> str:
    """Hosts, ports and database; what cannot be told apart from a password is refused."""
    authority, _, rest = url.partition("://")[2].partition("/")
    hosts, (database, _, query) = authority.rpartition("@")[2], rest.partition("?")
    if not _HOSTS.fullmatch(hosts) or not _DATABASE.fullmatch(database):
        raise OptionError(
            f"The database's URL cannot be read. {_HELP}; in a password, the signs : / @ ? # and % are written as %3A "
            "%2F %40 %3F %23 and %25."
        )
    if not hosts:
        hosts = parse_qs(query).get("host", ["this machine"])[0]
    return f"{hosts}/{database}"
