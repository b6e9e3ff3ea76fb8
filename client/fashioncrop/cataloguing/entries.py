"""What is kept of a photo, and under which numbers."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fashioncrop.errors import CatalogueError, OptionError, PhotoError
from fashioncrop.results import Analysis, Garment, ModelIdentity

_GARMENT_ID = re.compile(r"([0-9a-f]{16})-([0-9]{1,6})")
_SIGN_BIT = 1 << 63


class Outcome(StrEnum):
    """What became of a photo that was to be stored."""

    NEW = "new"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Entry:
    """A photo as it goes into a catalogue.

    Attributes:
        source: an absolute path, a URL, or the URL of an object in a store.
        sha256: of the file, 32 bytes.
        recipe: digest of what else shapes the answer: options and models.
        model: the embedding model.
        analysis: the answer; each garment has its embedding, and its crop's `url` is a lasting one or None.
    """

    source: str
    sha256: bytes
    recipe: str
    model: ModelIdentity
    analysis: Analysis


@dataclass(frozen=True)
class Space:
    """An embedding model's vectors, which are compared with each other and with no others.

    Attributes:
        id: within one catalogue.
        model: the model.
        dimension: numbers in a vector.
    """

    id: int
    model: ModelIdentity
    dimension: int


def photo_id(source: str) -> int:
    """The number of a photo: the same in every catalogue and after every run, 0 to 2^63 - 1."""
    digest = hashlib.sha256(checked_source(source).encode()).digest()
    return int.from_bytes(digest[:8], "big") & (_SIGN_BIT - 1)


def checked_source(source: str) -> str:
    """The source, if a database can hold it.

    Raises:
        PhotoError: a file's name is not UTF-8.
    """
    try:
        source.encode()
    except UnicodeEncodeError as error:
        shown = source.encode("utf-8", "replace").decode()
        raise PhotoError(f"The name of {shown} is not UTF-8, so it cannot be kept. Rename the file.") from error
    return source


def garment_id(photo: int, number: int) -> str:
    """What a garment of the catalogue is called: `3f2a9c41d0e1b2a7-2`."""
    return f"{photo:016x}-{number}"


def parse_garment_id(text: str) -> tuple[int, int]:
    """Photo and place in it.

    Raises:
        OptionError: it is no such name.
    """
    match = _GARMENT_ID.fullmatch(text.strip().lower())
    if match is None:
        raise OptionError(
            f"{text!r} is no garment's ID. IDs stand in every answer of fashioncrop search: 3f2a9c41d0e1b2a7-2."
        )
    return int(match[1], 16) & (_SIGN_BIT - 1), int(match[2])


def colours_of(garment: Garment) -> list[str]:
    """The names of its colours, in lower case, the largest first."""
    return list(dict.fromkeys(folded(colour.name) for colour in garment.colours))


def folded(text: str) -> str:
    """A phrase or colour as it is compared: without case, with single spaces, and nothing that a database refuses."""
    return " ".join(kept_text(text).casefold().split())


def kept_text(text: str) -> str:
    """A text as PostgreSQL keeps it: it has no sign of the number 0, and no half letters."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def document_of(analysis: Analysis) -> str:
    """The answer as JSON, without what it took, without pixels and without vectors, which are kept elsewhere."""
    garments = tuple(
        garment.model_copy(
            update={"embedding": None, "crop": garment.crop.model_copy(update={"jpeg": None, "file": None})}
        )
        for garment in analysis.garments
    )
    lasting: dict[str, object] = {"garments": garments, "timings_ms": {}, "cost": None, "cached": False}
    return json.dumps(_kept(analysis.model_copy(update=lasting).model_dump(mode="json")), ensure_ascii=False)


def _kept(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """The same with texts as PostgreSQL keeps them."""
    if isinstance(value, str):
        return kept_text(value)
    if isinstance(value, dict):
        return {name: _kept(one) for name, one in value.items()}
    return [_kept(one) for one in value] if isinstance(value, list) else value


def embedding_of(garment: Garment, dimension: int) -> list[float]:
    """A garment's vector, of this many numbers.

    Raises:
        CatalogueError: it has none, or one of another length.
    """
    if garment.embedding is None:
        raise CatalogueError("A garment has no embedding, so that it cannot be found again. Analyse with embeddings.")
    return checked_vector(garment.embedding, dimension)


def checked_vector(vector: object, dimension: int) -> list[float]:
    """A vector as a parameter, of this many numbers.

    Raises:
        CatalogueError: it has another length.
    """
    numbers = [float(number) for number in vector]  # type: ignore[attr-defined]
    if len(numbers) != dimension:
        raise CatalogueError(
            f"The catalogue's vectors have {dimension} numbers each, and this one has {len(numbers)}: it is another "
            "model's. Start the server with the models that made the catalogue, or index again: fashioncrop index "
            "--reindex"
        )
    return numbers
