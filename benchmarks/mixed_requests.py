"""Requests as a public service gets them: photos of all kinds, and what is none; each with the answer it must get."""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from PIL import Image

from fashioncrop import AnalyzeOptions, FashionCropError
from fashioncrop.errors import InputError, ServerFaultError
from sample_photos import SamplePhoto

ANSWERED = "answered"
_VOCABULARIES = 48
"""More than the pipeline keeps, so that features are also let go."""
_COLOURS = ("red", "blue", "green", "black", "white", "striped", "leather", "denim")
_NOUNS = ("shirt", "dress", "skirt", "coat", "shoe", "bag")


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        data: the photo's file, or what is sent in its place.
        options: of `AsyncClient.analyze`.
        is_abandoned: whether the caller gives up before the answer can be there.
    """

    data: bytes
    options: AnalyzeOptions
    is_abandoned: bool = False


@dataclass(frozen=True)
class Kind:
    """Requests of one kind.

    Attributes:
        name: what tables call it.
        weight: how often it comes, compared with the others.
        outcomes: `answered`, or the names of the errors that are right for it.
        make: the request of this number.
    """

    name: str
    weight: int
    outcomes: frozenset[str]
    make: Callable[[int], Request]


class Verdict(StrEnum):
    """What to think of an outcome."""

    FORESEEN = "foreseen"
    """It is what this kind of request must get."""
    NAMED = "named"
    """The server could not answer and said why, by name: it is full, or out of reach."""
    WRONG = "wrong"
    """Nobody foresaw it: an error without a name, a refusal of what is good, an answer to what is bad."""


def kinds(photos: Sequence[SamplePhoto]) -> list[Kind]:
    """All kinds, made from these photos; four of five requests are good.

    Args:
        photos: encoded, of several sizes.
    """
    files = [photo.data for photo in photos]
    others = [_as(photo, format_) for photo in photos[:2] for format_ in ("PNG", "WEBP")]
    small = min(photos, key=lambda photo: len(photo.data)).data
    box = [[0.0, 0.0, 32.0, 32.0]]

    def good(name: str, weight: int, make: Callable[[int], Request]) -> Kind:
        return Kind(name, weight, frozenset({ANSWERED}), make)

    def bad(name: str, error: str, data: bytes, options: AnalyzeOptions | None = None) -> Kind:
        return Kind(name, 3, frozenset({error}), lambda _: Request(data, options or AnalyzeOptions()))

    return [
        good("photo", 44, lambda n: Request(files[n % len(files)], AnalyzeOptions(max_garments=4))),
        good("PNG or WebP", 8, lambda n: Request(others[n % len(others)], AnalyzeOptions(max_garments=4))),
        good("own vocabulary", 12, lambda n: Request(small, AnalyzeOptions(vocabulary=_vocabulary(n)))),
        good("own boxes", 8, lambda _: Request(small, AnalyzeOptions(boxes_xyxy=box, box_phrases=["shirt"]))),
        good("nothing but garments", 4, lambda _: Request(small, AnalyzeOptions(crops=False, embeddings=False))),
        Kind(
            "abandoned", 3, frozenset({ANSWERED, "DeadlineError"}), lambda n: Request(files[n % len(files)], {}, True)
        ),
        bad("no image", "PhotoError", b"this is text and no photo"),
        bad("cut short", "PhotoError", small[: len(small) // 2]),
        bad("claims to be huge", "PhotoError", huge_png()),
        bad("empty phrase", "OptionError", small, AnalyzeOptions(vocabulary=["shirt", ""])),
        bad("threshold that is no number", "OptionError", small, AnalyzeOptions(score_threshold=math.nan)),
        bad("box outside", "OptionError", small, _outside()),
    ]


def drawn(of: Sequence[Kind], count: int, seed: int) -> list[Kind]:
    """So many requests' kinds at random, by weight; the same seed gives the same."""
    weights = np.asarray([kind.weight for kind in of], np.float64)
    chosen = np.random.default_rng(seed).choice(len(of), size=count, p=weights / weights.sum())
    return [of[int(index)] for index in chosen]


def outcome_of(error: Exception | None) -> str:
    """The name of what became of a request."""
    if error is None:
        return ANSWERED
    if isinstance(error, FashionCropError):
        return type(error).__name__
    return f"unnamed {type(error).__name__}"


def judged(kind: Kind, outcome: str, error: Exception | None) -> Verdict:
    """What to think of it.

    Args:
        kind: of the request.
        outcome: from `outcome_of`.
        error: what was raised, if anything.
    """
    if outcome in kind.outcomes:
        return Verdict.FORESEEN
    is_named = isinstance(error, FashionCropError) and not isinstance(error, ServerFaultError | InputError)
    return Verdict.NAMED if is_named else Verdict.WRONG


def huge_png() -> bytes:
    """A PNG that says it has 30,000 x 30,000 pixels and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def _vocabulary(number: int) -> list[str]:
    number %= _VOCABULARIES
    colour, noun = _COLOURS[number % len(_COLOURS)], _NOUNS[number // len(_COLOURS)]
    return [f"{colour} {noun}", "person"]


def _outside() -> AnalyzeOptions:
    return AnalyzeOptions(boxes_xyxy=[[1e6, 1e6, 2e6, 2e6]], box_phrases=["shirt"])


def _as(photo: SamplePhoto, format_: str) -> bytes:
    file = io.BytesIO()
    with Image.open(io.BytesIO(photo.data)) as image:
        image.convert("RGB").save(file, format_)
    return file.getvalue()
