"""A million garments into PostgreSQL in minutes: the binary form of COPY, made by numpy."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from functools import cache

import numpy as np
import psycopg

from fashioncrop.cataloguing.entries import Space, photo_id
from vector_data import CATEGORIES, VectorData

GARMENTS_A_PHOTO = 4
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = struct.pack(">h", -1)
_TEXT_TYPE = 25
_PIECE = 4096
_PHOTOS = "COPY fashioncrop.photo (id, source, sha256, recipe, space_id, analysis) FROM STDIN (FORMAT binary)"
_GARMENTS = (
    "COPY fashioncrop.garment (photo_id, number, space_id, dimension, category_id, phrase, colours, embedding) "
    "FROM STDIN (FORMAT binary)"
)


def category_name(number: int) -> str:
    """Of a category."""
    return f"category {number}"


def colour_name(number: int) -> str:
    """Of a colour."""
    return f"colour {number}"


def source_of(photo: int) -> str:
    """Of the photo of garments `GARMENTS_A_PHOTO * photo` and the next."""
    return f"/photos/{photo}.jpg"


def garment_index(photos: dict[int, int], photo: int, number: int) -> int:
    """Which garment of the data it is.

    Args:
        photos: `photo_numbers`.
        photo: its photo's number in the catalogue.
        number: its place there.
    """
    return photos[photo] * GARMENTS_A_PHOTO + number


def photo_numbers(garments: int) -> dict[int, int]:
    """From a photo's number in the catalogue to its place in the data."""
    return {photo_id(source_of(place)): place for place in range(-(-garments // GARMENTS_A_PHOTO))}


def copy_all(url: str, data: VectorData, space: Space) -> None:
    """Put every garment into an empty catalogue, in one transaction."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for number in range(CATEGORIES):  # each gets the number that is one more
            name = category_name(number)
            cursor.execute("INSERT INTO fashioncrop.category (name, supercategory) VALUES (%s, '')", [name])
        with cursor.copy(_PHOTOS.encode()) as copy:
            for piece in _photos(len(data.vectors), space):
                copy.write(piece)
        with cursor.copy(_GARMENTS.encode()) as copy:
            for piece in _garments(data, space):
                copy.write(piece)


def _photos(garments: int, space: Space) -> Iterator[bytes]:
    yield _HEADER
    for place in range(-(-garments // GARMENTS_A_PHOTO)):
        source = source_of(place)
        yield struct.pack(">h", 6) + b"".join(
            _field(value)
            for value in (
                struct.pack(">q", photo_id(source)),
                source.encode(),
                hashlib.sha256(source.encode()).digest(),
                b"",
                struct.pack(">i", space.id),
                b'\x01{"garments": []}',
            )
        )
    yield _END


def _garments(data: VectorData, space: Space) -> Iterator[bytes]:
    yield _HEADER
    same = _field(struct.pack(">i", space.id)) + _field(struct.pack(">i", space.dimension))
    head = struct.pack(">HH", space.dimension, 0)
    length = struct.pack(">i", len(head) + 2 * space.dimension)
    for start in range(0, len(data.vectors), _PIECE):
        halves = data.vectors[start : start + _PIECE].astype(">f2")
        parts = []
        for offset, half in enumerate(halves):
            index = start + offset
            photo, number = divmod(index, GARMENTS_A_PHOTO)
            colours = tuple(int(one) for one in np.flatnonzero(data.colours[index]))
            parts += [
                struct.pack(">h", 8),
                _field(struct.pack(">q", photo_id(source_of(photo)))),
                _field(struct.pack(">i", number)),
                same,
                _field(struct.pack(">i", int(data.categories[index]) + 1)),
                _field(b"garment"),
                _colours(colours),
                length,
                head,
                half.tobytes(),
            ]
        yield b"".join(parts)
    yield _END


@cache
def _colours(numbers: tuple[int, ...]) -> bytes:
    texts = [colour_name(number).encode() for number in numbers]
    head = struct.pack(">iiiii", 1, 0, _TEXT_TYPE, len(texts), 1)
    return _field(head + b"".join(map(_field, texts)))


def _field(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value
