"""Who may import whom: a private module for each outside system, edges that nothing imports, extras that stay extra."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fashioncrop
from fashioncrop.model_repository import PIPELINE, shipped_repository

PACKAGE = Path(fashioncrop.__file__).parent
PIPELINE_CODE = shipped_repository() / PIPELINE / "1"
BACKENDS = PACKAGE / "_embedded" / "backends"
EXTRAS = (
    "torch",
    "transformers",
    "onnxruntime",
    "onnx",
    "cv2",
    "psutil",
    "tokenizers",
    "pytriton",
    "fashioncrop_export",
    "fashioncrop_paperdoll",
    "obstore",
    "openai",
    "pyarrow",
    "redis",
    "alembic",
    "psycopg",
    "sqlalchemy",
    "procrastinate",
    "psycopg_pool",
    "fastapi",
    "limits",
    "opentelemetry",
    "prometheus_client",
    "pybase64",
    "starlette",
    "uvicorn",
)

CLIENT_FILES = sorted(path for path in PACKAGE.rglob("*.py") if BACKENDS not in path.parents)
ALLOWED = {
    "tritonclient": {"_triton.py", "_embedded/control.py", "model_repository.py"},
    "httpcore2": {"_fetch.py", "dinox/transport.py"},
    "psutil": {"_embedded/supervisor.py"},
    "rich": {
        *("cli/app.py", "cli/analyzing.py", "cli/gateway.py", "cli/serving.py", "cli/batch_progress.py"),
        *("cli/cataloguing.py", "cli/searching.py", "settings/_show.py"),
    },
    "typer": {
        *("cli/__init__.py", "cli/app.py", "cli/analyzing.py", "cli/batching.py", "cli/configuring.py"),
        *("cli/cataloguing.py", "cli/gateway.py", "cli/searching.py", "cli/serving.py", "settings/flags.py"),
    },
    "pyarrow": {"batching/table.py"},
    "openai": {"describing/_openai.py"},
    "jinja2": {"reporting/_fragment.py", "reporting/_page.py"},
    "redis": {"caching/shared.py"},
    "psycopg": {"cataloguing/_database.py", "gateway/jobs/_database.py"},
    "psycopg_pool": {"gateway/jobs/_database.py"},
    "procrastinate": {"gateway/jobs/_database.py"},
    "alembic": {
        *("cataloguing/_migrating.py", "cataloguing/migrations/env.py"),
        "cataloguing/migrations/versions/v0001_catalogue.py",
    },
    "sqlalchemy": {"cataloguing/_migrating.py"},
    "pydantic_settings": {"settings/_declaration.py", "settings/_load.py"},
    "uvicorn": {"gateway/serving.py"},
    "limits": {"gateway/access.py"},
    "prometheus_client": {"gateway/telling.py"},
    "pybase64": {"gateway/photos.py"},
}
EDGES = {
    "_doctor": {"cli/serving.py"},
    "_output": {"cli/analyzing.py", "cli/batching.py"},
    "reporting": {"cli/analyzing.py", "cli/searching.py", "gateway/page_api.py"},
}


def imported(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it, with what is taken from it: `a.b` and `a.b.c`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            module = str(node.module)
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("system", ALLOWED)
def test_an_outside_system_is_known_to_its_own_modules_only(system: str) -> None:
    assert {name_of(path) for path in CLIENT_FILES if system in roots(path)} == ALLOWED[system]


def test_the_model_repository_takes_nothing_but_the_protobuf_of_triton() -> None:
    names = {name for name in imported(PACKAGE / "model_repository.py") if name.startswith("tritonclient")}
    assert names == {"tritonclient.grpc", "tritonclient.grpc.model_config_pb2"}


@pytest.mark.parametrize("edge", EDGES)
def test_an_edge_is_imported_by_its_command_only(edge: str) -> None:
    outside = [path for path in CLIENT_FILES if path.parent.name != edge]
    assert {name_of(path) for path in outside if f"fashioncrop.{edge}" in imported(path)} == EDGES[edge]


def test_the_gateway_is_imported_by_its_commands_only() -> None:
    outside = [path for path in CLIENT_FILES if not name_of(path).startswith("gateway/")]
    importers = {path for path in outside if any(name.startswith("fashioncrop.gateway") for name in imported(path))}
    assert {name_of(path) for path in importers} == {"cli/gateway.py"}


def test_the_command_is_imported_by_nothing_but_itself() -> None:
    importers = {name_of(path) for path in CLIENT_FILES if "fashioncrop.cli" in imported(path)}
    assert all(name.startswith("cli/") for name in importers)


@pytest.mark.parametrize("name", ["errors", "results"])
def test_errors_and_results_need_nothing_of_the_package(name: str) -> None:
    assert "fashioncrop" not in roots(PACKAGE / f"{name}.py")


def test_the_client_and_the_exporter_meet_in_the_model_repository_only() -> None:
    assert [name_of(path) for path in CLIENT_FILES if "fashioncrop_export" in roots(path)] == []


def test_what_watches_the_server_needs_nothing_of_the_client() -> None:
    for path in CLIENT_FILES:
        if path.parent.name == "_embedded":
            inside = {name for name in imported(path) if name.startswith("fashioncrop.")}
            allowed = (
                "fashioncrop._embedded",
                "fashioncrop._channel",
                "fashioncrop.errors",
                "fashioncrop.model_repository",
            )
            assert all(name.startswith(allowed) for name in inside), name_of(path)


def test_what_keeps_the_embedded_database_needs_python_alone() -> None:
    assert roots(PACKAGE / "_postgres" / "keeper.py") <= sys.stdlib_module_names


def test_the_embedded_database_knows_nobody_who_keeps_something_in_it() -> None:
    for path in CLIENT_FILES:
        inside = {name for name in imported(path) if name.startswith("fashioncrop.")}
        if path.parent.name == "_postgres":
            assert all(name.startswith(("fashioncrop._postgres", "fashioncrop.errors")) for name in inside), path.name
        if path.parent.name == "jobs":
            assert not any(name.startswith("fashioncrop.cataloguing") for name in inside), name_of(path)


def test_only_the_pipelines_thin_side_knows_triton() -> None:
    knows = {path.name for path in PIPELINE_CODE.glob("*.py") if "triton_python_backend_utils" in roots(path)}
    assert knows == {"model.py", "metrics.py"}
    for path in PIPELINE_CODE.glob("*.py"):
        assert not roots(path) & {"tritonclient", "fashioncrop"}, path.name
        assert path.stem == "model" or "model" not in imported(path), path.name


def test_the_backends_arithmetic_does_not_know_triton() -> None:
    folder = BACKENDS / "onnxruntime"
    knows = {path.name for path in folder.glob("*.py") if "triton_python_backend_utils" in roots(path)}
    assert knows == {"model.py"}
    assert all("fashioncrop" not in roots(path) for path in folder.glob("*.py")), "it runs in the server's process"


WITHOUT_EXTRAS = f"""
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError("blocked: " + name, name=name)

