"""Each benchmark of speed as a person runs it, once, on tiny models and a real server."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import command
import models
import models_run
import overhead
import overhead_run
import scale
import scale_run
import soak
import soak_run
from documents import read_documents
from fashioncrop import EmbeddedServer
from fashioncrop.errors import OptionError
from fashioncrop.model_repository import PIPELINE, Role, prepare_repository
from perf_analyzer import VARIABLE, WHEEL
from processes import SERVER, server_pid, server_processes, shared_memory_bytes, summed_by_name

BENCHMARKS = Path(command.__file__).parent
QUESTIONS = ("pipeline", "overhead", "models", "scale", "soak")
SMALL = ("--models", "tiny", "--size", "384x512")
FOUND = ("--score-threshold", "0.3", "--max-garments", "2")


def run(question: str, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{question}.py"), *words],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env={**os.environ, **(env or {})},
    )


APPS = {"overhead": overhead.app, "models": models.app, "scale": scale.app, "soak": soak.app}
"""`import pipeline` is the pipeline's own module."""


def test_help_says_what_can_be_asked() -> None:
    said = {name: CliRunner().invoke(app, ["--help"], terminal_width=200).output for name, app in APPS.items()}
    said["pipeline"] = run("pipeline", "--help").stdout
    for question in QUESTIONS:
        for option in ("--models", "--size", "--out", "--name"):
            assert option in said[question]


def test_a_wrong_option_is_a_sentence_on_stderr(tmp_path: Path) -> None:
    for words, code, says in (
        (("--size", "large"), 1, "WIDTHxHEIGHT"),
        (("--clients", "1,none"), 1, "--clients takes numbers"),
        (("--against", "nobody"), 2, "nobody"),
        (("--out", "/dev/null/no"), 1, "--out"),
    ):
        done = run("pipeline", "--out", str(tmp_path), *words)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert says in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("question", "words", "says"),
    [
        ("scale", ("--groups", "weather"), "threads, instances"),
        ("overhead", ("--requests", "1"), "--requests"),
        ("models", ("--only", "no_model"), "no_model"),
        ("soak", ("--seconds", "10", "--warm-up", "9"), "leaves less than half"),
        ("soak", ("--load", "1.5"), "--load"),
    ],
)
def test_a_wrong_option_is_refused_before_any_work(
    tmp_path: Path, question: str, words: tuple[str, ...], says: str
) -> None:
    done = CliRunner().invoke(APPS[question], ["--out", str(tmp_path), *words])
    if done.exit_code == 2:
        assert says in done.output
    else:
        assert isinstance(done.exception, OptionError)
        assert says in str(done.exception)


