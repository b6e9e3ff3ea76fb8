from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

import pytest

from environment import cpu_model, environment, load_average


def test_what_a_reader_needs() -> None:
    found = environment(("numpy", "no-such-package"))
    json.dumps(found, allow_nan=False)
    assert found["python"] == platform.python_version()
    assert found["packages"] == {"numpy": version("numpy")}
    assert found["cpu_cores"] == os.cpu_count()
    assert 1 <= found["cpu_cores_allowed"] <= found["cpu_cores"]
    assert found["memory_bytes"] > 2**28
    assert len(load_average()) == 3


def test_the_processors_name(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel\t\t: 49\nmodel name\t: AMD EPYC 7R32: special\n\nmodel name\t: other\n")
    assert cpu_model(file) == "AMD EPYC 7R32: special"
    assert cpu_model(tmp_path / "missing") == (platform.processor() or None)


def test_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("environment.shutil.which", lambda _name: None)
    found = environment()
    assert (found["git_commit"], found["git_is_clean"]) == (None, None)


def test_outside_of_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("environment.__file__", str(tmp_path / "environment.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment()["git_commit"] is None
