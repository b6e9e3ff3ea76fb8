"""How answers are written for a cache: JSON, packed. Never pickle, which runs what it reads.

An analysis is kept whole, its crops too, so that an answer from the cache lacks nothing. A crop is base64 within the
JSON and an embedding the base64 of its float32 numbers; packing takes base64's third away again, so that an answer is
about as large as its crops, and 3 kB more for each garment.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import Any

import numpy as np
from pydantic import ValidationError

from fashioncrop.results import Analysis

_MARK = b"fc1\n"
_LEVEL = 1  # of 9: base64 gets as small with it as with any
MAX_UNPACKED_BYTES = 256 * 2**20
"""A few bytes in a shared cache could otherwise unpack to any size."""


def encode_json(document: Any) -> bytes:  # noqa: ANN401 - any JSON
    """A JSON document as a cache's value."""
    return _MARK + zlib.compress(json.dumps(document, separators=(",", ":")).encode("ascii"), _LEVEL)


def decode_json(data: bytes) -> Any:  # noqa: ANN401 - any JSON
    """The document again; None where it is damaged, too large or of another version, as if it were not there."""
    if not data.startswith(_MARK):
        return None
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data[len(_MARK) :], MAX_UNPACKED_BYTES)
        if not unpacker.eof or unpacker.unused_data:
            return None
        return json.loads(text)
    except (zlib.error, ValueError, RecursionError):
        return None


def encode_analysis(analysis: Analysis) -> bytes:
    """An analysis as a cache's value, its crops and embeddings included.

    Where the crops were written (`file`, `url`) is left out: that is another run's.
    """
    document = analysis.model_dump(mode="json")
    for written, garment in zip(document["garments"], analysis.garments, strict=True):
        crop = {**written["crop"], "file": None, "url": None}
        if garment.crop.jpeg is not None:
            crop["jpeg"] = base64.b64encode(garment.crop.jpeg).decode("ascii")
        written["crop"] = crop
        if garment.embedding is not None:
            written["embedding"] = _packed(garment.embedding)
    return encode_json(document)


def decode_analysis(data: bytes) -> Analysis | None:
    """The analysis again; None where it cannot be read, as if it were not there.

    It is marked as cached and has no cost, because no model was asked. Name of the photo and timings are those of the
    first time.
    """
    document = decode_json(data)
    try:
        for garment in document["garments"]:
            if garment["crop"].get("jpeg") is not None:
                garment["crop"]["jpeg"] = base64.b64decode(garment["crop"]["jpeg"], validate=True)
            if isinstance(garment["embedding"], str):
                garment["embedding"] = _unpacked(garment["embedding"])
        return Analysis.model_validate({**document, "cached": True, "cost": None})
    except (ValidationError, KeyError, TypeError, AttributeError, ValueError, binascii.Error):
        return None


def _packed(embedding: tuple[float, ...]) -> str | list[float]:
    """Base64 of little-endian float32; the numbers themselves where they are not float32's."""
    with np.errstate(over="ignore"):
        numbers = np.asarray(embedding, "<f4")
    if numbers.astype(np.float64).tolist() != list(embedding):
        return list(embedding)
    return base64.b64encode(numbers.tobytes()).decode("ascii")


def _unpacked(text: str) -> list[float]:
    numbers = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
    return [float(number) for number in numbers]
