from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from fashioncrop.errors import OptionError, OutputError, PhotoError
from run_options import counts, photos_of, prepared
from sample_photos import about, drawn_photos, parse_size, photos_in


def test_drawn_photos_are_what_was_asked_for() -> None:
    one, other = photos_of(2, "96x128", None)
    for photo in (one, other):
        with Image.open(io.BytesIO(photo.data)) as image:
            assert (image.format, image.size, photo.size_wh) == ("JPEG", (96, 128), (96, 128))
    assert one.data != other.data
    assert drawn_photos(1, (96, 128))[0].data == one.data, "the same scene is the same file"
    assert about([one, other]).startswith("2 photos of 96 x 128 pixels, ")


def test_photos_of_ones_own(tmp_path: Path) -> None:
    for number, name in enumerate(("b.png", "a.jpg", "notes.txt")):
        Image.new("RGB", (10 + number, 20)).save(tmp_path / name, "PNG")
    photos = photos_of(5, "96x128", tmp_path)
    assert [(photo.name, photo.size_wh) for photo in photos] == [("a.jpg", (11, 20)), ("b.png", (10, 20))]
    assert [photo.name for photo in photos_in(tmp_path, 1)] == ["a.jpg"]
    (tmp_path / "c.png").write_bytes(b"no photo")
    with pytest.raises(PhotoError, match=r"c\.png"):
        photos_in(tmp_path, 9)
    with pytest.raises(PhotoError, match="has no photos"):
        photos_in(tmp_path / "missing", 1)


@pytest.mark.parametrize(
    "text", ["", "1920", "1920x", "0x10", "1920 x 1080", "1920x1080x3", "-5x5", "\u0663\u0660x\u0663\u0660", "9x9"]
)
def test_a_size_is_two_numbers(text: str) -> None:
    with pytest.raises(OptionError, match="WIDTHxHEIGHT"):
        parse_size(text)


def test_sizes_and_numbers() -> None:
    assert parse_size("1920x1080") == (1920, 1080)
    assert counts("4,1,2,1", "--clients") == [1, 2, 4]
    for text in ("", "0", "1,,2", "1;2", "-1", "two", "1.5", "²"):
        with pytest.raises(OptionError, match="--clients takes numbers"):
            counts(text, "--clients")
    with pytest.raises(OptionError, match="test scenes"):
        drawn_photos(10**6, (96, 128))


def test_a_place_for_results_is_made_before_the_work(tmp_path: Path) -> None:
    assert prepared(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="--out"):
        prepared(tmp_path / "file")
