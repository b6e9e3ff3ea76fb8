"""What is set, and where it comes from; of secrets only whether."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from fashioncrop._photo_url import shown_url
from fashioncrop.settings._declaration import Settings, flag, is_secret, variable


class Effective(NamedTuple):
    """One setting.

    Attributes:
        name: as in a file.
        shown: its value in words; `set` or `not set` for a secret.
        source: a flag, a variable, a file or `default`.
    """

    name: str
    shown: str
    source: str


def effective(settings: Settings) -> list[Effective]:
    """Every setting as it holds, in the order of the declaration."""
    return [Effective(name, _shown(settings, name), settings.origin(name)) for name in Settings.model_fields]


def render_config(settings: Settings, *, as_json: bool = False, width: int = 160) -> str:
    """What `fashioncrop config` prints.

    Args:
        settings: what holds.
        as_json: one JSON object: `settings`, a list of objects; `files`; `warnings`.
        width: of the table, in characters.
    """
    if as_json:
        document = {
            "settings": [
                {
                    "name": name,
                    "value": _plain(settings, name),
                    "source": settings.origin(name),
                    "variable": variable(name),
                    "flag": flag(name) or None,
                    "secret": is_secret(name),
                }
                for name in Settings.model_fields
            ],
            "files": [str(file) for file in settings.files],
            "warnings": list(settings.warnings),
        }
        return json.dumps(document, indent=2)
    table = Table()
    for heading in ("setting", "value", "from"):
        table.add_column(heading, overflow="fold")
    for row in effective(settings):
        table.add_row(*row)
    text = io.StringIO()
    Console(file=text, width=width, markup=False, highlight=False, emoji=False).print(table)
    return text.getvalue().rstrip("\n")


def _plain(settings: Settings, name: str) -> Any:  # noqa: ANN401 - whatever JSON has
    """The value for JSON; a secret is `set` or null."""
    value = getattr(settings, name)
    if isinstance(value, SecretStr):
        return "set"
    if isinstance(value, Path):
        return str(value)
    return shown_url(value) if isinstance(value, str) and "://" in value else value


def _shown(settings: Settings, name: str) -> str:
    value = _plain(settings, name)
    if value is None:
        return "not set" if is_secret(name) else "-"
    if name == "mode" and value == "auto":
        return f"auto: {settings.describing}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(value) if isinstance(value, tuple) else f"{value}"
    return "".join(letter if letter.isprintable() else "?" for letter in text)
