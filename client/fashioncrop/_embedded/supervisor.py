"""The process beside `tritonserver`: starts it, loads its models, watches them, repairs them, stops them.

Run as `python -m fashioncrop._embedded.supervisor FOLDER`, with its orders as JSON on stdin; `server.py` does that.

What is watched, and what is done:

- the server's process: gone means restart on the same ports, with back-off;
- the models' processes (a model's Python stub is never restarted by the server, which stays "ready"): where one is
  gone, its model is reloaded and proved by a real answer. Where it is the pipeline, the whole server is restarted: the
  answers that its process owed would never come, and only closed connections tell so;
- all models, by a real answer, from time to time: also one whose process lives but does not answer.

A model that somebody told the server to unload is left alone until it is loaded again.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from types import FrameType
from typing import IO

import psutil
from pydantic import BaseModel

from fashioncrop._embedded import launch
from fashioncrop._embedded.control import Control, Health, TritonError
from fashioncrop._embedded.installation import find_installation
from fashioncrop._embedded.state import Phase, ServerState, StateFolder
from fashioncrop.errors import EmbeddedServerError
from fashioncrop.model_repository import PIPELINE, Role, engine_folder

MODELS = (*Role, PIPELINE)
"""In the order of loading: the pipeline last, because it calls the others."""

_POLL_S = 0.25
_LIVE_WITHIN_S = 60
_PROBE_EVERY_S = 15
_PROBE_TIMEOUT_S = 5
_STUCK_AFTER_S = 300
"""A model that is busy this long without ending one request is taken for hung."""
_UNLOAD_TIMEOUT_S = 5
_UNLOADED = "unloaded"
_BACK_OFF_S = (0, 1, 2, 5, 10, 30)
_STABLE_AFTER_S = 60
_PARALLEL_LOADS = 2
_PORT_ATTEMPTS = 3
_REPAIRABLE = (EmbeddedServerError, psutil.Error, TritonError, OSError)
"""What starting and watching may raise; a supervisor that ended because of it would help nobody."""


class Orders(BaseModel):
    """What the supervisor is told.

    Attributes:
        repository: the model repository.
        ports: HTTP, gRPC, metrics; None for the usual or free ones.
        config_name: see `launch.arguments`.
    """

    repository: Path
    ports: tuple[int, int, int] | None
    config_name: str


class _StopAskedError(Exception):
    """SIGTERM or SIGINT came."""


class _EndedError(EmbeddedServerError):
    """The server ended before it answered."""


class Supervisor:
    """Keeps one server alive until it is told to stop."""

    def __init__(self, folder: StateFolder, orders: Orders) -> None:
        self._folder = folder
        self._orders = orders
        self._state = ServerState(
            phase=Phase.STARTING,
            supervisor_pid=psutil.Process().pid,
            repository=str(orders.repository),
            models=dict.fromkeys(MODELS, "waiting"),
        )
        self._memory_prefix = f"fashioncrop-{hashlib.sha256(bytes(folder.folder.resolve())).hexdigest()[:8]}-"
        self._telling = Lock()
        self._backends = launch.safe_folder(folder.folder) / "backends"
        self._is_stop_asked = False
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Control | None = None
        self._stubs: dict[int, str] = {}
        self._busy_since: dict[str, tuple[float, int | None]] = {}

    def run(self, log: IO[bytes]) -> None:
        """Start, watch, and stop at SIGTERM or SIGINT.

        Raises:
            EmbeddedServerError: the server or a model does not start at all; the state file says so too.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        try:
            self._tell(phase=Phase.STARTING)
            self._clear_away()
            self._installation = find_installation()
            launch.assemble_backends(self._backends, self._installation)
            self._start_on_own_ports(log)
            self._tell(phase=Phase.READY)
            self._watch(lambda: self._start(log))
        except _StopAskedError:
            self._stop(at_once=self._state.phase is not Phase.READY)
            self._tell(phase=Phase.STOPPED, server_pid=None)
        except EmbeddedServerError as error:
            self._stop(at_once=True)
            self._tell(phase=Phase.FAILED, server_pid=None, problem=str(error))
            raise

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_stop_asked:  # once is enough
            self._is_stop_asked = True
            raise _StopAskedError

    def _tell(self, **changes: object) -> None:
        with self._telling:
            self._state = self._state.model_copy(update=changes)
            self._write_state()

    def _write_state(self) -> None:
        try:
            self._folder.write(self._state)
        except OSError as error:  # a full disk must not end a server that is well
            sys.stderr.write(f"The state cannot be written: {error}\n")

    def _tell_model(self, model: str, progress: str) -> None:
        with self._telling:
            self._state = self._state.model_copy(update={"models": {**self._state.models, model: progress}})
            self._write_state()

    def _start_on_own_ports(self, log: IO[bytes]) -> None:
        """The first start. Where ports were not wished for, another server may be quicker: then others are tried."""
        for attempt in range(_PORT_ATTEMPTS):
            ports = launch.choose_ports(self._orders.ports)
            self._ports = ports
            self._tell(
                http_url=f"http://{launch.HOST}:{ports.http}",
                grpc_url=f"{launch.HOST}:{ports.grpc}",
                metrics_url=f"http://{launch.HOST}:{ports.metrics}/metrics",
            )
            try:
                return self._start(log)
            except _EndedError:
                if self._orders.ports is not None or attempt == _PORT_ATTEMPTS - 1:
                    raise
                self._stop(at_once=True)
        return None

    def _start(self, log: IO[bytes]) -> None:
        """A server with every model loaded and proved by a real answer."""
        self._tell(models=dict.fromkeys(MODELS, "waiting"))
        server_id = secrets.token_hex(8)
        command = launch.arguments(
            self._installation,
            launch.safe_repository(self._orders.repository, self._backends.parent),
            self._backends,
            self._ports,
            memory_prefix=self._memory_prefix,
            server_id=server_id,
            config_name=self._orders.config_name,
        )
        self._identities = {str(role): _identity(self._orders.repository, role) for role in Role}
        self._process = subprocess.Popen(
            command,
            env=launch.environment(self._installation),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call; the server must not outlive this process
        )
        self._control = Control(self._state.grpc_url, server_id)
        self._tell(phase=Phase.LOADING, server_pid=self._process.pid)
        deadline = time.monotonic() + _LIVE_WITHIN_S
        while not self._control.is_live():
            if self._process.poll() is not None:
                raise _EndedError(
                    f"tritonserver ended with code {self._process.returncode}: perhaps one of its ports was taken "
                    f"meanwhile. See {log.name}."
                )
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"tritonserver did not answer within {_LIVE_WITHIN_S} s; see {log.name}.")
            time.sleep(0.1)
        pool = ThreadPoolExecutor(_PARALLEL_LOADS)
        try:
            problems = list(pool.map(self._load, Role))
        except _StopAskedError:
            self._process.kill()  # or the loads that are under way would have to be waited for
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        problems.append(self._load(PIPELINE) if not any(problems) else None)
        for problem in filter(None, problems):
            raise EmbeddedServerError(problem)
        self._stubs = self._living_stubs()

    def _load(self, model: str) -> str | None:
        control = self._connected()
        self._tell_model(model, "loading")
        problem = control.load(model)
        if problem is None:
            health, problem_words = control.probe(model, timeout_s=60)
            problem = problem_words if health is Health.DEAD else None
        if problem is not None:
            return f"The model {model} cannot be loaded: {problem}"
        self._tell_model(model, "ready")
        return None

    def _watch(self, start: Callable[[], None]) -> None:
        """Until asked to stop: repair what breaks."""
        failures = 0
        broken: str | None = None  # why the last restart failed
        started_s = probed_s = time.monotonic()
        while True:
            time.sleep(_POLL_S)
            if self._is_stop_asked:
                raise _StopAskedError
            now_s = time.monotonic()
            if failures and now_s - started_s > _STABLE_AFTER_S:
                failures = 0
            is_round_due = now_s - probed_s > _PROBE_EVERY_S
            reason = broken or self._look(ask_all=is_round_due)
            if is_round_due:
                probed_s = time.monotonic()
            if reason is None:
                continue
            self._tell(phase=Phase.REPAIRING, problem=reason, repairs=self._state.repairs + 1)
            self._stop(at_once=True)
            time.sleep(_BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)])
            failures += 1
            started_s = time.monotonic()
            try:
                start()
            except _REPAIRABLE as error:
                broken = str(error)
                self._tell(problem=broken)
            else:
                broken = None
                self._tell(phase=Phase.READY, problem=None)

    def _look(self, *, ask_all: bool) -> str | None:
        """Repair what can be repaired while the server runs. None, or why only a restart can help."""
        try:
            return self._repair(self._found_dead() if ask_all else self._gone())
        except _REPAIRABLE as error:
            return f"The server cannot be watched: {error}"

    def _gone(self) -> set[str]:
        """Models whose process is gone, although nobody unloaded or reloaded them."""
        living = self._living_stubs()
        missing = {model for pid, model in self._stubs.items() if pid not in living}
        if not missing:
            return set()
        known, alive = Counter(self._stubs.values()), Counter(living.values())
        reloaded = {model for model in missing if alive[model] >= known[model]}
        unloaded = self._connected().unloaded() & missing
        for model in unloaded:
            self._tell_model(model, _UNLOADED)
        self._stubs = {pid: model for pid, model in self._stubs.items() if model not in reloaded | unloaded}
        self._stubs |= {pid: model for pid, model in living.items() if model in reloaded - unloaded}
        return missing - reloaded - unloaded

    def _found_dead(self) -> set[str]:
        """Models that give no real answer; a process that goes meanwhile ends the round."""
        dead: set[str] = set()
        for model in MODELS:
            if self._state.models[model] == _UNLOADED:
                if not self._connected().is_ready(model):
                    continue
                self._stubs |= {pid: one for pid, one in self._living_stubs().items() if one == model}
                self._tell_model(model, "ready")
            if self._gone():
                return dead | self._gone()
            if self._is_dead(model):
                dead.add(model)
        return dead

    def _repair(self, dead: set[str]) -> str | None:
        """Reload dead models. None, or why only a restart can help."""
        if self._process is None or self._process.poll() is not None:
            return "tritonserver ended."
        if PIPELINE in dead:
            return f"The model {PIPELINE} died."
        for model in dead:
            if _identity(self._orders.repository, model) != self._identities[model]:
                # The pipeline says of its engines what was true when it loaded.
                return f"The model {model} died, and another engine has taken its place in the repository."
            self._tell(
                phase=Phase.REPAIRING,
                problem=f"The model {model} died and is being reloaded.",
                repairs=self._state.repairs + 1,
            )
            problem = self._connected().unload(model, _UNLOAD_TIMEOUT_S) or self._load(model)
            if problem is not None:
                return f"The model {model} died and could not be reloaded: {problem}"
            self._tell(phase=Phase.READY, problem=None)
        if dead:
            self._stubs = self._living_stubs()
        return None

    def _is_dead(self, model: str) -> bool:
        control = self._connected()
        health, _ = control.probe(model, _PROBE_TIMEOUT_S)
        if health is not Health.BUSY:
            self._busy_since.pop(model, None)
            return health is Health.DEAD
        answered = control.answered()
        since_s, before = self._busy_since.setdefault(model, (time.monotonic(), answered))
        if answered != before:
            self._busy_since[model] = (time.monotonic(), answered)
            return False
        return time.monotonic() - since_s > _STUCK_AFTER_S

    def _stop(self, *, at_once: bool = False) -> None:
        """Let the server finish what is in flight (unless `at_once`), then end it for certain."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            if self._process.poll() is None and not at_once:
                self._process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(launch.EXIT_TIMEOUT_S + 5)
            self._process.kill()
            self._process.wait()
            self._process = None
        self._stubs = {}
        self._clear_away()

    def _clear_away(self) -> None:
        """End models' processes that outlived their server, of this or of a killed supervisor, and free their memory.

        They are known by their program, which is in this folder alone; the lock on the folder is held.
        """
        stub = str(launch.stub_path(self._backends))
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[:1] == [stub]:
                    process.kill()
                    process.wait(5)
        launch.remove_shared_memory(self._memory_prefix)

    def _connected(self) -> Control:
        if self._control is None:
            raise EmbeddedServerError("There is no server to talk to; please report this.")
        return self._control

    def _living_stubs(self) -> dict[int, str]:
        """The models' processes that live, and whose they are."""
        if self._process is None:
            return {}
        try:
            children = psutil.Process(self._process.pid).children()
        except psutil.NoSuchProcess:
            return {}
        return {child.pid: model for child in children if (model := _served_by(child)) is not None}


