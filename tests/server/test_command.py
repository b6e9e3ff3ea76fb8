"""The `fashioncrop` command as a person or a script uses it, in a process of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashioncrop import Analysis
from fashioncrop._embedded.server import EmbeddedServer

pytestmark = [pytest.mark.server, pytest.mark.export]

Run = Callable[..., subprocess.CompletedProcess[bytes]]
COMMAND = [sys.executable, "-c", "from fashioncrop.cli import main; main()"]


@pytest.fixture
def run(server: EmbeddedServer, tmp_path: Path) -> Run:
    def call(*words: str, stdin: bytes | None = None, state: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, *words],
            input=stdin,
            cwd=tmp_path,
            env={**os.environ, "FASHIONCROP_STATE": str(state or server.state_folder.folder)},
            capture_output=True,
            timeout=120,
            check=False,
        )

    return call


def test_a_photo_becomes_a_table_and_a_folder(run: Run, photographs: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(photographs["astronaut"])
    done = run("analyze", "photo.png", "--out", "result", "--threshold", "0", "--max-garments", "4")
    assert done.returncode == 0, done.stderr
    assert b"4 garments" in done.stdout
    assert b"random weights" in done.stderr
    analysis = Analysis.model_validate_json((tmp_path / "result" / "analysis.json").read_text())
    assert len(analysis.garments) == 4
    assert analysis.photo.name == "photo"
    for garment in analysis.garments:
        assert garment.crop.file is not None
        left, top, right, bottom = garment.crop.box_xyxy
        with Image.open(tmp_path / "result" / garment.crop.file) as crop:
            assert crop.size == (right - left, bottom - top)
    with Image.open(tmp_path / "result" / "boxes.jpg") as drawn:
        assert drawn.size == (512, 512)
        before = np.asarray(Image.open(io.BytesIO(photographs["astronaut"])).convert("RGB")).astype(int)
        assert (np.abs(np.asarray(drawn).astype(int) - before).max(axis=2) > 60).mean() > 0.001, "boxes are drawn"
    assert not list((tmp_path / "result").rglob("*.part"))


def test_json_goes_to_stdout_a_line_a_photo_and_words_do_not(
    run: Run, photographs: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "one.png").write_bytes(photographs["coffee"])
    (tmp_path / "two.jpg").write_bytes(photographs["rocket"])
    done = run("analyze", "one.png", "two.jpg", "--json", "--vocabulary", "red cup. spoon", "--threshold", "0.1")
    assert done.returncode == 0, done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [document["photo"]["name"] for document in documents] == ["one", "two"]
    for document in documents:
        assert document["vocabulary"] == ["red cup", "spoon"]
        assert "jpeg" not in json.dumps(document)
        Analysis.model_validate(document)


def test_stdin_is_a_photo(run: Run, photographs: dict[str, bytes]) -> None:
    done = run("analyze", "-", "--json", "--max-garments", "1", "--no-embeddings", stdin=photographs["coffee"])
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["photo"]["name"] == "stdin"
    assert all(garment["embedding"] is None for garment in document["garments"])


def test_a_failed_photo_is_told_and_the_others_go_on(run: Run, photographs: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(photographs["coffee"])
    (tmp_path / "bad.jpg").write_bytes(b"no photo at all")
    private = "https://me:hush@localhost/a.jpg?signature=hush"
    wanted = ("missing.jpg", "bad.jpg", "good.png", private)
    done = run("analyze", *wanted, "--json", "--out", "results", "--report", "report.html")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    lines = done.stderr.decode().splitlines()
    assert any(line.startswith("missing.jpg: ") for line in lines)
    assert any(line.startswith("bad.jpg: ") and "not an image" in line for line in lines)
    assert "3 of 4 photos failed." in lines
    assert (tmp_path / "results" / "good" / "analysis.json").is_file()
    report = (tmp_path / "report.html").read_text()
    assert all(f'<bdi>{name}</bdi></a> <span class="alert">not analysed' in report for name in wanted[:2])
    assert "https://localhost/a.jpg: " in done.stderr.decode()
    assert "hush" not in report + done.stderr.decode()


def test_a_named_error_is_one_line_and_exit_1(run: Run, photographs: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(photographs["coffee"])
    for words in (
        ["analyze", "nowhere.jpg"],
        ["analyze", "photo.png", "--out", "photo.png/inside"],
        ["analyze", "photo.png", "--url", "127.0.0.1:1", "--timeout", "1"],
        ["analyze", "https://localhost/photo.jpg"],
    ):
        done = run(*words)
        assert done.returncode == 1, words
        assert done.stdout == b"", words
        errors = [line for line in done.stderr.decode().splitlines() if not line.startswith("Warning:")]
        assert len(errors) == 1, errors
        assert "Traceback" not in errors[0]


def test_wrong_usage_is_exit_2(run: Run) -> None:
    threshold = ["analyze", "a.jpg", "--threshold"]
    for words in (["analyze"], [*threshold, "much"], [*threshold, "7"], ["dance"], ["up", "--ports", "1,2"]):
        assert run(*words).returncode == 2


def test_status_logs_and_doctor_see_the_server(run: Run, server: EmbeddedServer, tmp_path: Path) -> None:
    done = run("status", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["phase"] == "ready"
    assert server.http_url.encode() in run("status").stdout
    assert len(run("logs", "--lines", "5").stdout.splitlines()) == 5
    state = server.state
    assert state is not None
    healthy = run("doctor", "--repository", state.repository)
    assert healthy.returncode == 0, healthy.stdout
    assert b"Triton 2.51" in healthy.stdout
    assert b"random weights" in healthy.stdout
    lonely = run("doctor", "--repository", state.repository, state=tmp_path / "none")
    assert lonely.returncode == 1
    assert b"fashioncrop up" in lonely.stdout
    empty = run("doctor", "--repository", str(tmp_path), "--json")
    assert empty.returncode == 1
    wrong = {finding["subject"] for finding in json.loads(empty.stdout) if finding["outcome"] == "wrong"}
    assert wrong == {"model configurations", "engines"}


def test_up_and_down(run: Run, server: EmbeddedServer, tmp_path: Path) -> None:
    state = tmp_path / "own"
    repository = server.state.repository if server.state else ""
    begun = run("up", "--repository", repository, state=state)
    try:
        assert begun.returncode == 0, begun.stderr
        assert b"Ready: 6 models answer" in begun.stderr
        again = run("up", "--repository", repository, state=state)
        assert again.returncode == 1
        assert b"running already" in again.stderr
    finally:
        ended = run("down", state=state)
    assert ended.returncode == 0
    assert b"Stopped." in ended.stderr
    assert run("status", state=state).returncode == 1
    assert b"No server is running." in run("down", state=state).stderr
