"""A gateway in a process of its own that watches its event loop; started by `gateway.py`, told what to do on stdin.

It prints a line of JSON with its address and key, and another for each line that it reads: what held its loop up since
the last one, and its memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from asyncio import events
from pathlib import Path
from typing import Any

from fashioncrop.gateway.keys import KeyFile, Scope
from fashioncrop.gateway.serving import serve
from fashioncrop.settings import Settings

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MS = 1000


class Watch:
    """Measures every callback of this process' event loops.

    Attributes:
        callbacks: how many there were.
        longest_wall_ms: of one callback, other threads and other processes in its way included.
        longest_cpu_ms: of one callback's own processor time.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.callbacks, self.longest_wall_ms, self.longest_cpu_ms = 0, 0.0, 0.0

    def begin(self) -> None:
        """Watch from now on: every callback of asyncio goes through this one method."""
        run = events.Handle._run  # noqa: SLF001 - there is no public place

        def watched(handle: asyncio.Handle) -> None:
            wall_s, cpu_s = time.perf_counter(), time.thread_time()
            run(handle)
            self.longest_cpu_ms = max(self.longest_cpu_ms, (time.thread_time() - cpu_s) * _MS)
            self.longest_wall_ms = max(self.longest_wall_ms, (time.perf_counter() - wall_s) * _MS)
            self.callbacks += 1

        events.Handle._run = watched  # type: ignore[method-assign, assignment]  # noqa: SLF001 - as above


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


def report_when_asked(watch: Watch) -> None:
    """Answer each line of stdin; end where it ends."""
    for _ in sys.stdin:
        tell({**vars(watch), "resident_bytes": resident_bytes()})
        watch.reset()
    os._exit(0)


def tell(content: dict[str, Any]) -> None:
    """A line for who started this."""
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve for the model server at `argv[1]`."""
    watch = Watch()
    watch.begin()
    threading.Thread(target=report_when_asked, args=(watch,), daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        keys = KeyFile(Path(folder) / "keys.json")
        _, key = keys.create("benchmark", [Scope.ANALYZE])
        settings = Settings(
            url=sys.argv[1],
            listen="127.0.0.1:0",
            keys_file=keys.path,
            caching=False,
            rate_limit="100000000/minute",
            max_in_flight=1000,
        )
        serve(settings, needs_keys=True, on_ready=lambda url: tell({"url": url, "key": key}))


if __name__ == "__main__":
    main()