def _served_by(process: psutil.Process) -> str | None:
    """The model of a living stub, which its command line names as `<model>_<group>_<instance>`."""
    try:
        words = process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return None
    for word in words:
        model, *numbers = word.rsplit("_", 2)
        if model in MODELS and len(numbers) == 2 and all(number.isdigit() for number in numbers):  # noqa: PLR2004
            return model
    return None


def _identity(repository: Path, model: str) -> bytes | None:
    """What model.json says, and those of other variants, to see that it has changed."""
    try:
        files = sorted(engine_folder(repository, Role(model)).glob("model*.json"))
        return b"\0".join(path.read_bytes() for path in files) or None
    except OSError:
        return None


_LIBC = ctypes.CDLL(None)  # before any fork: loading it afterwards could wait for a lock for ever


def _die_with_parent() -> None:
    """PR_SET_PDEATHSIG: the kernel ends the server when this supervisor is killed."""
    _LIBC.prctl(1, signal.SIGKILL)


def main() -> int:
    """Run a supervisor until it is told to stop."""
    folder = StateFolder(Path(sys.argv[1]))
    orders = Orders.model_validate_json(sys.stdin.read())
    with folder.locked() as mine:
        if not mine:
            return 3
        with folder.log.open("wb") as log:
            try:
                Supervisor(folder, orders).run(log)
            except EmbeddedServerError as error:
                log.write(f"\n{error}\n".encode())
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
