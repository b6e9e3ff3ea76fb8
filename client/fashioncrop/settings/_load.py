"""Where settings come from: flags, the environment and files, the stronger first."""

from __future__ import annotations

import difflib
import ipaddress
import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from fashioncrop.errors import OptionError
from fashioncrop.settings._declaration import PREFIX, Settings, flag, inner, is_secret, variable
from fashioncrop.settings._words import problems, unknown_key

FILE_NAME = "fashioncrop.toml"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
# Read elsewhere and no settings: the state folder, exported checkpoints, and the file of settings itself.
_OTHER_VARIABLES = frozenset({f"{PREFIX}STATE", f"{PREFIX}CACHE", CONFIG_VARIABLE})
_OF_OTHERS = {
    "openai_api_key": "OPENAI_API_KEY",
    "base_url": "OPENAI_BASE_URL",
    "dinox_api_key": "DINOX_API_KEY",
}
_KEY_GOES_TO = {"openai_api_key": "base_url", "dinox_api_key": "dinox_base_url"}
_READABLE_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH
_ALIKE = 0.85


@dataclass(frozen=True)
class _Layer:
    """Settings from one place.

    Attributes:
        values: by name.
        origin: name to where exactly it was found.
        file: None for flags and the environment.
        chosen: False for the file that lies in the working folder, whoever put it there.
    """

    values: Mapping[str, Any]
    origin: Callable[[str], str]
    file: Path | None = None
    chosen: bool = True


def load_settings(flags: Mapping[str, Any] | None = None, *, folder: Path | None = None) -> Settings:
    """Every setting, from the strongest place that has it.

    Args:
        flags: what the command line gave, by the setting's name; None is not given.
        folder: where `fashioncrop.toml` is looked for; by default the working folder.

    Raises:
        OptionError: a value is not allowed, a file cannot be read or has an unknown key, or the working folder's file
            would send a key from elsewhere to a server that it names.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    for name in given:
        if name not in Settings.model_fields:
            raise OptionError(unknown_key("The command line", name))
    warnings: list[str] = []
    layers = [_Layer(given, flag), *_environment(), *_files(folder or Path.cwd(), warnings)]
    merged: dict[str, Any] = {}
    origins: dict[str, _Layer] = {}
    for layer in layers:
        for name, value in layer.values.items():
            if name not in merged:
                merged[name], origins[name] = value, layer
    _keep_keys_home(merged, origins)
    where = {name: layer.origin(name) for name, layer in origins.items()}
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        sentences = problems(error, where)
    else:
        settings._origins = where  # noqa: SLF001 - made here
        settings._warnings = (*warnings, *_unheard_variables())  # noqa: SLF001 - made here
        settings._files = tuple(layer.file for layer in layers if layer.file is not None)  # noqa: SLF001 - made here
        return settings
    # Not from its cause: that one carries every value, secrets too.
    raise OptionError(" ".join(sentences))


def _environment() -> list[_Layer]:
    of_others = {name: os.environ[known] for name, known in _OF_OTHERS.items() if os.environ.get(known)}
    return [_Layer(EnvSettingsSource(Settings)(), variable), _Layer(of_others, _OF_OTHERS.__getitem__)]


def _files(folder: Path, warnings: list[str]) -> list[_Layer]:
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        file = Path(named).expanduser()
        return [_read(file, warnings, chosen=True)]
    found = [(folder / FILE_NAME, False), *((file, True) for file in _user_files())]
    # os.path: False, too, where the folder may not be entered.
    return [_read(file, warnings, chosen=chosen) for file, chosen in found if os.path.exists(file)]  # noqa: PTH110


def _user_files() -> list[Path]:
    """The user's own file; none where there is no home."""
    xdg = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        # A relative path is to be passed over, says the XDG specification.
        base = Path(xdg) if Path(xdg).is_absolute() else Path.home() / ".config"
    except RuntimeError:
        return []
    return [base / "fashioncrop" / "config.toml"]


def _read(file: Path, warnings: list[str], *, chosen: bool) -> _Layer:
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            if not chosen and status.st_uid not in {os.geteuid(), 0}:
                raise OptionError(
                    f"{file} belongs to another user and was not read, because settings say where photos and keys are "
                    f"sent. Where it is right: {CONFIG_VARIABLE}={file}"
                )
            values = tomllib.loads(opened.read().decode())
    except OSError as error:
        raise OptionError(f"The settings in {file} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"{file} is no TOML file: it is not UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"{file} is no TOML file: {error}.") from error
    for key in values:
        if key not in Settings.model_fields:
            raise OptionError(unknown_key(str(file), key))
    secrets = sorted(name for name in values if is_secret(name))
    if secrets and stat.S_ISREG(status.st_mode) and status.st_mode & _READABLE_BY_OTHERS:
        warnings.append(
            f"{file} holds {' and '.join(secrets)}, and other users of this machine can read it. Run: chmod 600 {file}"
        )
    for name, value in values.items():
        if inner(Settings.model_fields[name]) is Path and isinstance(value, str):
            values[name] = file.parent / Path(value).expanduser()  # what a file names lies beside it
    return _Layer(values, lambda _name: str(file), file, chosen)


def _keep_keys_home(merged: Mapping[str, Any], origins: Mapping[str, _Layer]) -> None:
    """A file that came with somebody's project may not have the user's own key sent to whom it likes."""
    for key, address in _KEY_GOES_TO.items():
        if key not in merged or address not in merged or origins[address].chosen or not origins[key].chosen:
            continue
        if not _is_here(str(merged[address])):
            file = origins[address].file
            raise OptionError(
                f"{file} sets {address}, and the key from {origins[key].origin(key)} would be sent there. Where that "
                f"is right: {CONFIG_VARIABLE}={file}, or {variable(address)}."
            )


def _is_here(address: str) -> bool:
    """Is the host this machine by number or by its fixed name?"""
    try:
        host = urlsplit(address).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unheard_variables() -> list[str]:
    """Sentences about variables that are nearly settings; others with the prefix may be somebody's own."""
    known = [variable(name) for name in Settings.model_fields]
    sentences = []
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known and name not in _OTHER_VARIABLES:
            alike = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
            sentences += [f"{name} is no setting and was not read. Is {alike[0]} meant?"] if alike else []
    return sentences
