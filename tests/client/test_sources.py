"""Photos from files, pipes, bytes, arrays and URLs."""

from __future__ import annotations

import base64
import fcntl
import io
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fashioncrop import _sources
from fashioncrop._fetch import FetchLimits
from fashioncrop._sources import Photo, read_photo
from fashioncrop.errors import FetchError, PhotoError

LIMITS = FetchLimits(max_bytes=1000)
DATA = b"\x89PNG and so on"


async def refused(source: object, limits: FetchLimits = LIMITS) -> str:
    with pytest.raises(PhotoError) as caught:
        await read_photo(source, limits=limits)  # type: ignore[arg-type]
    assert str(caught.value).endswith(".")
    return str(caught.value)


@pytest.mark.parametrize("kind", [str, Path])
async def test_a_file_is_read_as_it_is(tmp_path: Path, kind: type) -> None:
    path = tmp_path / "Red dress, front.v2.JPG"
    path.write_bytes(DATA)
    assert await read_photo(kind(path), limits=LIMITS) == Photo(DATA, "Red_dress__front.v2")


async def test_a_link_to_a_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "there.png").write_bytes(DATA)
    (tmp_path / "here.png").symlink_to(tmp_path / "there.png")
    assert await read_photo(tmp_path / "here.png", limits=LIMITS) == Photo(DATA, "here")


async def test_a_missing_file(tmp_path: Path) -> None:
    assert await refused(tmp_path / "none.jpg") == f"There is no file {tmp_path}/none.jpg. Check the path."


async def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder" in await refused(tmp_path)
    assert "is a folder" in await refused("")


async def test_a_path_through_a_file_a_null_byte_and_a_name_too_long(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(DATA)
    assert "cannot be read: Not a directory" in await refused(tmp_path / "a.jpg" / "b.jpg")
    assert "cannot be read: embedded null byte" in await refused("a\0.jpg")
    message = await refused("x" * 100_000)
    assert "cannot be read: File name too long" in message
    assert len(message) < 400


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(DATA)
    path.chmod(0)
    assert "cannot be read: Permission denied" in await refused(path)


async def test_a_file_that_may_not_be_read_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    assert await refused(tmp_path / "a.jpg") == (
        f"{tmp_path}/a.jpg cannot be read: Permission denied. Check path and permissions."
    )


async def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()
    assert "(a) is empty: 0 bytes" in await refused(path)


async def test_a_file_is_measured_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tiff"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing: reading it would fail otherwise
    assert f"{path} has more than 1000 bytes" in await refused(path)


async def test_a_file_of_exactly_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(1000))
    assert len((await read_photo(path, limits=LIMITS)).data) == 1000
    path.write_bytes(bytes(1001))
    assert "more than 1000 bytes" in await refused(path)


async def test_a_file_that_claims_to_be_empty_is_limited_while_reading() -> None:
    # Files of /proc say that they have 0 bytes.
    assert "more than 1000 bytes" in await refused("/proc/self/maps")


async def test_a_pipe_a_socket_and_a_device_do_not_block(tmp_path: Path) -> None:
    start = time.monotonic()
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "is a pipe or a device" in await refused(tmp_path / "pipe.jpg")
    assert "is a pipe or a device" in await refused("/dev/zero")
    assert "is a pipe or a device" in await refused("/dev/null")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.jpg"))
        assert "cannot be read" in await refused(tmp_path / "socket.jpg")
    assert time.monotonic() - start < 5


class Terminal(io.StringIO):
    buffer = io.BytesIO(DATA)

    def isatty(self) -> bool:
        return True


async def test_standard_input_is_read_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(DATA)))
    assert await read_photo("-", limits=LIMITS) == Photo(DATA, "stdin")


async def test_standard_input_that_holds_no_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert "(stdin) is empty" in await refused("-")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(2000))))
    assert "(stdin) has more than 1000 bytes" in await refused("-")
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert "is the keyboard" in await refused("-")
    monkeypatch.setattr(sys, "stdin", None)
    assert "no standard input" in await refused("-")
    closed = io.TextIOWrapper(io.BytesIO(DATA))
    closed.close()
    monkeypatch.setattr(sys, "stdin", closed)
    assert "no standard input" in await refused("-")


