"""The process beside an embedded PostgreSQL: starts it, and stops it when nobody uses it any more.

Run as `python -I keeper.py FOLDER POSTGRES UID GID OPTION...`; `embedded.py` does that. It imports nothing but the
standard library, so that it is there at once and small.

Who uses the database holds a shared lock on `users.lock`, which the kernel takes back however a process ends; when an
exclusive one can be had, there is no user left. This process holds `server.lock` as long as it lives.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.02
_IDLE_POLL_S = 0.1
_LOCK_ATTEMPTS = 100
_ATTEMPTS = 20
_PAUSE_S = 0.5
_LEFT_OVER_WITHIN_S = 60
_STOP_WITHIN_S = 60
_LIBC = ctypes.CDLL(None)


class _StopAskedError(Exception):
    """SIGTERM or SIGINT came."""


def main() -> int:
    """Keep one server until nobody uses it, or it ends."""
    folder, program = Path(sys.argv[1]), sys.argv[2]
    user, group = int(sys.argv[3]), int(sys.argv[4])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ask_to_stop)
    ready = folder / "ready"
    with (folder / "server.lock").open("ab") as mine, (folder / "users.lock").open("ab") as users:
        if not _taken(mine.fileno()):
            return 3
        if os.fork():
            os._exit(0)  # who started this one knows by its end that the lock is held, and need not collect the other
        ready.unlink(missing_ok=True)
        left_over = _wait_for_left_over(folder / "data")
        for attempt in range(_ATTEMPTS if left_over else 1):
            if attempt:
                time.sleep(_PAUSE_S)  # processes of a server that was killed are just ending
            server = subprocess.Popen(
                [program, "-D", str(folder / "data"), *sys.argv[5:]],
                stdin=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - there is one thread only
                **({"user": user, "group": group, "extra_groups": []} if os.geteuid() == 0 else {}),  # type: ignore[call-overload]
            )
            try:
                was_ready = _watch(server, folder, ready, users.fileno())
            except _StopAskedError:
                was_ready = True
            finally:
                ready.unlink(missing_ok=True)
                _stop(server)
            if was_ready:
                return 0
        return 1


def _taken(lock: int) -> bool:
    """Whoever only asks whether the lock is held holds it for a moment."""
    for _ in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_POLL_S)
        else:
            return True
    return False


def _watch(server: "subprocess.Popen[bytes]", folder: Path, ready: Path, users: int) -> bool:
    """Say when the server answers; come back when it has ended, or nobody uses it. Did it ever answer?"""
    was_ready = False
    while server.poll() is None:
        if not was_ready:
            if _is_ready(folder / "data", server.pid):
                ready.write_text(f"{server.pid}\n")
                was_ready = True
            time.sleep(_POLL_S)
            continue
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_IDLE_POLL_S)
        else:
            break  # the lock is kept until this process ends: who comes now waits, and then starts another
    return was_ready


def _stop(server: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGINT, signal.SIGQUIT):  # PostgreSQL's fast and immediate shutdown
        if server.poll() is not None:
            return
        server.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_STOP_WITHIN_S)
    if server.poll() is None:
        server.kill()
        server.wait()


def _is_ready(data: Path, pid: int) -> bool:
    """Does the server itself say so? The file may be another's that was killed."""
    lines = _lines(data / "postmaster.pid")
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004 - of pidfile.h


def _wait_for_left_over(data: Path) -> bool:
    """Where an earlier keeper was killed, its server is just ending. Was there anything left of one?"""
    file = data / "postmaster.pid"
    end_s = time.monotonic() + _LEFT_OVER_WITHIN_S
    found = False
    while (lines := _lines(file)) and lines[0].strip().isdigit():
        found = True
        pid = int(lines[0])
        if not Path(f"/proc/{pid}").exists():
            break  # PostgreSQL sees that itself
        if not _works_in(pid, data):
            # The number belongs to somebody else by now, whom PostgreSQL might take for its own, and not start.
            file.unlink(missing_ok=True)
            break
        if time.monotonic() > end_s:
            sys.stderr.write(f"FATAL:  process {pid} still uses {data}\n")
            sys.exit(1)
        time.sleep(_POLL_S)
    return found


def _works_in(pid: int, data: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == data.resolve()
    except OSError:
        return False


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _ask_to_stop(number: int, frame: "FrameType | None") -> None:
    del number, frame
    raise _StopAskedError


def _die_with_parent() -> None:
    """The kernel has the server shut down, fast and in order, where this process is killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
