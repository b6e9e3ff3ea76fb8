"""A file for libraries that pass a graph on only through the disk, and a sentence when there is no room for it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onnxruntime.capi.onnxruntime_pybind11_state import InvalidProtobuf

from fashioncrop.errors import ModelFileError

_MEGABYTE = 10**6


@contextmanager
def scratch_file() -> Iterator[Path]:
    """A place for one graph in the system's temporary folder, gone when the block ends.

    Raises:
        ModelFileError: the folder cannot be written, most often because its disk is full.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / "model.onnx"
    # ONNX Runtime tells a file that it could not write by the other one.
    except (OSError, InvalidProtobuf) as error:
        place = tempfile.gettempdir()
        free = shutil.disk_usage(place).free // _MEGABYTE
        raise ModelFileError(
            f"A graph cannot be kept in {place} while it is being made: {str(error).rstrip('.')}. "
            f"{free} MB are free there; name a folder with more room in TMPDIR."
        ) from error