sys.meta_path.insert(0, Refuse())
"""


def run_without_extras(code: str) -> subprocess.CompletedProcess[str]:
    return run_python(WITHOUT_EXTRAS + code)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


def test_the_client_works_without_the_extras() -> None:
    done = run_without_extras(
        "import fashioncrop; fashioncrop.Client('localhost:1').close(); print(fashioncrop.__all__[0])"
    )
    assert done.stderr == ""
    assert done.stdout == "Analysis\n"


def test_the_command_works_without_the_extras() -> None:
    done = run_without_extras("import sys; sys.argv = ['fashioncrop', 'schema']; import fashioncrop.cli as c; c.main()")
    assert done.stderr == ""
    assert '"Analysis"' in done.stdout


def test_the_gateway_works_without_the_catalogues_and_the_jobs_extra() -> None:
    blocked = ("psycopg", "psycopg_pool", "alembic", "sqlalchemy", "procrastinate")
    blocks = f"import sys; sys.modules |= dict.fromkeys({blocked!r}); "
    done = run_python(blocks + "import fashioncrop.gateway.serving as s; print(s.serve)")
    assert done.stderr == ""
    assert "serve" in done.stdout


def test_the_exporter_without_its_extra_says_what_to_install(tmp_path: Path) -> None:
    done = run_python(
        "import sys; sys.modules['torch'] = None; "
        f"sys.argv = ['fashioncrop-export', '--models', 'tiny', '--repository', {str(tmp_path)!r}, '--cache', "
        f"{str(tmp_path / 'cache')!r}]; import fashioncrop_export.cli as c; c.main()"
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].endswith("Run: pip install 'fashioncrop[export]'")
    assert "Traceback" not in done.stderr


def test_the_extras_are_blocked_in_these_tests() -> None:
    done = run_without_extras("import fashioncrop._embedded.supervisor")
    assert "blocked: psutil" in done.stderr
