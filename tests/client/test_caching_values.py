"""Keys and values of the caches: what differs is kept apart, and what is kept comes back whole or not at all."""

from __future__ import annotations

import random
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashioncrop import Crop, Garment
from fashioncrop.caching import (
    cache_key,
    decode_analysis,
    decode_json,
    encode_analysis,
    encode_json,
    values,
)
from fashioncrop.results import Cost, Usage
from made_analyses import analysis, garment

SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
PART = st.recursive(
    SCALAR | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=4),
    max_leaves=10,
)
PARTS = st.dictionaries(st.text(min_size=1, max_size=5), PART, max_size=4)


def exact(part: Any) -> Any:  # noqa: ANN401 - any part
    """Apart where Python takes for equal what a key tells apart: 1, 1.0 and True, -0.0 and 0.0."""
    if isinstance(part, dict):
        return frozenset((name, exact(value)) for name, value in part.items())
    if isinstance(part, list | tuple):
        return ("list", *map(exact, part))
    if isinstance(part, float):
        return ("float", struct.pack("d", part))
    return (type(part), part)


@given(PARTS, PARTS)
def test_different_parts_have_different_keys(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert (cache_key("analysis", left) == cache_key("analysis", right)) == (exact(left) == exact(right))


@given(PARTS, st.randoms(use_true_random=False))
def test_the_order_of_a_mapping_does_not_matter(parts: dict[str, Any], dice: random.Random) -> None:
    names = list(parts)
    dice.shuffle(names)
    assert cache_key("analysis", {name: parts[name] for name in names}) == cache_key("analysis", parts)


def test_a_key_stays_what_it_is() -> None:
    parts = {"photo": b"jpeg", "vocabulary": ("shirt", "한국어"), "score_threshold": 0.35, "crops": True, "max": None}
    key = cache_key("analysis", parts)
    expected = "analysis-de966173a8046930ee575664a8aa72c23dacbf2d83f76f5f44a7a323240e5a19"
    assert key == expected, "with another key everybody would lose what is kept"
    assert key != cache_key("description", parts)
    assert key == cache_key("analysis", {**parts, "vocabulary": ["shirt", "한국어"], "photo": bytearray(b"jpeg")})


@pytest.mark.parametrize(
    ("kind", "parts", "error"),
    [
        ("Analysis", {}, ValueError),
        ("", {}, ValueError),
        ("../x", {}, ValueError),
        ("analysis", {"x": float("nan")}, ValueError),
        ("analysis", {"x": {"": 1}}, ValueError),
        ("analysis", {"x": {1: 1}}, TypeError),
        ("analysis", {"x": {1, 2}}, TypeError),
        ("analysis", {"x": object()}, TypeError),
    ],
)
def test_what_is_no_part_is_an_error(kind: str, parts: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        cache_key(kind, parts)


FLOAT32 = st.floats(width=32, allow_nan=False)
EMBEDDING = (
    st.none() | st.lists(FLOAT32, max_size=16).map(tuple) | st.lists(st.floats(allow_nan=False), max_size=8).map(tuple)
)
GARMENTS = st.lists(
    st.builds(
        lambda jpeg, embedding, score: garment(
            crop=Crop(box_xyxy=(0, 0, 1, 1), jpeg=jpeg), embedding=embedding, score=score
        ),
        st.none() | st.binary(max_size=200),
        EMBEDDING,
        st.floats(0, 1),
    ),
    max_size=4,
)


@given(GARMENTS)
def test_an_analysis_comes_back_whole(garments: list[Garment]) -> None:
    before = analysis(tuple(garments))
    after = decode_analysis(encode_analysis(before))
    assert after is not None
    assert after.model_copy(update={"cached": False}) == before
    assert [one.crop.jpeg for one in after.garments] == [one.crop.jpeg for one in garments]
    assert after.cached


def test_what_belongs_to_another_run_does_not_come_back() -> None:
    stored = Crop(
        box_xyxy=(0, 0, 1, 1), jpeg=b"x", file="crops/00-shirt.jpg", url="https://bucket.example/x?Signature=1"
    )
    usage = Usage(model="m", calls=1, input_tokens=1, cached_input_tokens=0, output_tokens=1, dollars=0.1)
    before = analysis((garment(crop=stored),), cost=Cost(usages=(usage,), dollars=0.1))
    data = encode_analysis(before)
    after = decode_analysis(data)
    assert after is not None
    assert (after.garments[0].crop.file, after.garments[0].crop.url, after.cost) == (None, None, None)
    assert b"Signature" not in zlib.decompress(data[4:])
    assert before.garments[0].crop.url, "what was given is left as it was"


def test_an_answer_is_about_as_large_as_its_crops() -> None:
    crops = [random.Random(index).randbytes(20_000) for index in range(10)]
    embedding = tuple(struct.unpack("<512f", b"".join(struct.pack("<f", random.random()) for _ in range(512))))
    garments = tuple(garment(crop=Crop(box_xyxy=(0, 0, 1, 1), jpeg=crop), embedding=embedding) for crop in crops)
    assert len(encode_analysis(analysis(garments))) < 10 * (20_000 * 1.03 + 3500)


@given(st.binary(max_size=300) | st.binary(max_size=50).map(lambda data: encode_json(data.hex())))
def test_what_is_no_answer_is_not_there(data: bytes) -> None:
    assert decode_analysis(data) is None


@given(st.data())
def test_a_damaged_answer_is_not_there(data: st.DataObject) -> None:
    whole = encode_analysis(analysis((garment(),)))
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))
    cut = whole[:at]
    assert decode_json(cut) is None
    read = decode_json(bytes(damaged))
    assert read is None or read == decode_json(whole), "a bit of the packing's own may be of no meaning"


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"garments": None}, {"garments": [1]}, {"garments": [{"crop": {"jpeg": "%%%"}, "embedding": None}]}],
)
def test_an_answer_of_another_form_is_not_there(document: object) -> None:
    assert decode_analysis(encode_json(document)) is None


def test_a_few_bytes_that_unpack_to_very_many_are_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAX_UNPACKED_BYTES", 1000)
    assert decode_json(encode_json("x" * 998)) == "x" * 998
    assert decode_json(encode_json("x" * 999)) is None


def test_nesting_without_end_is_not_there() -> None:
    packed = b"fc1\n" + zlib.compress(b"[" * 200_000)
    assert decode_json(packed) is None
