"""The production server's set-up: flags that exist, no more open than it must be, and the packages it imports."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from fashioncrop.model_repository import PIPELINE, read_config

ROOT = Path(__file__).parents[2]
PIPELINE_CODE = ROOT / "model_repository" / PIPELINE / "1"

# The release since which the server has the flag. 24.10 is server 2.51, the embedded one: "there by then".
FLAG_SINCE = {
    "--allow-client-shm": (26, 5),
    "--allow-metrics": (24, 10),
    "--backend-config": (24, 10),
    "--disable-auto-complete-config": (24, 10),
    "--exit-timeout-secs": (24, 10),
    "--grpc-address": (24, 10),
    "--http-address": (24, 10),
    "--http-max-input-size": (25, 6),
    "--log-verbose": (24, 10),
    "--metrics-address": (24, 10),
    "--model-control-mode": (24, 10),
    "--model-repository": (24, 10),
    "--strict-readiness": (24, 10),
}
OLDEST_SAFE_RELEASE = (26, 7)

# Where the distribution has another name than the module.
DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-python-headless", "numpy": "numpy", "tokenizers": "tokenizers"}
GIVEN_BY_TRITON = {"triton_python_backend_utils", "c_python_backend_utils"}


def load_service() -> dict[str, Any]:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert list(compose["services"]) == ["server"]
    service: dict[str, Any] = compose["services"]["server"]
    return service


def instructions(text: str) -> list[tuple[str, str]]:
    """A Dockerfile's instructions with their arguments, comments left out and continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [
        (name.upper(), rest.strip()) for name, _, rest in (line.partition(" ") for line in whole.splitlines() if line)
    ]


def pinned(steps: list[tuple[str, str]]) -> dict[str, str]:
    """What `pip install` installs: distribution to version."""
    (command,) = [rest for name, rest in steps if name == "RUN" and "pip install" in rest]
    words = shlex.split(command.partition("&&")[0])
    requirements = [word for word in words[words.index("install") + 1 :] if not word.startswith("-")]
    assert all(re.fullmatch(r"[a-z-]+==[0-9.]+", requirement) for requirement in requirements), requirements
    return dict(requirement.split("==") for requirement in requirements)


def third_party_modules(folder: Path) -> set[str]:
    """Top-level modules that the folder's code imports from neither Python, Triton nor itself."""
    files = list(folder.glob("*.py"))
    found: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - GIVEN_BY_TRITON - {file.stem for file in files}


def seconds(duration: str) -> int:
    match = re.fullmatch(r"(\d+)s", duration)
    assert match, duration
    return int(match[1])


@pytest.fixture
def service() -> dict[str, Any]:
    return load_service()


@pytest.fixture
def flags(service: dict[str, Any]) -> dict[str, str]:
    program, *arguments = service["command"]
    assert program == "tritonserver"
    pairs = [argument.partition("=") for argument in arguments]
    assert len({name for name, _, _ in pairs}) == len(pairs), "a flag is given twice"
    return {name: value for name, _, value in pairs}


