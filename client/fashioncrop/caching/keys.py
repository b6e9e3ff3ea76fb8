"""What an answer is kept under: a digest of everything that the answer depends on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

SCHEMA_VERSION = 1
"""Part of every key. Raised when what is kept changes its form, so that older entries are never read."""

_KIND = re.compile(r"[a-z][a-z0-9_]{0,31}")


def cache_key(kind: str, parts: Mapping[str, Any]) -> str:
    """A key for an answer of this kind.

    Args:
        kind: such as `analysis` or `description`: a lower-case word.
        parts: everything that the answer depends on, by name: texts, numbers, booleans, None, and lists and mappings of
            them. Bytes stand for their SHA-256. The order of a mapping does not matter, that of a list does.

    Returns:
        `kind-` and 64 hexadecimal digits. Parts that differ have keys that differ, `1` and `1.0` among them.

    Raises:
        TypeError: a part is of another type, an array for instance.
        ValueError: `kind` is no lower-case word, a number is not finite, or a mapping has an empty name.
    """
    if not _KIND.fullmatch(kind):
        raise ValueError(f"kind must be a lower-case word; got {kind!r}")
    document = [SCHEMA_VERSION, kind, _canonical(parts)]
    text = json.dumps(document, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return f"{kind}-{hashlib.sha256(text.encode('ascii')).hexdigest()}"


def _canonical(part: object) -> object:
    if part is None or isinstance(part, str | bool | int | float):
        return part
    if isinstance(part, bytes | bytearray | memoryview):
        return {"": hashlib.sha256(part).hexdigest()}  # no mapping has an empty name
    if isinstance(part, Mapping):
        if not all(isinstance(name, str) for name in part):
            raise TypeError("the names of a mapping must be texts")
        if "" in part:
            raise ValueError("a mapping must not have an empty name")
        return {name: _canonical(value) for name, value in part.items()}
    if isinstance(part, Sequence):
        return [_canonical(value) for value in part]
    raise TypeError(f"a part of a key must be text, number, bytes, list or mapping; got {type(part).__name__}")
