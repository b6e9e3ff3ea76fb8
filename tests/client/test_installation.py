"""What is said where the embedded server cannot run."""

from __future__ import annotations

import ctypes.util
import importlib.util
import sys
import sysconfig
from collections import namedtuple
from importlib.machinery import ModuleSpec

import pytest

from fashioncrop._embedded.installation import find_installation
from fashioncrop.errors import EmbeddedServerError

pytestmark = pytest.mark.server


def test_everything_is_there() -> None:
    installation = find_installation()
    assert installation.server.is_file()
    assert installation.stub.is_file()
    assert all(folder.is_dir() for folder in installation.library_folders)


def test_another_system_has_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(EmbeddedServerError, match="Linux only; this is darwin"):
        find_installation()


@pytest.mark.parametrize("module", ["pytriton", "onnxruntime", "cv2", "psutil", "tokenizers"])
def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    real = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == module else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(EmbeddedServerError, match=r"pip install 'fashioncrop\[server\]'"):
        find_installation()


def test_a_python_without_a_stub_is_told_which_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    version = namedtuple("version", "major minor micro releaselevel serial")  # noqa: PYI024 - as sys has it
    monkeypatch.setattr(sys, "version_info", version(3, 14, 0, "final", 0))
    with pytest.raises(EmbeddedServerError, match=r"no Python stub for Python 3\.14; it has .*3\.9, 3\.10, .*3\.13"):
        find_installation()


def test_an_interpreter_without_its_shared_library_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _name: "/nowhere")
    monkeypatch.setattr(sys, "base_prefix", "/nowhere")
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    monkeypatch.setattr(ctypes.util, "find_library", lambda _name: None)
    with pytest.raises(EmbeddedServerError, match=r"no shared library.*apt install libpython3"):
        find_installation()