@pytest.fixture
def steps() -> list[tuple[str, str]]:
    return instructions((ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8"))


@pytest.fixture
def release(steps: list[tuple[str, str]]) -> tuple[int, int]:
    (image,) = [rest for name, rest in steps if name == "FROM"]
    match = re.fullmatch(r"nvcr\.io/nvidia/tritonserver:(\d\d)\.(\d\d)-py3", image)
    assert match, image
    return int(match[1]), int(match[2])


def test_the_image_is_pinned_and_none_with_known_holes(release: tuple[int, int]) -> None:
    assert release >= OLDEST_SAFE_RELEASE


def test_the_image_has_every_flag(flags: dict[str, str], release: tuple[int, int]) -> None:
    assert set(flags) <= set(FLAG_SINCE)
    assert [name for name in flags if FLAG_SINCE[name] > release] == []


@pytest.mark.server
def test_the_embedded_server_knows_the_flags_that_are_said_to_be_that_old() -> None:
    """An unknown flag ends the server's start; its own help says what it knows."""
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the extra `server`")
    package = Path(spec.submodule_search_locations[0])
    environment = {**os.environ, "LD_LIBRARY_PATH": str(package.parent / "nvidia_pytriton.libs")}
    binary = package / "tritonserver" / "bin" / "tritonserver"
    told = subprocess.run([binary, "--help"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    known = set(re.findall(r"^\s+(--[a-z0-9-]+)", told.stdout + told.stderr, re.MULTILINE))
    assert len(known) > 50
    assert {name for name, since in FLAG_SINCE.items() if since == (24, 10)} <= known
    assert {name for name, since in FLAG_SINCE.items() if since > (24, 10)}.isdisjoint(known)


def test_models_cannot_be_changed_from_outside(flags: dict[str, str], service: dict[str, Any]) -> None:
    assert flags["--model-control-mode"] == "none"
    assert flags["--allow-client-shm"] == "false"
    (models,) = service["volumes"]
    assert models == {
        "type": "bind",
        "source": "./model_repository",
        "target": flags["--model-repository"],
        "read_only": True,
        "bind": {"create_host_path": False},
    }


def test_the_server_says_when_a_model_is_missing(flags: dict[str, str]) -> None:
    assert flags["--strict-readiness"] == "true"
    assert "--disable-auto-complete-config" in flags
    assert flags["--log-verbose"] == "0"


def test_the_largest_photo_fits_through_http_even_as_base64(flags: dict[str, str]) -> None:
    parameters = read_config(ROOT / "model_repository", PIPELINE).parameters
    largest = int(parameters["max_image_bytes"].string_value)
    assert largest * 4 / 3 < int(flags["--http-max-input-size"]) < 64 * 1024 * 1024


def test_nobody_is_root_and_nothing_is_writable(service: dict[str, Any], steps: list[tuple[str, str]]) -> None:
    assert [rest for name, rest in steps if name == "USER"] == ["1000:1000"]
    assert steps[-1][0] != "RUN", "nothing is run after the user has changed"
    assert service["user"] == "1000:1000"
    assert service["read_only"] is True
    assert [mount.partition(":")[0] for mount in service["tmpfs"]] == ["/tmp"]  # noqa: S108
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "userns_mode"} & set(service)


def test_shared_memory_is_large_and_its_own(service: dict[str, Any], flags: dict[str, str]) -> None:
    assert service["ipc"] == "private"
    size = re.fullmatch(r"(\d+)g", service["shm_size"])
    assert size
    assert int(size[1]) >= 1
    backend, setting, value = re.split("[,=]", flags["--backend-config"])
    assert (backend, setting) == ("python", "shm-default-byte-size")
    assert int(value) * 4 <= int(size[1]) * 1024**3


def test_ports_are_open_to_this_machine_only(service: dict[str, Any]) -> None:
    assert service["ports"] == [f"127.0.0.1:{port}:{port}" for port in (8000, 8001, 8002)]


def test_one_gpu_is_asked_for(service: dict[str, Any]) -> None:
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_the_health_check_is_a_program_that_asks_for_readiness(service: dict[str, Any]) -> None:
    check = service["healthcheck"]
    kind, python, flag, program = check["test"]
    assert (kind, python, flag) == ("CMD", "python3", "-c")
    compile(program, "healthcheck", "exec")
    assert "/v2/health/ready" in program
    assert f"/v2/models/{PIPELINE}/ready" in program
    assert seconds(check["timeout"]) > 2 * 4


@pytest.mark.parametrize(
    ("statuses", "healthy"), [((200, 200), True), ((200, 400), False), ((400, 200), False), ((), False)]
)
def test_the_health_check_tells_a_dead_pipeline_from_a_live_one(
    service: dict[str, Any], statuses: tuple[int, ...], *, healthy: bool
) -> None:
    program = service["healthcheck"]["test"][3]
    server = (
        "import http.server, sys\n"
        "statuses = [int(word) for word in sys.argv[1:]]\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(statuses.pop(0)); self.end_headers()\n"
        "    def log_message(self, *arguments): pass\n"
        "listening = http.server.HTTPServer(('127.0.0.1', 0), Handler)\n"
        "print(listening.server_port, flush=True)\n"
        "if not statuses: sys.exit()\n"
        "while statuses: listening.handle_request()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", server, *map(str, statuses)], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        port = running.stdout.readline().strip()
        if not statuses:
            running.wait(timeout=10)
        code = program.replace("8000", port)
        asked = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20, check=False)
        running.terminate()
    assert (asked.returncode == 0) is healthy


def test_running_requests_may_end_before_the_server_is_killed(service: dict[str, Any], flags: dict[str, str]) -> None:
    assert seconds(service["stop_grace_period"]) > int(flags["--exit-timeout-secs"])
    assert service["restart"] == "unless-stopped"


def test_there_are_no_secrets(service: dict[str, Any], steps: list[tuple[str, str]]) -> None:
    assert not {"environment", "env_file", "secrets"} & set(service)
    assert not {"ENV", "ARG", "COPY", "ADD"} & {name for name, _ in steps}


def test_the_image_is_named_after_the_package_s_version(service: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert service["image"] == f"fashioncrop-server:{project['version']}"
    assert (ROOT / service["build"]["context"] / "Dockerfile").is_file()


def test_the_image_has_what_the_pipeline_imports_and_no_more(steps: list[tuple[str, str]]) -> None:
    imported = third_party_modules(PIPELINE_CODE)
    assert {DISTRIBUTIONS.get(module, f"unknown: {module}") for module in imported} == set(pinned(steps))


def test_the_build_tries_every_import(steps: list[tuple[str, str]]) -> None:
    (command,) = [rest for name, rest in steps if name == "RUN"]
    tried = re.search(r'python3 -c "import ([^"]+)"', command)
    assert tried
    assert {DISTRIBUTIONS[module] for module in tried[1].split(", ")} == set(pinned(steps))


def test_both_servers_compute_with_the_same_packages(steps: list[tuple[str, str]]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [Requirement(text) for text in project["dependencies"] + project["optional-dependencies"]["server"]]
    for name, version in pinned(steps).items():
        bounds = [requirement.specifier for requirement in listed if requirement.name == name]
        assert bounds, name
        assert all(version in bound for bound in bounds), (name, version, bounds)


def test_the_scan_finds_every_kind_of_import(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        "import json, numpy.linalg as n\nimport triton_python_backend_utils\nfrom crops import cut\n"
        "from PIL import Image\n"
        "def late():\n    from tokenizers import Tokenizer\nif True:\n    import cv2\nfrom . import other\n",
        encoding="utf-8",
    )
    (tmp_path / "crops.py").write_text("import os\nimport torch\n", encoding="utf-8")
    assert third_party_modules(tmp_path) == {"numpy", "PIL", "tokenizers", "cv2", "torch"}
