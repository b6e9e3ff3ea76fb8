"""What is known of the embedded server: one folder with a lock, a state file and a log.

The lock is held by the supervisor as long as it lives, so that "is one running?" has an answer that no crash spoils.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

SUPERVISOR_MODULE = "fashioncrop._embedded.supervisor"

# Whoever only asks whether the lock is held holds it for a moment.
_LOCK_ATTEMPTS = 10
_LOCK_PAUSE_S = 0.05


class Phase(StrEnum):
    """Where the server is in its life."""

    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    REPAIRING = "repairing"
    FAILED = "failed"
    STOPPED = "stopped"


class ServerState(BaseModel):
    """The state file's content.

    Attributes:
        phase: see `Phase`.
        supervisor_pid: the process that watches the server.
        server_pid: `tritonserver`, None while there is none.
        http_url: `http://127.0.0.1:port`.
        grpc_url: `127.0.0.1:port`, as tritonclient wants it.
        metrics_url: where Prometheus asks.
        repository: the model repository.
        models: `ready`, `loading` or `waiting` by model, in the order of loading.
        repairs: models reloaded and servers restarted since the start.
        problem: what went wrong last, in one sentence; None while all is well.
    """

    model_config = ConfigDict(frozen=True)

    phase: Phase
    supervisor_pid: int
    server_pid: int | None = None
    http_url: str = ""
    grpc_url: str = ""
    metrics_url: str = ""
    repository: str = ""
    models: dict[str, str] = {}
    repairs: int = 0
    problem: str | None = None


class StateFolder:
    """The folder of one embedded server."""

    def __init__(self, folder: Path) -> None:
        folder = folder.resolve()  # the supervisor's working folder may be another
        self.folder = folder
        self.log = folder / "server.log"
        self.backends = folder / "backends"
        self._state = folder / "state.json"
        self._lock = folder / "lock"

    def write(self, state: ServerState) -> None:
        """Replace the state file; readers see the old one or the new one."""
        beside = self._state.with_suffix(".new")
        beside.write_text(state.model_dump_json(indent=2), encoding="utf-8")
        beside.replace(self._state)

    def read(self) -> ServerState | None:
        """What the supervisor wrote last; None where nothing readable is there."""
        try:
            return ServerState.model_validate_json(self._state.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            return None

    def running(self) -> ServerState | None:
        """The state, where the supervisor that wrote it is alive; else None."""
        if not self.is_locked():
            return None
        state = self.read()
        return state if state is not None and _is_supervisor(state.supervisor_pid) else None

    def is_locked(self) -> bool:
        """True while a supervisor lives."""
        try:
            with self._lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: who asks does not look like a supervisor
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the lock; yields False where another holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock.open("wb") as file:
            for attempt in range(_LOCK_ATTEMPTS):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    if attempt == _LOCK_ATTEMPTS - 1:
                        yield False
                        return
                    time.sleep(_LOCK_PAUSE_S)
                else:
                    yield True
                    return


def _is_supervisor(pid: int) -> bool:
    """Is that process a supervisor? A number may belong to another process by now."""
    try:
        return SUPERVISOR_MODULE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def default_state_folder() -> StateFolder:
    """`$FASHIONCROP_STATE`, else `fashioncrop` in the XDG state folder."""
    chosen = os.environ.get("FASHIONCROP_STATE")
    if chosen:
        return StateFolder(Path(chosen))
    xdg = os.environ.get("XDG_STATE_HOME")
    return StateFolder((Path(xdg) if xdg else Path.home() / ".local" / "state") / "fashioncrop")
