"""What a photo can be given as, and how it becomes the bytes that are sent.

Nothing is decoded here: that is the server's business.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import io
import os
import re
import stat
import sys
import threading
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fashioncrop._fetch import FetchLimits, fetch_photo
from fashioncrop.errors import PhotoError

Source = str | Path | bytes | bytearray | memoryview | NDArray[np.uint8]
"""A path, `-` for standard input, an https or `data:` URL, an encoded file's bytes, or decoded pixels: uint8, RGB
[height, width, 3] or grey [height, width], row 0 at the top."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MAX_NAME_BYTES = 100
_MAX_SHOWN_CHARACTERS = 200
_PNG_LEVEL = 1  # of 9: a photo's noise hardly gets smaller with more, only slower


@dataclass(frozen=True)
class Photo:
    """An encoded photo.

    Attributes:
        data: the file, as it was.
        name: where it came from, without its suffix, fit to begin a file name: letters, digits, `-`, `_` and `.`, at
            most 100 bytes, never hidden, never empty. Two photos may have the same.
    """

    data: bytes
    name: str


_PIECE_BYTES = 2**20


async def read_photo(source: Source, *, limits: FetchLimits) -> Photo:
    """Bring a photo into memory.

    Args:
        source: see `Source`.
        limits: size of the file from wherever it comes; the rest holds for URLs.

    Raises:
        PhotoError: the photo is missing, empty, too large, not a file, or an array of another shape or type.
        FetchError: the URL may not be fetched, or cannot be.
    """
    if isinstance(source, np.ndarray):
        return _sized(await asyncio.to_thread(_encode, source), "array", limits)
    if isinstance(source, bytes | bytearray | memoryview):
        return _sized(bytes(source), "bytes", limits)
    if isinstance(source, str):
        if source == "-":
            return _sized(await _in_daemon_thread(_read_stdin, limits), "stdin", limits)
        if source[:5].lower() == "data:":
            return _sized(_from_data_url(source), "data", limits)
        if _URL.match(source):
            return _sized(await fetch_photo(source, limits=limits), _url_name(source), limits)
    if isinstance(source, str | Path):
        return _sized(await asyncio.to_thread(_read_file, Path(source), limits), _safe_name(Path(source).stem), limits)
    hint = " Pass numpy.asarray(image.convert('RGB'))." if isinstance(source, Image.Image) else ""
    raise PhotoError(f"A photo is a path, a URL, bytes, or an array of pixels; got {type(source).__name__}.{hint}")


async def _in_daemon_thread(read: Callable[[FetchLimits], bytes], limits: FetchLimits) -> bytes:
    """As `asyncio.to_thread`, but nobody waits for the thread at the end: Ctrl-C ends a read that nobody answers."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes] = loop.create_future()

    def settle(data: bytes | None, error: Exception | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        elif data is not None:
            future.set_result(data)

    def run() -> None:
        data, problem = None, None
        try:
            data = read(limits)
        except Exception as error:  # noqa: BLE001 - handed on to who waits
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(settle, data, problem)

    threading.Thread(target=run, name="stdin", daemon=True).start()
    return await future


def _sized(data: bytes, name: str, limits: FetchLimits) -> Photo:
    if not data:
        raise PhotoError(f"The photo ({name}) is empty: 0 bytes. Check where it was written.")
    if len(data) > limits.max_bytes:
        raise _too_large(f"The photo ({name})", limits)
    return Photo(data=data, name=name)


def _too_large(what: str, limits: FetchLimits) -> PhotoError:
    return PhotoError(
        f"{what} has more than {limits.max_bytes} bytes. Use a smaller photo, or raise the limit here (max_bytes) "
        "and in the server (max_image_bytes)."
    )


def _read_file(path: Path, limits: FetchLimits) -> bytes:
    shown = _shown(path)
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever. It changes nothing for a file.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise PhotoError(f"There is no file {shown}. Check the path.") from error
    except (OSError, ValueError) as error:
        raise PhotoError(f"{shown} cannot be read: {_reason(error)}. Check path and permissions.") from error
    try:
        # The open file is asked, not the path, which may lead elsewhere by now.
        _check_status(os.fstat(descriptor), shown, limits)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(limits.max_bytes + 1)
    except OSError as error:
        raise PhotoError(f"{shown} cannot be read: {_reason(error)}. Check the disk it is on.") from error
    finally:
        os.close(descriptor)


def _check_status(status: os.stat_result, shown: str, limits: FetchLimits) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise PhotoError(f"{shown} is a folder. Pass one of the photos in it.")
    if not stat.S_ISREG(status.st_mode):
        raise PhotoError(f"{shown} is a pipe or a device, not a file. Pipe the photo in and pass '-' instead.")
    if status.st_size > limits.max_bytes:
        raise _too_large(shown, limits)


def _read_stdin(limits: FetchLimits) -> bytes:
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None or sys.stdin.closed:
        raise PhotoError("There is no standard input to read a photo from. Pass a path or a URL.")
    if sys.stdin.isatty():
        raise PhotoError("Standard input is the keyboard. Pipe a photo in, or pass a path or a URL.")
    try:
        # The raw stream, piece by piece: a buffered one keeps a lock while it waits, and Python aborts at its end where
        # a thread holds that lock.
        raw, data = getattr(stream, "raw", stream), bytearray()
        while len(data) <= limits.max_bytes and (piece := raw.read(_PIECE_BYTES)):
            data += piece
        return bytes(data)
    except OSError as error:
        raise PhotoError(f"Standard input cannot be read: {_reason(error)}. Pass a path or a URL.") from error


def _from_data_url(url: str) -> bytes:
    header, comma, payload = url.partition(",")
    if not comma or not header.lower().endswith(";base64"):
        raise PhotoError(
            "The data: URL is not of the form data:image/jpeg;base64,... . Pass the photo's bytes instead."
        )
    try:
        return base64.b64decode(unquote(payload), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PhotoError(f"The data: URL does not hold base64: {error}. Pass the photo's bytes instead.") from error


def _encode(array: NDArray[Any]) -> bytes:
    """Pixels as a PNG file, without loss."""
    fits = array.ndim in {2, 3} and array.shape[2:] in {(), (3,)} and array.size > 0
    if not fits or array.dtype != np.uint8:
        raise PhotoError(
            "An array of pixels must be uint8 [height, width, 3] (RGB) or uint8 [height, width] (grey); got "
            f"{array.dtype} {list(array.shape)}."
        )
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def _url_name(url: str) -> str:
    """The last segment of the URL's path, without its suffix."""
    return _safe_name(Path(unquote(urlsplit(url).path)).stem)


def _safe_name(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in composed)
    # Lone surrogates (file names that are not UTF-8) and a letter cut in two are dropped.
    cut = safe.encode("utf-8", "ignore")[:_MAX_NAME_BYTES].decode("utf-8", "ignore")
    return cut.strip("._") or "photo"


def _shown(path: Path) -> str:
    text = "".join(letter if letter.isprintable() else "?" for letter in str(path))
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else text[: _MAX_SHOWN_CHARACTERS - 3] + "..."


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