@pytest.fixture(scope="module")
def cache(tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that has the tiny checkpoints and their engines, so that nothing is exported."""
    from tiny_models import tiny_checkpoints  # noqa: PLC0415 - needs the exporter

    cache = tmp_path_factory.mktemp("cache")
    shutil.copytree(tiny_checkpoints(tiny_repository), cache, dirs_exist_ok=True)
    prepare_repository(Path(shutil.copytree(tiny_repository, cache / "repositories" / "tiny")))
    return cache


@pytest.fixture(scope="module")
def server(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One for every benchmark that changes nothing about it."""
    state = tmp_path_factory.mktemp("state")
    with EmbeddedServer(repository=cache / "repositories" / "tiny", state_folder=state) as running:
        yield running


@pytest.fixture
def on_that_server(server: EmbeddedServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (overhead_run, scale_run, soak_run):
        monkeypatch.setattr(module, "running", lambda _repository, _words: nullcontext(server))
        monkeypatch.setattr(module, "exported", lambda _models, _words: cache / "repositories" / "tiny")


def document(app: typer.Typer, out: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """Run a benchmark in this process; its only document, which has a figure beside it."""
    done = CliRunner().invoke(app, [*words, "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    ((name, content),) = read_documents(out).items()
    assert (out / f"{name}.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert content["question"] in done.output
    assert {model["role"] for model in content["models"]} == set(Role)
    assert {model["threads"] for model in content["models"]} == {0}
    return content


@pytest.mark.server
@pytest.mark.export
@pytest.mark.usefixtures("on_that_server")
def test_overhead(tmp_path: Path) -> None:
    words = ("--photos", "2", "--requests", "3", "--clients", "2", "--seconds", "0.1")
    content = document(overhead.app, tmp_path, *SMALL, *FOUND, *words)
    measured = content["measured"]
    assert 0 < measured["outside_ms"]["median"] < measured["request"]["median"]
    assert measured["inside"]["garment_detector"]["least"] > 0
    assert measured["inside"]["image_embedder"]["least"] > 0
    assert measured["outside"]["decode"]["least"] > 0
    assert measured["outside_ms"]["rounds"] == 3
    for stage, spread in measured["outside"].items():
        # A little may be missing: the server counts a model's request until its memory is given back.
        assert spread["median"] > -0.1 * measured["request"]["median"], f"{stage}: no stage ends before it begins"
    cpu = measured["under_load"]["cpu_ms_a_photo"]
    assert set(cpu) == {*Role, PIPELINE, SERVER}
    assert cpu[PIPELINE] > 0
    own = measured["own_work_cpu_ms"]
    assert own["decode"]["least"] > 0
    assert own["all of it"]["median"] > own["colours"]["median"] > 0
    assert all(count > 0 for count in measured["garments"]), "else there is nothing to cut out"
    assert content["targets"][0]["says"] == "time outside the models"


@pytest.mark.server
@pytest.mark.export
@pytest.mark.usefixtures("on_that_server")
def test_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_run, "BATCHES", (1, 16))
    words = ("--groups", "batch", "--photos", "1", "--clients", "2", "--rounds", "1", "--seconds", "0.1")
    content = document(scale.app, tmp_path, *SMALL, *FOUND, *words)
    shipped = content["measured"]["tried"]["as shipped"]
    assert shipped["per_second"]["median"] > 0
    assert shipped["memory_mb_by_process"][0][PIPELINE] > 10
    assert shipped["shared_memory_mb"][0] > 10
    batches = {(one["model"], one["batch"]) for one in content["measured"]["items_per_second_by_batch"]}
    assert {("image_embedder", 1), ("image_embedder", 16), ("garment_detector", 1)} <= batches
    assert ("garment_detector", 16) not in batches, "more than it takes"
    assert any(sentence.startswith("One GPU (extrapolated") for sentence in content["recommendations"])


@pytest.mark.server
@pytest.mark.export
@pytest.mark.usefixtures("on_that_server")
def test_soak(tmp_path: Path) -> None:
    words = ("--seconds", "4", "--warm-up", "1", "--find", "0.5", "--clients", "2", "--most-growth", "10")
    content = document(soak.app, tmp_path, "--models", "tiny", "--size", "256x256", *words)
    measured = content["measured"]
    assert set(measured["grown"]) == {"memory", "shared memory", "open files"}
    assert measured["verdicts"]["wrong"] == 0, measured["wrong"]
    assert measured["repairs"] == 0
    assert sum(one["requests"] for one in measured["outcomes"]) == measured["requests"]
    assert measured["offered_per_second"] == pytest.approx(0.8 * measured["most_per_second"])
    assert len(measured["samples"]) >= 5
    assert measured["samples"][0]["memory_bytes"] > 2**26


@pytest.mark.server
@pytest.mark.export
@pytest.mark.usefixtures("on_that_server")
def test_a_server_that_grows_ends_the_soak_with_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def growing(pid: int) -> int:
        seen.append(pid)
        return shared_memory_bytes(pid) + len(seen) * 2**24

    monkeypatch.setattr(soak_run, "shared_memory_bytes", growing)
    words = ("--seconds", "5", "--warm-up", "0.5", "--find", "0.5", "--clients", "1", "--load", "0.3")
    content = document(soak.app, tmp_path, "--models", "tiny", "--size", "256x256", *words, code=1)
    verdicts = {target["says"]: target["is_met"] for target in content["targets"]}
    assert not verdicts["growth of shared memory after warm-up"]


@pytest.mark.server
@pytest.mark.export
def test_the_servers_processes_are_told_apart(server: EmbeddedServer) -> None:
    pid = server_pid(server)
    by_name = summed_by_name(server_processes(pid))
    assert set(by_name) == {SERVER, PIPELINE, *Role}
    assert all(one.resident_bytes >= one.own_bytes > 2**20 for one in by_name.values())
    assert all(one.open_files > 3 and one.cpu_s > 0 for one in by_name.values())
    assert shared_memory_bytes(pid) >= 6 * 2**20


@pytest.mark.server
@pytest.mark.export
def test_pipeline_against_the_usual_service_and_the_documented_model(cache: Path, tmp_path: Path) -> None:
    words = ("--against", "usual", "--against", "documented", "--clients", "1,2", "--rounds", "1", "--seconds", "0")
    waiting = ("--photos", "1", "--queue-delay-ms", "1", "--out", str(tmp_path), "--name", "mine")
    done = run("pipeline", *SMALL, *FOUND, *words, *waiting, env={"FASHIONCROP_CACHE": str(cache)})
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "mine.json").read_text(encoding="utf-8"))
    measured = content["measured"]
    assert set(measured["contenders"]) == {"ours", "usual service", "documented BLS"}
    for levels in measured["contenders"].values():
        assert set(levels) == {"1", "2"}
        assert levels["2"]["latencies"]["answers"] >= 2
    for told in measured["agreement_with_ours"].values():
        assert told["garments"] >= 4
        assert told["matched"] >= told["tolerance"]["least_matched"]
        assert told["least_cosine"] >= 0.9999
    assert measured["agreement_with_ours"]["documented BLS"]["matched"] == 1
    assert measured["memory_mb"]["usual service"] > 100
    assert content["environment"]["packages"]["fastapi"]
    assert (tmp_path / "mine.svg").is_file()
    assert "usual service" in done.stdout


@pytest.fixture(scope="session")
def program(pytestconfig: pytest.Config) -> Path:
    """perf_analyzer out of its wheel; kept."""
    place = pytestconfig.cache.mkdir("perf_analyzer")
    program = place / "bin" / "perf_analyzer"
    if not program.is_file():
        words = ["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(place), WHEEL]
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            pytest.skip(f"perf_analyzer cannot be had here: {done.stderr.strip().splitlines()[-1:]}")
    return program


@pytest.mark.server
@pytest.mark.export
def test_models(cache: Path, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(program))
    monkeypatch.setattr(models_run, "exported", lambda _models, _words: cache / "repositories" / "tiny")
    words = ("--only", "image_embedder", "--clients", "2", "--rounds", "1", "--seconds", "0.2")
    content = document(models.app, tmp_path, *SMALL, *words)
    swept = {(one["model"], one["protocol"]): one for one in content["measured"]["swept"]}
    subjects = ("image_embedder", "encoded_photo", "raw_pixels")
    assert set(swept) == {(model, protocol) for model in subjects for protocol in ("grpc", "http")}
    for one in swept.values():
        assert one["saturation"]["per_second"] > 0
        assert [point["offered"] for point in one["clients"]] == [2]
    rates = [point["offered"] for point in swept["image_embedder", "grpc"]["rates"]]
    assert len(rates) == 5
    assert rates == sorted(rates)
    assert swept["image_embedder", "http"]["rates"] == []
    folder = tmp_path / content["measured"]["tables"]
    with (folder / "image_embedder-http-clients-1.csv").open(encoding="utf-8", newline="") as file:
        assert [row["Concurrency"] for row in csv.DictReader(file)] == ["2"]
    assert len(list(folder.iterdir())) == 7
