"""What is stored, and under which key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from fashioncrop.errors import StorageError

JPEG = "image/jpeg"
JSON = "application/json"

# S3's limit is 1024 for prefix and key together.
_MAX_KEY_BYTES = 900
_MAX_SEGMENT_BYTES = 200
_MAX_SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class StoredObject:
    """Something that is in a store.

    Attributes:
        key: below the store's prefix.
        url: where others find it, as the store's options say.
        is_new: whether it was written now; False where the same was there already.
    """

    key: str
    url: str
    is_new: bool


def crop_key(jpeg: bytes) -> str:
    """`crops/ab/abcd...jpg`, by content."""
    digest = hashlib.sha256(jpeg).hexdigest()
    return f"crops/{digest[:2]}/{digest}.jpg"


def analysis_key(document: bytes) -> str:
    """`analyses/abcd...json`, by content."""
    return f"analyses/{hashlib.sha256(document).hexdigest()}.json"


def photo_key(photo: bytes, suffix: str) -> str:
    """`photos/ab/abcd...jpg`, by content."""
    digest = hashlib.sha256(photo).hexdigest()
    return f"photos/{digest[:2]}/{digest}{suffix}"


def is_by_content(key: str, data: bytes) -> bool:
    """Whether the key names this content, so that what is there under it can only be the same."""
    return hashlib.sha256(data).hexdigest() in key


def check_key(key: str) -> None:
    """Refuse what would lead out of the store, or be two keys for one file.

    Raises:
        StorageError: the key is empty, absolute or too long, or has a part that is empty, `.`, `..`, or not printable.
    """
    parts = key.split("/")
    is_short = len(key.encode("utf-8", "surrogatepass")) <= _MAX_KEY_BYTES and all(
        len(part.encode("utf-8", "surrogatepass")) <= _MAX_SEGMENT_BYTES for part in parts
    )
    if not is_short or not key.isprintable() or "\\" in key or any(part in {"", ".", ".."} for part in parts):
        shown = "".join(letter if letter.isprintable() else "?" for letter in key)[:_MAX_SHOWN_CHARACTERS]
        raise StorageError(f"{shown!r} is no key: write parts of a relative path, each printable and not '.' or '..'.")
