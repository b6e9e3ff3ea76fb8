"""Starts the usual service in a process of its own and stops it."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fashioncrop.errors import DeploymentError
from serving import OnWords

_STARTED_WITHIN_S = 300
_STOPPED_WITHIN_S = 20
_LAST_LINES = 3


@dataclass(frozen=True)
class UsualService:
    """One that listens.

    Attributes:
        url: `http://host:port`.
        pid: its process.
    """

    url: str
    pid: int


@contextmanager
def usual_service(
    checkpoints: dict[str, Path], log: Path, words: OnWords, *, is_compiled: bool
) -> Iterator[UsualService]:
    """Run it for as long as the block lasts.

    Args:
        checkpoints: folders by `detector`, `embedder` and `depth`.
        log: where its stderr goes.
        words: told when it starts.
        is_compiled: with torch.compile.

    Raises:
        DeploymentError: it does not start.
    """
    words("Starting the usual service" + (" with torch.compile ..." if is_compiled else " ..."))
    named = [word for name, folder in checkpoints.items() for word in (f"--{name}", str(folder))]
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "contenders.usual_service", *named, *(["--compile"] if is_compiled else [])],
            cwd=Path(__file__).parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        yield UsualService(f"http://127.0.0.1:{_port(process, log)}", process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:  # a compilation does not hear it
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _port(process: subprocess.Popen[str], log: Path) -> int:
    lines: queue.Queue[str] = queue.Queue()
    stdout = process.stdout
    if stdout is None:
        raise DeploymentError("The usual service could not be listened to; please report this.")
    threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
    try:
        said = lines.get(timeout=_STARTED_WITHIN_S)
    except queue.Empty:
        raise DeploymentError(f"The usual service did not start within {_STARTED_WITHIN_S} s.") from None
    if not said.startswith("READY "):
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LAST_LINES:]
        raise DeploymentError(f"The usual service did not start: {' / '.join(last) or 'it said nothing'}")
    return int(said.split()[1])
