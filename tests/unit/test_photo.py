from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from photo import FORMATS, Limits, decode_photo
from problems import Code, ProblemError

LIMITS = Limits(max_bytes=2_000_000, max_pixels=1_000_000)
Encoded = Callable[..., bytes]
Noise = Callable[[int, int], Image.Image]


def pixels(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(decode_photo(data, LIMITS).image)


def decode_or_refuse(data: bytes) -> None:
    """Any other exception than a refusal fails the test."""
    with contextlib.suppress(ProblemError):
        assert decode_photo(data, LIMITS).image.mode == "RGB"


def test_a_plain_photo_is_what_pillow_decodes(encoded: Encoded, noise: Noise) -> None:
    photo = decode_photo(encoded(noise(40, 30), "PNG"), LIMITS)
    assert photo.format == "PNG"
    assert photo.size_wh == (40, 30)
    np.testing.assert_array_equal(np.asarray(photo.image), np.asarray(noise(40, 30)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(encoded: Encoded, orientation: int) -> None:
    upright = Image.new("RGB", (40, 20), "blue")
    upright.paste("red", (0, 0, 20, 10))  # the upper left quarter
    turns = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = upright
    for turn in turns[orientation]:
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = pixels(encoded(stored, "PNG", exif=exif))
    np.testing.assert_array_equal(got, np.asarray(upright))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_what_pillow_decodes_and_turns(encoded: Encoded, noise: Noise, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(noise(40, 24), "JPEG", quality=90, exif=exif)
    with Image.open(io.BytesIO(data)) as opened:
        theirs = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    photo = decode_photo(data, LIMITS)
    assert photo.size_wh == theirs.shape[1::-1]
    assert photo.image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(photo.image), theirs)
    box = (3, 2, 19, 17)
    with ThreadPoolExecutor(4) as pool:  # it stays whole for all who look at it
        for crop in pool.map(lambda _: np.asarray(photo.image.crop(box)), range(16)):
            np.testing.assert_array_equal(crop, theirs[2:17, 3:19])


@pytest.mark.parametrize("format_", ["WEBP", "AVIF", "PNG", "GIF"])
def test_other_formats_leave_no_decoder_behind(encoded: Encoded, noise: Noise, format_: str) -> None:
    if format_ not in FORMATS:
        pytest.skip(f"this Pillow reads no {format_}")
    assert type(decode_photo(encoded(noise(20, 10), format_), LIMITS).image) is Image.Image


def test_grey_palette_and_cmyk_become_rgb(encoded: Encoded, noise: Noise) -> None:
    grey = noise(20, 10).convert("L")
    np.testing.assert_array_equal(pixels(encoded(grey, "PNG")), np.asarray(grey.convert("RGB")))
    palette = noise(20, 10).quantize(16)
    np.testing.assert_array_equal(pixels(encoded(palette, "PNG")), np.asarray(palette.convert("RGB")))
    cmyk = Image.new("CMYK", (20, 10), (0, 255, 255, 0))
    red = pixels(encoded(cmyk, "JPEG", quality=95))
    assert red.shape == (10, 20, 3)
    assert red[5, 5, 0] > 200
    assert red[5, 5, 1] < 50


def test_sixteen_bits_keep_their_greys(encoded: Encoded) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, axis=0)
    got = pixels(encoded(Image.fromarray(ramp), "PNG"))
    np.testing.assert_array_equal(got[0, :, 0], np.arange(256))
    np.testing.assert_array_equal(got[..., 0], got[..., 2])


def test_transparency_is_laid_on_white(encoded: Encoded) -> None:
    image = Image.new("RGBA", (4, 2), (255, 0, 0, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    got = pixels(encoded(image, "PNG"))
    assert got[0, 0].tolist() == [255, 255, 255]
    assert got[0, 1].tolist() == [127, 127, 127]
    assert got[0, 2].tolist() == [255, 0, 0]
    palette = Image.new("P", (4, 2), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((1, 1), 1)
    got = pixels(encoded(palette, "PNG", transparency=0))
    assert got[0, 0].tolist() == [255, 255, 255]
    assert got[1, 1].tolist() == [0, 255, 0]


def test_an_animation_shows_its_first_frame(encoded: Encoded) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    got = pixels(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert got[0, 0].tolist() == [255, 0, 0]


def test_one_pixel_is_a_photo(encoded: Encoded) -> None:
    assert decode_photo(encoded(Image.new("RGB", (1, 1), "red"), "JPEG"), LIMITS).size_wh == (1, 1)


def test_a_data_url_is_a_photo_too(encoded: Encoded, noise: Noise) -> None:
    data = encoded(noise(9, 7), "PNG")
    url = b"data:image/png;base64," + base64.b64encode(data)
    np.testing.assert_array_equal(pixels(url), pixels(data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"hello, world", "not an image"),
        (b"<html></html>", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (b"data:image/png,abc", "data: URL"),
        (b"data:image/png;base64,!!!", "base64"),
        (b"data:image/png;base64,", "is empty"),
        (b"\xff\xd8\xff\xe0 broken", "not an image|damaged"),
        (b"x" * 2_000_001, "at most 2000000"),
    ],
)
def test_what_is_no_photo_is_refused_in_a_sentence(data: bytes, words: str) -> None:
    with pytest.raises(ProblemError, match=words) as caught:
        decode_photo(data, LIMITS)
    assert caught.value.code is Code.INVALID_ARG
    assert caught.value.sentence.startswith("The photo"), "the client tells photo problems by this"


def test_a_huge_photo_is_refused_from_its_header(encoded: Encoded) -> None:
    bomb = encoded(Image.new("1", (30_000, 30_000)), "PNG")
    assert len(bomb) < LIMITS.max_bytes
    header_only = bomb[:60]  # nothing to decode: only the header can have been read
    for data in (bomb, header_only):
        with pytest.raises(ProblemError, match="30000 x 30000"):
            decode_photo(data, LIMITS)


def test_a_photo_that_no_jpeg_could_hold_is_refused(encoded: Encoded) -> None:
    with pytest.raises(ProblemError, match="70000 x 3 pixels; a side may have at most 65500"):
        decode_photo(encoded(Image.new("RGB", (70_000, 3)), "PNG"), LIMITS)


@given(cut=st.floats(0.02, 0.98))
def test_a_truncated_jpeg_is_refused(cut: float, encoded: Encoded, noise: Noise) -> None:
    whole = encoded(noise(64, 64), "JPEG", quality=90)
    with pytest.raises(ProblemError):
        decode_photo(whole[: int(len(whole) * cut)], LIMITS)


@given(
    data=st.binary(max_size=300),
    kind=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\x00", b"BM"]),
)
def test_no_bytes_do_anything_but_decode_or_be_refused(data: bytes, kind: bytes) -> None:
    decode_or_refuse(kind + data)


@given(data=st.data())
def test_damaged_files_decode_or_are_refused(data: st.DataObject, encoded: Encoded, noise: Noise) -> None:
    format_ = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]))
    file = bytearray(encoded(noise(16, 16), format_))
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    decode_or_refuse(bytes(file))
