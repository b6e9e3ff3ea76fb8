"""How `tritonserver` is started: the backend folder, the environment, the ports and the argument list."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fashioncrop._embedded.installation import Installation
from fashioncrop.errors import EmbeddedServerError

HOST = "127.0.0.1"
USUAL_PORTS = (8000, 8001, 8002)
"""HTTP, gRPC and metrics, as every Triton user knows them; taken where all three are free."""
EXIT_TIMEOUT_S = 20
"""How long the server may finish what is in flight when it is asked to stop."""
_SAFE_PATH = re.compile(r"[\w./+-]+", re.ASCII)
_SHARED_MEMORY_BYTES = 16 * 2**20
"""Of each model's process at the start; it grows with the largest request."""


@dataclass(frozen=True)
class Ports:
    """TCP ports on 127.0.0.1."""

    http: int
    grpc: int
    metrics: int


def choose_ports(wanted: tuple[int, int, int] | None) -> Ports:
    """The wanted ports; without a wish the usual ones, or free ones where these are taken.

    Raises:
        EmbeddedServerError: a wanted port is taken.
    """
    if wanted is not None:
        taken = [port for port in wanted if not _is_free(port)]
        if taken:
            raise EmbeddedServerError(
                f"Port {taken[0]} on {HOST} is taken. Choose another, or leave --ports out to have free ones chosen."
            )
        return Ports(*wanted)
    if all(_is_free(port) for port in USUAL_PORTS):
        return Ports(*USUAL_PORTS)
    with ExitStack() as stack:  # all three at once, so that they differ
        sockets = [stack.enter_context(socket.socket()) for _ in USUAL_PORTS]
        for one in sockets:
            one.bind((HOST, 0))
        return Ports(*(one.getsockname()[1] for one in sockets))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def assemble_backends(folder: Path, installation: Installation) -> Path:
    """A backend directory: the wheel's Python backend with this interpreter's stub, and our `onnxruntime`.

    Copies, because the server refuses a library that a link leads out of its backend's folder.
    """
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "python"
    python.mkdir(parents=True)
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        shutil.copy2(installation.python_backend / name, python)
    shutil.copy2(installation.stub, stub_path(folder))
    shutil.copytree(
        Path(__file__).parent / "backends" / "onnxruntime",
        folder / "onnxruntime",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return folder


def safe_folder(folder: Path) -> Path:
    """`folder` where its name can stand in a shell command, else a folder of the user's own in the temporary one.

    The server starts a model's process through a shell, without quoting paths.

    Raises:
        EmbeddedServerError: somebody else made that folder.
    """
    if _SAFE_PATH.fullmatch(str(folder)):
        return folder
    name = f"fashioncrop-{os.getuid()}-{hashlib.sha256(bytes(folder)).hexdigest()[:8]}"
    place = Path(tempfile.gettempdir()) / name
    place.mkdir(mode=0o700, exist_ok=True)
    if place.is_symlink() or place.stat().st_uid != os.getuid() or not _SAFE_PATH.fullmatch(str(place)):
        raise EmbeddedServerError(
            f"The server cannot work in {folder} (the path has spaces or signs that a shell reads), nor in {place}. "
            "Choose a plain path with FASHIONCROP_STATE."
        )
    return place


def safe_repository(repository: Path, folder: Path) -> Path:
    """The repository, or a link to it in `folder` where its path cannot stand in a shell command."""
    if _SAFE_PATH.fullmatch(str(repository)):
        return repository
    link = folder / "models"
    link.unlink(missing_ok=True)
    link.symlink_to(repository)
    return link


def stub_path(backends: Path) -> Path:
    """The program that runs each model's Python."""
    return backends / "python" / "triton_python_backend_stub"


def environment(installation: Installation) -> dict[str, str]:
    """The server's environment: its libraries, and this interpreter first in PATH, where stubs look for packages."""
    inherited = os.environ.get("LD_LIBRARY_PATH")
    folders = [*map(str, installation.library_folders), *([inherited] if inherited else [])]
    return {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join(folders),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }


def arguments(
    installation: Installation,
    repository: Path,
    backends: Path,
    ports: Ports,
    *,
    memory_prefix: str,
    server_id: str,
    config_name: str,
) -> list[str]:
    """The command line. Models are loaded afterwards, one by one, so that progress can be shown.

    Args:
        installation: where the program is.
        repository: the model repository.
        backends: from `assemble_backends`.
        ports: from `choose_ports`.
        memory_prefix: names of shared memory regions begin with it, so that a killed server's can be removed.
        server_id: what the server calls itself, to tell it from another at the same port.
        config_name: which `configs/<name>.pbtxt` of each model to prefer; empty for `config.pbtxt`.
    """
    return [
        str(installation.server),
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-default-byte-size={_SHARED_MEMORY_BYTES}",
        f"--backend-config=python,shm-region-prefix-name={memory_prefix}",
        "--backend-config=python,stub-timeout-seconds=120",  # a full-size model takes longer than the usual 30
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        *([f"--model-config-name={config_name}"] if config_name else []),
        f"--id={server_id}",
        # A web page in a browser on this machine can send requests to loopback. Loading a model runs its code: over
        # HTTP only with a key that nobody knows. The supervisor uses gRPC, which no web page speaks.
        f"--http-restricted-api=model-repository,shared-memory,trace,logging:admin-key={secrets.token_hex()}",
        f"--http-address={HOST}",
        f"--http-port={ports.http}",
        f"--grpc-address={HOST}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-address={HOST}",
        f"--metrics-port={ports.metrics}",
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        "--allow-gpu-metrics=false",
    ]


def remove_shared_memory(memory_prefix: str) -> None:
    """Remove what a killed server left in /dev/shm."""
    for path in Path("/dev/shm").glob(f"{memory_prefix}*"):  # noqa: S108 - where Triton keeps it
        path.unlink(missing_ok=True)
