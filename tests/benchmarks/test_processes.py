"""What processes take, while some of them end."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from processes import family_memory_bytes


def test_a_process_that_ends_while_it_is_looked_at_has_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    gone = psutil.Process(ended.pid)
    ended.wait()
    monkeypatch.setattr(psutil.Process, "children", lambda _process, **_options: [gone])
    assert family_memory_bytes(os.getpid()) > 2**20


def test_the_memory_of_descendants_counts() -> None:
    alone = family_memory_bytes(os.getpid())
    words = [sys.executable, "-c", "kept = bytes(range(256)) * 2**18; print(flush=True); input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert family_memory_bytes(os.getpid()) - alone > 2**26
        child.communicate(b"\n")
