"""Where the parts of the embedded server are on this machine, or one sentence about what is missing."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from fashioncrop.errors import EmbeddedServerError

_INSTALL = "pip install 'fashioncrop[server]'"
_NEEDED = {
    "onnxruntime": "onnxruntime",
    "cv2": "opencv-python-headless",
    "psutil": "psutil",
    "tokenizers": "tokenizers",
}


@dataclass(frozen=True)
class Installation:
    """Parts of the nvidia-pytriton wheel and of this interpreter.

    Attributes:
        server: the `tritonserver` program.
        python_backend: folder with libtriton_python.so and triton_python_backend_utils.py.
        stub: the Python backend's stub for this interpreter's version.
        library_folders: what LD_LIBRARY_PATH must hold.
    """

    server: Path
    python_backend: Path
    stub: Path
    library_folders: tuple[Path, ...]


def find_installation() -> Installation:
    """Look for every part.

    Raises:
        EmbeddedServerError: one is missing; the message says which and what to install.
    """
    if sys.platform != "linux":
        raise EmbeddedServerError(f"The embedded server runs on Linux only; this is {sys.platform}. Use --url.")
    wheel = importlib.util.find_spec("pytriton")
    if wheel is None or wheel.origin is None:
        raise EmbeddedServerError(f"The embedded server is not installed. Run: {_INSTALL}")
    for module, distribution in _NEEDED.items():
        if importlib.util.find_spec(module) is None:
            raise EmbeddedServerError(f"The embedded server needs {distribution}, which is missing. Run: {_INSTALL}")
    root = Path(wheel.origin).parent
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stubs = root / "tritonserver" / "python_backend_stubs"
    stub = stubs / version / "triton_python_backend_stub"
    if not stub.is_file():
        have = ", ".join(sorted((path.name for path in stubs.glob("3.*")), key=lambda name: int(name[2:])))
        raise EmbeddedServerError(
            f"The embedded server has no Python stub for Python {version}; it has them for {have}. Use one of these."
        )
    installation = Installation(
        server=root / "tritonserver" / "bin" / "tritonserver",
        python_backend=root / "tritonserver" / "backends" / "python",
        stub=stub,
        library_folders=(root.parent / "nvidia_pytriton.libs", *_libpython_folder(version)),
    )
    for part in (installation.server, installation.python_backend, installation.library_folders[0]):
        if not part.exists():
            raise EmbeddedServerError(
                f"The wheel nvidia-pytriton is not complete: {part} is missing. Run: pip install --force-reinstall "
                "nvidia-pytriton==0.7.0"
            )
    return installation


def _libpython_folder(version: str) -> tuple[Path, ...]:
    """Folder of the interpreter's shared library, which the stub is linked to; empty where the system finds it."""
    name = f"libpython{version}.so.1.0"
    folders = (
        Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib"),
        Path(sys.base_prefix) / "lib",
        *(Path(entry) for entry in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if entry),
    )
    for folder in folders:
        if (folder / name).is_file():
            return (folder,)
    if ctypes.util.find_library(f"python{version}"):
        return ()
    raise EmbeddedServerError(
        f"The embedded server needs {name}, and this interpreter ({sys.executable}) has no shared library. Install it "
        f"(Debian and Ubuntu: apt install libpython{version}), or use an interpreter built with --enable-shared."
    )
