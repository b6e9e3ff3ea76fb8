"""From what a request holds to a photo's bytes: a URL that is fetched safely, base64, or a file."""

from __future__ import annotations

import asyncio
import binascii
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import unquote

import pybase64
from pydantic import BaseModel, ConfigDict, Field

from fashioncrop._client import AsyncClient
from fashioncrop._decoding import measured
from fashioncrop._sources import Photo
from fashioncrop.errors import PhotoError
from fashioncrop.results import PhotoInfo

_WEB = ("https://", "http://")
_DATA = "data:"
_NAMELESS = "image"
SMALL_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR42mNsYIAAJgaKGAAmCACQtTEKkQAAAABJRU5ErkJggg=="
"""Eight pixels square, for examples."""
_SMALL_CHARACTERS = 65_536
"""Decoded where it is: a thread would take longer."""


class Strict(BaseModel):
    """A part of a request: nothing else may be in it, and a text is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ImageUrl(Strict):
    """An image by its address.

    Attributes:
        url: `https://...`, fetched by the gateway; or `data:image/...;base64,...`.
    """

    url: Annotated[str, Field(min_length=1, json_schema_extra={"examples": [f"data:image/png;base64,{SMALL_PNG}"]})]


class ImageBase64(Strict):
    """An image itself.

    Attributes:
        base64: the file, as base64 without line breaks.
    """

    base64: Annotated[str, Field(min_length=1, json_schema_extra={"examples": [SMALL_PNG]})]


ImageInput = ImageUrl | ImageBase64
"""One image of a JSON request."""


@dataclass(frozen=True)
class Upload:
    """One image of a form.

    Attributes:
        name: of the file, as the sender has it.
        data: the file.
    """

    name: str
    data: bytes = field(repr=False)


Sent = ImageUrl | ImageBase64 | Upload


@dataclass(frozen=True)
class Received:
    """A photo that is here.

    Attributes:
        photo: the file and its name.
        info: its size and format, from the header.
    """

    photo: Photo
    info: PhotoInfo


def sent_text(text: str) -> ImageUrl | ImageBase64:
    """What a text is that may be a URL or base64."""
    is_url = text[:8].lower().startswith((*_WEB, _DATA)) or "://" in text[:32]
    return ImageUrl.model_construct(url=text) if is_url else ImageBase64.model_construct(base64=text)


class PhotoReader:
    """Brings images in.

    Args:
        client: fetches URLs, by its limits.
        max_pixels: of an image.
    """

    def __init__(self, client: AsyncClient, *, max_pixels: int) -> None:
        self._client, self._max_pixels = client, max_pixels

    async def read(self, sent: Sent) -> Received:
        """The image's bytes, once its header says that it is one and not too large.

        Raises:
            PhotoError: it is not.
            FetchError: its URL may not be fetched, or cannot be.
        """
        photo = await self._bytes(sent)
        info = await asyncio.to_thread(measured, photo.data, max_pixels=self._max_pixels)
        return Received(photo, info.model_copy(update={"name": photo.name}))

    async def _bytes(self, sent: Sent) -> Photo:
        if isinstance(sent, Upload):
            return Photo((await self._client.read(sent.data)).data, sent.name)
        if isinstance(sent, ImageBase64):
            return Photo((await self._client.read(await _decoded(sent.base64))).data, _NAMELESS)
        if sent.url[:5].lower() == _DATA:
            return Photo((await self._client.read(await _from_data_url(sent.url))).data, _NAMELESS)
        # Anything else would be a path to the client, a file of the gateway's own machine.
        if not sent.url.strip().lower().startswith(_WEB):
            raise PhotoError("The image's url must begin with https:// or be a data: URL with base64.")
        return await self._client.read(sent.url.strip())


async def _from_data_url(url: str) -> bytes:
    header, comma, payload = url.partition(",")
    if not comma or not header.lower().endswith(";base64"):
        raise PhotoError("The data: URL is not of the form data:image/jpeg;base64,... .")
    return await _decoded(unquote(payload) if "%" in payload[:_SMALL_CHARACTERS] else payload)


def encoded(data: bytes) -> str:
    """A file as base64."""
    return pybase64.b64encode(data).decode("ascii")


async def _decoded(text: str) -> bytes:
    try:
        if len(text) <= _SMALL_CHARACTERS:
            return pybase64.b64decode(text, validate=True)
        return await asyncio.to_thread(pybase64.b64decode, text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PhotoError(
            "The image is not base64: it must have the 64 letters of RFC 4648 and its padding, without line breaks."
        ) from error