async def test_a_file_called_minus_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_bytes(DATA)
    assert (await read_photo(Path("-"), limits=LIMITS)).data == DATA


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_bytes_pass_as_they_are(kind: type) -> None:
    photo = await read_photo(kind(DATA), limits=LIMITS)
    assert photo == Photo(DATA, "bytes")
    assert type(photo.data) is bytes
    assert "(bytes) is empty" in await refused(kind(b""))
    assert "(bytes) has more than 1000 bytes" in await refused(kind(bytes(1001)))


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7), (1, 1, 3), (1, 1), (3, 3)])
async def test_an_array_is_encoded_without_loss(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    photo = await read_photo(pixels, limits=LIMITS)
    assert photo.name == "array"
    with Image.open(io.BytesIO(photo.data)) as image:
        assert image.format == "PNG"
        assert image.mode == ("L" if len(shape) == 2 else "RGB")
        np.testing.assert_array_equal(np.asarray(image), pixels)


async def test_an_array_with_gaps_between_its_rows_is_encoded_right() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 8, 3), np.uint8)[::2, ::-1, ::-1]
    photo = await read_photo(pixels, limits=LIMITS)
    with Image.open(io.BytesIO(photo.data)) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (np.zeros((5, 7, 3), np.float32), "float32 [5, 7, 3]"),
        (np.zeros((5, 7), np.uint16), "uint16 [5, 7]"),
        (np.zeros((5, 7, 4), np.uint8), "uint8 [5, 7, 4]"),
        (np.zeros((3, 5, 7), np.uint8), "uint8 [3, 5, 7]"),
        (np.zeros((1, 5, 7, 3), np.uint8), "uint8 [1, 5, 7, 3]"),
        (np.zeros((0, 7, 3), np.uint8), "uint8 [0, 7, 3]"),
        (np.zeros(7, np.uint8), "uint8 [7]"),
        (np.zeros((), np.uint8), "uint8 []"),
        (np.zeros((2, 2), object), "object [2, 2]"),
    ],
)
async def test_other_arrays_are_refused_with_what_was_expected_and_got(array: np.ndarray[Any, Any], got: str) -> None:
    message = await refused(array)
    assert "must be uint8 [height, width, 3]" in message
    assert message.endswith(f"got {got}.")


async def test_a_large_array_is_limited_by_its_file() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (50, 50, 3), np.uint8)
    assert "(array) has more than 1000 bytes" in await refused(noise)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://shop.example/a/red%20dress.jpg?w=200#x", "red_dress"),
        ("HTTPS://shop.example/a/dress", "dress"),
        ("https://shop.example/", "photo"),
        ("https://shop.example", "photo"),
        ("https://shop.example/a/..%2f..%2fetc%2fpasswd", "passwd"),
    ],
)
async def test_a_url_is_fetched(monkeypatch: pytest.MonkeyPatch, url: str, name: str) -> None:
    async def fetch(asked: str, *, limits: FetchLimits) -> bytes:
        assert (asked, limits) == (url, LIMITS)
        return DATA

    monkeypatch.setattr(_sources, "fetch_photo", fetch)
    assert await read_photo(url, limits=LIMITS) == Photo(DATA, name)


@pytest.mark.parametrize(
    "url", ["http://shop.example/a.jpg", "ftp://shop.example/a.jpg", "file:///etc/passwd", "s3://a/b"]
)
async def test_other_urls_are_refused_as_urls(url: str) -> None:
    with pytest.raises(FetchError, match="begins with https://"):
        await read_photo(url, limits=LIMITS)


async def test_the_real_fetch_refuses_this_machine() -> None:
    with pytest.raises(FetchError, match="not public"):
        await read_photo("https://127.0.0.1:1/a.jpg", limits=LIMITS)


async def test_a_data_url_is_unpacked() -> None:
    text = base64.b64encode(DATA).decode()
    assert await read_photo(f"data:image/png;base64,{text}", limits=LIMITS) == Photo(DATA, "data")
    assert await read_photo(f"DATA:;BASE64,{text}".replace("=", "%3D"), limits=LIMITS) == Photo(DATA, "data")
    assert "not of the form" in await refused("data:image/svg+xml,<svg>")
    assert "does not hold base64" in await refused("data:image/png;base64,a?")
    assert "does not hold base64" in await refused("data:image/png;base64,\u00e4\u00e4\u00e4\u00e4")


async def test_other_things_are_refused_with_what_they_are() -> None:
    assert "got NoneType." in await refused(None)
    assert "got int." in await refused(3)
    assert "numpy.asarray(image.convert('RGB'))" in await refused(Image.new("RGB", (2, 2)))


@given(st.text(alphabet=st.characters()))
def test_a_name_is_always_fit_for_a_file(text: str) -> None:
    name = _sources._safe_name(text)
    assert name
    assert not name.startswith(".")
    assert len(name.encode()) <= 100
    assert not set(name) & set("/\\\0 :*?\"<>|'\n")
    assert _sources._safe_name(name) == name


def test_names_keep_their_letters() -> None:
    assert _sources._safe_name("Kleid f\u00fcr Mu\u0308tter \u5199\u771f") == "Kleid_f\u00fcr_M\u00fctter_\u5199\u771f"
    assert _sources._safe_name("..") == "photo"
    assert _sources._safe_name("\udcff") == "photo"


def unread(pipe: IO[bytes]) -> int:
    """Bytes that were written and nobody has read."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_ctrl_c_ends_a_command_that_waits_for_stdin(tmp_path: Path) -> None:
    # Whoever runs the tests in the background has Ctrl-C ignored, and children inherit that.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from fashioncrop.cli import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "analyze", "-", "--url", "127.0.0.1:9"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(b"x")
        process.stdin.flush()
        while unread(process.stdin):  # until the command reads
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.communicate()
