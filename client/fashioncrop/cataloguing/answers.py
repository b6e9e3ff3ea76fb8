"""What a search answers. Frozen, typed; `fashioncrop search --json` prints it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fashioncrop.results import Box, Garment, ModelIdentity


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Query(_Frozen):
    """What was looked for.

    Attributes:
        kind: `words`, `garment` (of a photo, found by the server), `box` (of a photo, given), or `catalogue` (a garment
            of the catalogue).
        text: the words, or the garment's phrase.
        source: the photo; None for words.
        box_xyxy: where in it, in pixels of the upright photo.
        crop_jpeg: its picture; not part of the JSON.
    """

    kind: Literal["words", "garment", "box", "catalogue"]
    text: str
    source: str | None = None
    box_xyxy: Box | None = None
    crop_jpeg: bytes | None = Field(default=None, exclude=True, repr=False)

    @property
    def key(self) -> str:
        """What its picture is kept under: no garment's ID looks like it."""
        return f"query {self.source} {self.box_xyxy}"


class FoundGarment(_Frozen):
    """A garment like the query.

    Attributes:
        id: in the catalogue; `fashioncrop search --garment ID` looks for more like it.
        similarity: cosine of its vector and the query's, -1 to 1.
        garment: as it was analysed; its crop's `url` says where the crop is, where it was kept.
    """

    id: str
    similarity: float
    garment: Garment


class FoundPhoto(_Frozen):
    """A photo with garments like the query.

    Attributes:
        source: an absolute path, a URL, or the URL of an object in a store.
        link: that a browser can open; None where it cannot.
        name: of the photo.
        width: of the upright photo, in pixels.
        height: of the upright photo, in pixels.
        similarity: of its best garment.
        garments: the three that are the most alike, best first.
    """

    source: str
    link: str | None
    name: str
    width: int
    height: int
    similarity: float
    garments: tuple[FoundGarment, ...]


class Found(_Frozen):
    """What was found for one query.

    Attributes:
        query: what was looked for.
        photos: best first; empty where nothing passes the filters.
    """

    query: Query
    photos: tuple[FoundPhoto, ...]


class SearchAnswer(_Frozen):
    """What was found.

    Attributes:
        found: one for each query: a photo is asked with each of its garments.
        models: of the vectors: the catalogue's, and the one that embedded the query.
        warnings: sentences that a reader must know before trusting the answer.
    """

    found: tuple[Found, ...]
    models: tuple[ModelIdentity, ...]
    warnings: tuple[str, ...]


def link_to(source: str) -> str | None:
    """What a browser can open: a file, or a URL in which nothing is secret."""
    if source.startswith("/"):
        return Path(source).as_uri()
    authority = source.partition("://")[2].partition("/")[0]
    is_open = source.startswith(("https://", "http://")) and not set("?@") & set(authority) and "?" not in source
    return source if is_open else None
