"""`analyze`, `batch` and `cost` with a scripted describer and a real server, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from fashioncrop import Analysis
from fashioncrop._embedded.server import EmbeddedServer
from fashioncrop_paperdoll.scene import draw_scene
from scripted_answers import echoes_key, good, slow
from scripted_openai import ScriptedOpenAI

pytestmark = [pytest.mark.server, pytest.mark.export]

KEY = "sk-planted-and-never-to-be-seen-again"
COMMAND = [sys.executable, "-c", "from fashioncrop.cli import main; main()"]
FEW = ["--threshold", "0", "--max-garments", "2"]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def openai() -> Iterator[ScriptedOpenAI]:
    with ScriptedOpenAI() as running:
        yield running


@pytest.fixture
def environment(server: EmbeddedServer, openai: ScriptedOpenAI, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "FASHIONCROP_STATE": str(server.state_folder.folder),
        "FASHIONCROP_BASE_URL": openai.url,
        "FASHIONCROP_CACHE_DIR": str(tmp_path / "answers"),
        "OPENAI_API_KEY": KEY,
        "DINOX_API_KEY": f"{KEY}-dinox",
    }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    def call(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words],
            cwd=tmp_path,
            env={**environment, **more},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return call


def draw(folder: Path, count: int) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for seed in range(count):
        file = folder / f"{seed:04}.png"
        Image.fromarray(draw_scene(2_000_000 + seed, 96, 128).image).save(file)
        files.append(str(file))
    return files


def test_descriptions_are_in_the_table_the_json_and_the_report_and_the_second_time_is_free(
    run: Run, openai: ScriptedOpenAI, tmp_path: Path
) -> None:
    draw(tmp_path / "in", 1)
    first = run("analyze", "in/0000.png", *FEW, "--out", "out", "--report", "report.html")
    assert first.returncode == 0, first.stderr
    written = Analysis.model_validate_json((tmp_path / "out" / "analysis.json").read_text())
    sentences = [garment.description.sentence for garment in written.garments if garment.description]
    assert len(sentences) == 2
    page = (tmp_path / "report.html").read_text()
    for sentence in sentences:
        assert sentence in first.stdout
        assert sentence in page
    assert written.cost is not None
    assert f"cost ${written.cost.dollars:.6f}" in first.stderr
    assert len(openai.requests) == 1

    second = run("analyze", "in/0000.png", *FEW, "--json")
    assert second.returncode == 0, second.stderr
    answer = Analysis.model_validate_json(second.stdout)
    assert answer.cached
    assert answer.cost is None
    assert [garment.description for garment in answer.garments] == [g.description for g in written.garments]
    assert len(openai.requests) == 1
    assert "cached" in run("analyze", "in/0000.png", *FEW).stderr

    assert run("analyze", "in/0000.png", *FEW, "--no-cache").returncode == 0
    assert len(openai.requests) == 2


def test_photos_wait_for_a_slow_describer_together(run: Run, openai: ScriptedOpenAI, tmp_path: Path) -> None:
    openai._default = slow(2.5)
    photos = draw(tmp_path / "in", 10)
    done = run("analyze", *photos, *FEW, "--json", "--describer-concurrency", "8")
    assert done.returncode == 0, done.stderr
    names = [json.loads(line)["photo"]["name"] for line in done.stdout.splitlines()]
    assert names == [f"{seed:04}" for seed in range(10)], "in the order of the photos"
    assert openai.most_at_once >= 4


def test_a_limit_on_dollars_stops_before_it_is_passed(run: Run, openai: ScriptedOpenAI, tmp_path: Path) -> None:
    photos = draw(tmp_path / "in", 6)
    done = run("batch", "in", "--out", "out", *FEW, "--max-cost", "0.003", "--concurrency", "1")
    assert done.returncode == 1
    assert "limit" in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert 0 < len(rows) == len(openai.requests) < len(photos)
    assert sum(row["analysis"]["cost"]["dollars"] for row in rows) <= 0.003
    done = run("batch", "in", "--out", "out", *FEW, "--resume")
    assert done.returncode == 0, done.stderr
    assert len(openai.requests) == len(photos)


def test_a_batch_that_is_killed_and_resumed_has_one_row_a_photo(
    run: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    draw(tmp_path / "in", 40)
    (tmp_path / "in" / "broken.png").write_bytes(b"no photo")
    words = ["batch", "in", "--out", "out", *FEW, "--mode", "off", "--no-embeddings"]
    results = tmp_path / "out" / "results.jsonl"
    for rows_first, resumed in ((5, []), (20, ["--resume"])):
        process = subprocess.Popen(
            [*COMMAND, *words, *resumed], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 120
        while not results.exists() or results.read_bytes().count(b"\n") < rows_first:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert results.read_bytes().count(b"\n") < 41
    done = run(*words, "--resume")
    assert done.returncode == 1, "one photo failed"
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert sorted(Path(row["source"]).name for row in rows) == [*(f"{seed:04}.png" for seed in range(40)), "broken.png"]
    (failed,) = [row for row in rows if row["error"]]
    assert failed["source"].endswith("broken.png")
    assert failed["error_kind"] == "PhotoError" or "photo" in failed["error"]
    crops = {garment["crop"]["file"] for row in rows if row["analysis"] for garment in row["analysis"]["garments"]}
    assert all((tmp_path / "out" / crop).is_file() for crop in crops)
    assert (tmp_path / "out" / "results.parquet").is_file()
    assert not list((tmp_path / "out").rglob("*.part"))


def test_what_a_batch_will_cost_is_told_beforehand(run: Run, openai: ScriptedOpenAI, tmp_path: Path) -> None:
    draw(tmp_path / "in", 3)
    done = run("cost", "in", "--json")
    estimate = json.loads(done.stdout)
    assert estimate["photos"] == 3
    assert 0 < estimate["dollars_a_photo"] < 0.001
    assert estimate["dollars"] == pytest.approx(3 * estimate["dollars_a_photo"])
    assert "$" in run("cost", "in").stdout
    assert openai.requests == []


def test_a_planted_key_is_seen_nowhere(run: Run, openai: ScriptedOpenAI, tmp_path: Path) -> None:
    draw(tmp_path / "in", 2)
    outputs: list[str] = []
    for default in (good(), echoes_key(500), echoes_key(401)):
        openai._default = default
        for words in (
            ["analyze", "in/0000.png", "in/0001.png", "--out", "out", "--report", "report.html", "--no-cache"],
            ["batch", "in", "--out", f"batch{len(outputs)}"],
            ["analyze", "in/0000.png", "--detector", "dinox", "--threshold", "7"],
        ):
            more = {} if "dinox" in words else {"FASHIONCROP_DESCRIBER_TIMEOUT_S": "5"}
            done = run(*words, *([] if "dinox" in words else FEW), **more)
            outputs.append(done.stdout + done.stderr)
    outputs += [run("config").stdout, run("config", "--json").stdout, run("doctor").stdout]
    assert any("Authorization".lower() in request.headers for request in openai.requests)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "report.html" for path in written)
    assert any("answers" in path.parts for path in written), "the cache was used"
    for path in written:
        assert KEY.encode() not in path.read_bytes(), path
    assert all(KEY not in output for output in outputs)
