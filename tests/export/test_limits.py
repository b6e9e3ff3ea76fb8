"""Too little memory is told before anything begins; a disk that fills up leaves nothing that could be loaded."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fashioncrop.model_repository import Role, engine_folder, prepare_repository
from fashioncrop_export.checkpoints import Family
from fashioncrop_export.machine import memory
from fashioncrop_export.machine.memory import TooLittleMemoryError, available_bytes, needed_bytes, require_memory
from tiny_models import tiny_checkpoints

pytestmark = pytest.mark.export

GIB = 2**30
# The fastest to export.
ROLE = Role.VOCABULARY_ENCODER


def meminfo(folder: Path, available: int) -> Path:
    path = folder / "meminfo"
    path.write_text(f"MemTotal:       99999999 kB\nMemAvailable:   {available // 1024} kB\n")
    return path


def cgroup(folder: Path, limit: str, used: int, reclaimable: int = 0) -> Path:
    group = folder / "cgroup"
    group.mkdir()
    (group / "memory.max").write_text(f"{limit}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon 1\ninactive_file {reclaimable}\n")
    return group


def test_what_is_available_is_the_machines_or_the_containers_rest(tmp_path: Path) -> None:
    machine = meminfo(tmp_path, 8 * GIB)
    assert available_bytes(machine, tmp_path / "none") == 8 * GIB
    group = cgroup(tmp_path, str(6 * GIB), 5 * GIB, GIB)
    assert available_bytes(machine, group) == 2 * GIB
    (group / "memory.max").write_text("max\n")
    assert available_bytes(machine, group) == 8 * GIB
    assert available_bytes(tmp_path / "none", group) is None
    machine.write_text("nothing of use")
    assert available_bytes(machine, tmp_path / "none") is None


def test_here_something_is_available() -> None:
    available = available_bytes()
    assert available is None or available > 0


def test_what_is_needed_follows_from_the_weights(tmp_path: Path) -> None:
    assert needed_bytes("full", Family.GROUNDING_DINO) > needed_bytes("full", Family.CLIP) > GIB
    assert needed_bytes("random", Family.CLIP) == needed_bytes("full", Family.CLIP)
    assert needed_bytes("tiny", Family.CLIP) < GIB
    assert needed_bytes("full", Family.GROUNDING_DINO) < 12 * GIB
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "model.safetensors").write_bytes(bytes(1000))
    extra = needed_bytes(str(tmp_path), Family.CLIP) - needed_bytes(str(tmp_path), Family.DEPTH_ANYTHING)
    assert extra >= 1000


def test_too_little_says_how_much_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: GIB)
    with pytest.raises(
        TooLittleMemoryError, match=r"Exporting it needs about \d\.\d GiB of memory, and 1\.0 GiB are av"
    ):
        require_memory("full", Family.GROUNDING_DINO, "Exporting it")
    for enough in (64 * GIB, None):
        monkeypatch.setattr(memory, "available_bytes", lambda enough=enough: enough)
        require_memory("full", Family.GROUNDING_DINO, "Exporting it")


@pytest.fixture
def repository(tiny_repository: Path, tmp_path: Path) -> Path:
    """Holds one engine."""
    repository = tmp_path / "repository"
    prepare_repository(repository)
    shutil.copytree(engine_folder(tiny_repository, ROLE), engine_folder(repository, ROLE), dirs_exist_ok=True)
    return repository


def command(repository: Path, tiny_repository: Path, before: str, *options: str) -> subprocess.CompletedProcess[str]:
    program = f"{before}\nfrom fashioncrop_export import cli; cli.main()"
    places = ["--repository", str(repository), "--cache", str(tiny_checkpoints(tiny_repository))]
    words = [sys.executable, "-c", program, "--models", "tiny", "--only", ROLE, *places, *options]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


LITTLE_MEMORY = """
from fashioncrop_export.machine import memory
memory.available_bytes = lambda: 2**20
"""


def test_the_command_asks_for_memory_only_where_it_needs_it(repository: Path, tiny_repository: Path) -> None:
    idle = command(repository, tiny_repository, LITTLE_MEMORY)
    assert (idle.returncode, idle.stdout.split("\t")[1]) == (0, "up to date"), idle.stderr
    forced = command(repository, tiny_repository, LITTLE_MEMORY, "--force")
    assert (forced.returncode, forced.stdout) == (1, "")
    assert "Exporting vocabulary_encoder needs about 0.8 GiB of memory, and 0.0 GiB are available." in forced.stderr
    assert "Traceback" not in forced.stderr


# From the moment when the engine is written no file of the process may grow beyond this: what a full disk does, without
# filling one.
FULL_DISK = """
import resource
import onnx

save = onnx.save

def save_on_a_full_disk(*arguments, **options):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    save(*arguments, **options)

onnx.save = save_on_a_full_disk
"""


@pytest.fixture
def contents(repository: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in engine_folder(repository, ROLE).iterdir()}


def test_a_disk_that_fills_up_leaves_the_old_engine(
    repository: Path, tiny_repository: Path, contents: dict[str, bytes]
) -> None:
    done = command(repository, tiny_repository, FULL_DISK, "--force")
    assert (done.returncode, done.stdout) == (1, "")
    folder = engine_folder(repository, ROLE)
    assert f"{folder} cannot be written: " in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents


def test_a_disk_that_is_full_at_first_leaves_no_engine(repository: Path, tiny_repository: Path) -> None:
    folder = engine_folder(repository, ROLE)
    shutil.rmtree(folder)
    done = command(repository, tiny_repository, FULL_DISK)
    assert done.returncode == 1
    assert list(folder.iterdir()) == []


# The same for the file that a library passes the graph on by.
FULL_TEMPORARY_FOLDER = """
import resource
from fashioncrop_export import making

simplify = making.simplify

def simplify_on_a_full_disk(model):
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    return simplify(model)

making.simplify = simplify_on_a_full_disk
"""


def test_a_temporary_folder_that_is_full_is_named(
    repository: Path, tiny_repository: Path, contents: dict[str, bytes]
) -> None:
    done = command(repository, tiny_repository, FULL_TEMPORARY_FOLDER, "--force")
    assert done.returncode == 1
    assert f"A graph cannot be kept in {tempfile.gettempdir()} while it is being made: " in done.stderr
    assert "TMPDIR" in done.stderr
    assert "Traceback" not in done.stderr
    folder = engine_folder(repository, ROLE)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents
