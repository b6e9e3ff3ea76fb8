"""Start, stop and look at the embedded server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from fashioncrop._embedded.installation import find_installation
from fashioncrop._embedded.state import SUPERVISOR_MODULE, Phase, ServerState, StateFolder, default_state_folder
from fashioncrop.errors import EmbeddedServerError
from fashioncrop.model_repository import (
    Role,
    default_repository,
    engine_folder,
    prepare_repository,
    read_config,
)

_STOP_WITHIN_S = 40
_POLL_S = 0.1

_children: dict[int, subprocess.Popen[bytes]] = {}
"""Supervisors that this process started, to be collected when they end; they may well outlive it."""

OnProgress = Callable[[ServerState], None]


def start(
    *,
    repository: Path | None = None,
    ports: tuple[int, int, int] | None = None,
    config_name: str = "",
    state_folder: StateFolder | None = None,
    timeout_s: float = 300,
    on_progress: OnProgress | None = None,
) -> ServerState:
    """Start the server in the background and wait until every model has given a real answer.

    Args:
        repository: the model repository; by default `default_repository()`.
        ports: HTTP, gRPC and metrics on 127.0.0.1; by default 8000, 8001, 8002, or free ones where these are taken.
        config_name: prefer each model's `configs/<config_name>.pbtxt`.
        state_folder: where lock, state and log are; by default the user's own.
        timeout_s: how long to wait; the server is stopped when it passes.
        on_progress: called whenever the state changes.

    Raises:
        EmbeddedServerError: one runs already, engines are missing, or the server or a model does not start.
    """
    find_installation()  # what is missing is told before any work
    folder = state_folder or default_state_folder()
    chosen = (repository or default_repository()).resolve()
    running = folder.running()
    if running is not None:
        raise EmbeddedServerError(
            f"A server is running already at {running.http_url} (gRPC {running.grpc_url}). Use it, or stop it first: "
            "fashioncrop down"
        )
    if repository is None:
        prepare_repository(chosen)  # an updated package must not serve an older pipeline
    _check_engines(chosen, config_name)
    orders = _orders(chosen, ports, config_name)
    try:
        folder.folder.mkdir(parents=True, exist_ok=True)
        log = (folder.folder / "supervisor.log").open("ab")
    except OSError as error:
        raise EmbeddedServerError(
            f"The state folder {folder.folder} cannot be written: {error.strerror}. Choose another: FASHIONCROP_STATE."
        ) from error
    with log as words:
        process = subprocess.Popen(
            [sys.executable, "-m", SUPERVISOR_MODULE, str(folder.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=words,
            start_new_session=True,  # Ctrl-C in this terminal is not meant for the server
        )
    if process.stdin is None:
        raise EmbeddedServerError("The supervisor could not be given its orders; please report this.")
    process.stdin.write(orders.encode())
    process.stdin.close()
    _children[process.pid] = process
    try:
        return _wait_until_ready(process, folder, timeout_s, on_progress)
    except BaseException:
        _end(process)
        raise


def stop(state_folder: StateFolder | None = None) -> bool:
    """Stop the server; False where none runs.

    Raises:
        EmbeddedServerError: it does not end.
    """
    folder = state_folder or default_state_folder()
    for child in [child for child in _children.values() if child.poll() is not None]:
        del _children[child.pid]  # killed by somebody else
    state = folder.running()
    if state is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(state.supervisor_pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_WITHIN_S
    while folder.is_locked():
        if time.monotonic() > deadline:
            raise EmbeddedServerError(
                f"The supervisor (process {state.supervisor_pid}) does not end. See {folder.log}, or end it: "
                f"kill -9 {state.supervisor_pid}"
            )
        time.sleep(_POLL_S)
    if state.supervisor_pid in _children:
        _children.pop(state.supervisor_pid).wait()
    return True


def last_lines(state_folder: StateFolder | None = None, *, count: int = 50) -> list[str]:
    """The end of the server's log.

    Raises:
        EmbeddedServerError: there is no log.
    """
    folder = state_folder or default_state_folder()
    try:
        with folder.log.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except OSError as error:
        raise EmbeddedServerError(f"There is no log at {folder.log}: no server was started yet.") from error


class EmbeddedServer:
    """An embedded server for as long as a `with` block lasts.

    >>> with EmbeddedServer() as server, Client(server.grpc_url) as client:  # doctest: +SKIP
    ...     client.analyze("photo.jpg")
    """

    def __init__(
        self,
        *,
        repository: Path | None = None,
        ports: tuple[int, int, int] | None = None,
        config_name: str = "",
        state_folder: Path | None = None,
    ) -> None:
        """See `start`; `state_folder` must be another for a second server."""
        self._repository = repository
        self._ports = ports
        self._config_name = config_name
        self.state_folder = StateFolder(state_folder) if state_folder else default_state_folder()
        self.http_url = ""
        self.grpc_url = ""

    def __enter__(self) -> Self:
        state = start(
            repository=self._repository,
            ports=self._ports,
            config_name=self._config_name,
            state_folder=self.state_folder,
        )
        self.http_url, self.grpc_url = state.http_url, state.grpc_url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop(self.state_folder)

    @property
    def state(self) -> ServerState | None:
        """What the supervisor says now; None where it is gone."""
        return self.state_folder.running()


def _check_engines(repository: Path, config_name: str) -> None:
    missing = [role for role in Role if not (engine_folder(repository, role) / "model.json").is_file()]
    if missing:
        raise EmbeddedServerError(
            f"{repository} has no engine for {', '.join(missing)}. Make them: fashioncrop-export --models full (from "
            "the hub), --models random (random weights, to try the plumbing) or --models DIR (checkpoints on disk)."
        )
    if not config_name:
        return
    known = sorted({path.stem for path in repository.glob("*/configs/*.pbtxt")})
    if config_name not in known:
        raise EmbeddedServerError(
            f"No model in {repository} has configs/{config_name}.pbtxt. There are: {', '.join(known) or 'none'}."
        )
    configs = {role: read_config(repository, role, config_name) for role in Role}
    if any(config.backend == "tensorrt" for config in configs.values()):
        raise EmbeddedServerError(
            f"The embedded server has no TensorRT, which configs/{config_name}.pbtxt ask for: serve these engines with "
            "NVIDIA's image (docker-compose.yml, with --model-config-name), or start without --config-name."
        )
    files = {role: engine_folder(repository, role) / config.default_model_filename for role, config in configs.items()}
    absent = [str(path) for path in files.values() if not path.is_file()]
    if absent:
        raise EmbeddedServerError(
            f"{absent[0]} does not exist, and configs/{config_name}.pbtxt names it. Make it: fashioncrop-export, with "
            "its --variant."
        )


def _orders(repository: Path, ports: tuple[int, int, int] | None, config_name: str) -> str:
    # The supervisor's imports belong to the extra `server`.
    from fashioncrop._embedded.supervisor import Orders  # noqa: PLC0415

    return Orders(repository=repository, ports=ports, config_name=config_name).model_dump_json()


def _wait_until_ready(
    process: subprocess.Popen[bytes], folder: StateFolder, timeout_s: float, on_progress: OnProgress | None
) -> ServerState:
    deadline = time.monotonic() + timeout_s
    last: ServerState | None = None
    while True:
        ended = process.poll()
        state = folder.read()
        if state is not None and state.supervisor_pid == process.pid:
            if state != last and on_progress is not None:
                on_progress(state)
            last = state
            if state.phase is Phase.READY:
                return state
            if state.phase is Phase.FAILED:
                raise EmbeddedServerError(f"{state.problem} (log: {folder.log})")
        if ended is not None:
            words = (folder.folder / "supervisor.log").read_text(errors="replace").strip().splitlines()
            raise EmbeddedServerError(
                "Another server was started at the same moment. Use it, or stop it first: fashioncrop down"
                if ended == 3  # noqa: PLR2004 - the supervisor's code for a lock that is held
                else f"The supervisor ended with code {ended}: {words[-1] if words else 'no words'} (log: {folder.log})"
            )
        if time.monotonic() > deadline:
            raise EmbeddedServerError(f"The server was not ready within {timeout_s:g} s. See {folder.log}.")
        time.sleep(_POLL_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a supervisor whose start failed or was interrupted."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    del _children[process.pid]
