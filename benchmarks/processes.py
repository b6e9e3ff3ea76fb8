"""What a server's processes take: memory, open files, processor time, shared memory; and how busy the machine is."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from fashioncrop import EmbeddedServer
from fashioncrop.errors import EmbeddedServerError

SERVER = "tritonserver"
_STUB = re.compile(r"([^/]+)_\d+_\d+")
_SHARED = re.compile(r"(/dev/shm/\S+)$")
_QUIET_FOR_S = 1.0


@dataclass(frozen=True)
class ProcessFigures:
    """One process at one moment.

    Attributes:
        name: `tritonserver`, or the model whose Python the process runs.
        resident_bytes: memory it has, what it shares with others included.
        own_bytes: memory with each shared page divided among those who share it.
        open_files: file handles.
        cpu_s: processor time since its start, its children's included.
    """

    name: str
    resident_bytes: int
    own_bytes: int
    open_files: int
    cpu_s: float


def server_pid(server: EmbeddedServer) -> int:
    """The number of `tritonserver`'s process, which changes where its supervisor restarted it.

    Raises:
        EmbeddedServerError: there is none.
    """
    state = server.state
    if state is None or state.server_pid is None:
        raise EmbeddedServerError("The server ended while it was measured. See its log.")
    return state.server_pid


def server_processes(server_pid: int) -> list[ProcessFigures]:
    """`tritonserver` and the process of each model's instance.

    Raises:
        EmbeddedServerError: the server has ended.
    """
    try:
        server = psutil.Process(server_pid)
        figures = [_figures(SERVER, server)]
        children = server.children()
    except psutil.NoSuchProcess as error:
        raise EmbeddedServerError("The server ended while it was measured. See its log.") from error
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            name = _model_of(child.cmdline())
            if name is not None:
                figures.append(_figures(name, child))
    return figures


def summed_by_name(figures: Iterable[ProcessFigures]) -> dict[str, ProcessFigures]:
    """The instances of each model as one."""
    result: dict[str, ProcessFigures] = {}
    for one in figures:
        before = result.get(one.name, ProcessFigures(one.name, 0, 0, 0, 0.0))
        result[one.name] = ProcessFigures(
            one.name,
            before.resident_bytes + one.resident_bytes,
            before.own_bytes + one.own_bytes,
            before.open_files + one.open_files,
            before.cpu_s + one.cpu_s,
        )
    return result


def family_memory_bytes(pid: int) -> int:
    """Memory of a process and its descendants, each shared page counted once; one that ends meanwhile has none.

    Raises:
        psutil.NoSuchProcess: there is no such process.
    """
    first = psutil.Process(pid)
    total = 0
    for process in [first, *first.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += int(process.memory_full_info().pss)
    return total


def shared_memory_bytes(server_pid: int) -> int:
    """Size of the files in /dev/shm that the server has mapped: its way to its models' processes."""
    try:
        lines = Path(f"/proc/{server_pid}/maps").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise EmbeddedServerError("The server ended while it was measured. See its log.") from error
    total = 0
    for name in {match[1] for line in lines if (match := _SHARED.search(line))}:
        with contextlib.suppress(OSError):
            total += Path(name).stat().st_size
    return total


def busy_share(seconds: float = _QUIET_FOR_S) -> float:
    """Share of all processors that are busy while nothing is measured, 0 to 1."""
    return psutil.cpu_percent(interval=seconds) / 100


def _model_of(words: list[str]) -> str | None:
    """A stub's command line names its instance: `<model>_<group>_<instance>`, next to last."""
    for word in reversed(words):
        if match := _STUB.fullmatch(word):
            return match[1]
    return None


def _figures(name: str, process: psutil.Process) -> ProcessFigures:
    with process.oneshot():
        full = process.memory_full_info()
        times = process.cpu_times()
        return ProcessFigures(
            name, full.rss, full.pss, process.num_fds(), times.user + times.system + times.children_user
        )
