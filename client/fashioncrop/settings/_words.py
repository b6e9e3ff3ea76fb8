"""What is wrong with a setting, as a sentence that holds no secret."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from fashioncrop.settings._declaration import Settings, inner, limits

_MAX_QUOTED_CHARACTERS = 24
_KINDS: Mapping[Any, str] = types.MappingProxyType(
    {str: "a text that is not empty", SecretStr: "a text", Path: "a path", bool: "true or false"}
)


def allowed(field: FieldInfo) -> str:
    """What a field takes; completes "must be"."""
    kind = inner(field)
    if get_origin(kind) is Literal:
        *most, last = get_args(kind)
        return f"{', '.join(most)} or {last}"
    if kind in (int, float):
        name, shape = ("a whole number", "d") if kind is int else ("a number", "g")
        low, high = limits(field)
        if low is None:
            return name
        return f"{name} from {low:{shape}} to {high:{shape}}" if high is not None else f"{name}, {low:{shape}} or more"
    return _KINDS.get(kind, "a list of texts")


def problems(error: ValidationError, origins: Mapping[str, str]) -> list[str]:
    """A sentence for each setting that is wrong.

    Args:
        error: what pydantic found.
        origins: name to where the value was found.
    """
    sentences = {}
    for found in error.errors(include_url=False):
        name = str(found["loc"][0])
        field = Settings.model_fields[name]
        told = found.get("ctx", {}).get("error")
        words = str(told) if isinstance(told, ValueError) else f"must be {allowed(field)}"
        sentences[name] = f"{_subject(name, origins.get(name, name))} {words}{_got(field, found['input'])}."
    return list(sentences.values())


def unknown_key(where: str, key: str) -> str:
    """The sentence about a key that nobody knows."""
    alike = difflib.get_close_matches(key, Settings.model_fields, n=1)
    meant = f" Is {alike[0]} meant?" if alike else ""
    shown = "".join(letter if letter.isprintable() else "?" for letter in key[:_MAX_QUOTED_CHARACTERS])
    return f"{where} has a key that is no setting: {shown}.{meant} Allowed are {', '.join(Settings.model_fields)}."


def _subject(name: str, origin: str) -> str:
    """`--threshold`, `FASHIONCROP_THRESHOLD`, or the name and its file."""
    return f"{name} in {origin}" if "/" in origin else origin


def _got(field: FieldInfo, value: object) -> str:
    """The value, of numbers and words of a closed set only: a text might be a secret in the wrong place."""
    kind = inner(field)
    closed = kind in (int, float, bool) or get_origin(kind) is Literal
    shown = repr(value)
    return f"; got {shown}" if closed and len(shown) <= _MAX_QUOTED_CHARACTERS and shown.isprintable() else ""
