"""perf_analyzer: how it is found, what is made of its tables, and how it fails."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from fashioncrop.errors import DeploymentError, ServerFaultError
from model_inputs import write_inputs
from models_run import medians
from perf_analyzer import VARIABLE, WHEEL, PerfAnalyzer, Subject, find_perf_analyzer, perf_analyzer, read_table
from saturation import Point

HEAD = (
    "Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,Server Compute Infer,"
    "Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency,request/response,response wait\n"
)


def row(load: str, per_second: float, p50_us: int, p99_us: int, infer_us: int) -> str:
    return f"{load},{per_second},19,6104,842,53,{infer_us},212,2,{p50_us},15932,16244,{p99_us},21,8936\n"


def test_its_table_is_read_in_the_order_of_the_loads(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("Concurrency," + HEAD + row("2", 591.6, 2699, 16827, 949) + row("1", 585.1, 1358, 10778, 1018))
    one, two = read_table(table)
    assert (one.point.offered, one.point.per_second) == (1, 585.1)
    assert (one.point.p50_ms, one.point.p99_ms) == pytest.approx((1.358, 10.778))
    assert (one.infer_ms, one.queue_ms) == pytest.approx((1.018, 0.842))
    assert two.point.offered == 2
    table.write_text("Request Rate," + HEAD + row("20.5", 16.4, 1000, 2000, 500))
    assert read_table(table)[0].point.offered == 20.5
    table.write_text("something,else\n1,2\n")
    with pytest.raises(ServerFaultError, match="not a table"):
        read_table(table)


def test_rounds_become_medians_point_by_point(tmp_path: Path) -> None:
    rounds = []
    for rate in (10, 30, 20):
        table = tmp_path / f"{rate}.csv"
        table.write_text("Concurrency," + HEAD + row("1", rate, rate * 1000, 9000, 5) + row("4", 99, 7000, 9000, 5))
        rounds.append(read_table(table))
    assert medians(rounds) == [Point(1, 20, 20, 9), Point(4, 99, 7, 9)]


def test_without_it_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("FASHIONCROP_CACHE", str(tmp_path))
    with pytest.raises(DeploymentError, match="pip install --no-deps --target") as caught:
        find_perf_analyzer()
    assert WHEEL in str(caught.value)
    program = tmp_path / "perf_analyzer" / "bin" / "perf_analyzer"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho cannot >&2; exit 3\n")
    assert find_perf_analyzer() == program
    with pytest.raises(DeploymentError, match="cannot be run"), perf_analyzer():
        pass
    program.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(program))
    with pytest.raises(DeploymentError, match="does not run on this machine: cannot"), perf_analyzer():
        pass


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return Subject("detector", "127.0.0.1:9", "grpc", tmp_path / "inputs.json", 500)


def scripted(tmp_path: Path, script: str) -> PerfAnalyzer:
    program = tmp_path / "scripted"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n{script}\n')
    program.chmod(0o755)
    return PerfAnalyzer(program, {"PATH": "/usr/bin:/bin"})


def test_windows_grow_until_something_is_in_them(tmp_path: Path, subject: Subject) -> None:
    """Its rows are those of all loads, in one table that is kept."""
    text = "Concurrency," + HEAD + row("1", 5.0, 9, 9, 5)
    (tmp_path / "row.csv").write_text(text)
    analyzer = scripted(
        tmp_path,
        f'test "$(wc -l < {tmp_path}/asked)" -gt 2 || {{ echo "Failed to obtain stable measurement." >&2; exit 99; }}\n'
        f'cp {tmp_path}/row.csv "$(echo "$@" | sed "s/.* -f //; s/ .*//")"',
    )
    found = analyzer.clients(subject, [1, 2], tmp_path / "out.csv")
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [one.partition("--measurement-interval ")[2].split()[0] for one in asked] == ["500", "1000", "2000", "500"]
    assert all("--concurrency-range 1" in one for one in asked[:3])
    assert len(found) == 2
    assert (tmp_path / "out.csv").read_text().count("\n") == 3
    assert not (tmp_path / "out.one.csv").exists()


def test_its_own_words_are_passed_on(tmp_path: Path, subject: Subject) -> None:
    analyzer = scripted(tmp_path, 'echo "error: failed to get model metadata" >&2; exit 1')
    with pytest.raises(ServerFaultError, match=r"detector over grpc .*failed to get model metadata"):
        analyzer.rates(subject, [1.5], tmp_path / "out.csv")
    assert (tmp_path / "asked").read_text().count("\n") == 1, "what is no matter of time is not tried again"
    never = scripted(tmp_path, 'echo "Failed to obtain stable measurement." >&2; exit 99')
    with pytest.raises(ServerFaultError, match="could not measure"):
        never.clients(subject, [1], tmp_path / "out.csv")


def test_inputs_travel_as_they_are(tmp_path: Path) -> None:
    photo = np.empty(1, np.object_)
    photo[0] = b"\xff\xd8jpeg\0"
    write_inputs(tmp_path / "photo.json", {"image": photo}, is_batched=False)
    (entry,) = json.loads((tmp_path / "photo.json").read_text())["data"]
    assert entry["image"]["shape"] == [1]
    assert base64.b64decode(entry["image"]["content"]["b64"]) == struct.pack("<I", 7) + b"\xff\xd8jpeg\0"
    pixels = np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3)
    write_inputs(tmp_path / "pixels.json", {"image": pixels[:, ::-1]}, is_batched=True)
    (entry,) = json.loads((tmp_path / "pixels.json").read_text())["data"]
    assert entry["image"]["shape"] == [2, 4, 3]
    assert base64.b64decode(entry["image"]["content"]["b64"]) == pixels[:, ::-1].tobytes()
