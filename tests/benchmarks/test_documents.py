"""Documents of benchmarks and the page that is made of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tables
from documents import (
    DocumentError,
    Findings,
    Surroundings,
    Table,
    Target,
    document,
    read_documents,
    show_findings,
    table_of,
    write_document,
)
from fashioncrop.errors import OutputError
from tables import page_of

TABLE = Table(("model", "a second"), ((("detector", 1.5), ("embedder", None)), (("depth | all", "2.00 (1 to 3)"),)))


def made(benchmark: str = "soak", *, busy: float = 0.0, **changes: object) -> dict[str, Any]:
    """A document with everything in it."""
    fields: dict[str, Any] = {
        "targets": [Target("speed", "at least 2", "1.5", is_met=False), Target("memory", "none", "0", is_met=True)],
        "losses": ["The other is faster."],
        "recommendations": ["Take two."],
        "models": [{"role": "garment_detector", "name": "tiny", "version": "0123456789abcdef", "trained": False}],
        **changes,
    }
    findings = Findings(
        question="What does each do",
        settings={"models": "tiny"},
        conditions=["On one machine."],
        measured={"numbers": [1.5]},
        table=TABLE,
        **fields,
    )
    return document(benchmark, findings, Surroundings(("numpy",), busy), 12.34)


def test_a_document_comes_back_as_it_was_written(tmp_path: Path) -> None:
    content = made()
    path = write_document(tmp_path, "soak-tiny", content)
    assert path == tmp_path / "soak-tiny.json"
    assert read_documents(tmp_path) == {"soak-tiny": json.loads(json.dumps(content))}
    assert table_of(read_documents(tmp_path)["soak-tiny"]) == TABLE
    assert content["environment"]["packages"]["numpy"]
    assert len(content["environment"]["load_average_before"]) == 3
    with pytest.raises(OutputError, match=r"no.*cannot be written"):
        write_document(tmp_path / "no", "soak", content)


def test_a_busy_machine_is_told_of() -> None:
    assert made(busy=0.05)["warnings"] == []
    (warning,) = made(busy=0.5)["warnings"]
    assert "not quiet: 50%" in warning


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no json", "is not what a benchmark writes"),
        ("[]", "is not what a benchmark writes"),
        ('{"format": 1, "benchmark": "x"}', "is not what a benchmark writes"),
        ('{"format": 1, "benchmark": "x", "table": 3, "environment": {}}', "is not what a benchmark writes"),
        ('{"format": 99, "benchmark": "x", "table": {"columns": []}, "environment": {}}', "of format 99"),
    ],
)
def test_what_is_no_document_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "bad.json").write_text(text, encoding="utf-8")
    with pytest.raises(DocumentError, match=says) as caught:
        read_documents(tmp_path)
    assert "bad.json" in str(caught.value)


def test_a_table_is_whole() -> None:
    with pytest.raises(ValueError, match="1 cells and the table 2 columns"):
        Table(("one", "two"), ((("alone",),),))


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    show_findings(made(busy=1.0))
    out = capsys.readouterr().out
    for words in (
        *("Warning: The machine was not quiet", "What does each do", "detector", "1.50", "2.00 (1 to 3)"),
        *("MISSED: speed: 1.5 (wanted: at least 2)", "met: memory", "The other is faster.", "Take two."),
    ):
        assert words in out


def test_a_page_says_everything_of_every_document() -> None:
    drawn = ("pipeline-tiny", "scale-tiny")
    documents = {"scale-tiny": made("scale"), "pipeline-tiny": made("pipeline"), "other": made("other")}
    page = page_of(documents, "results", drawn)
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert headings == ["What was promised", "Where it loses", "pipeline-tiny", "scale-tiny", "other"]
    for words in (
        "| speed | at least 2 | 1.5 | **no** | [scale-tiny](#scale-tiny) |",
        "- The other is faster. ([pipeline-tiny](#pipeline-tiny))",
        "| detector | 1.50 |",
        "| embedder | - |",
        "| depth \\| all | 2.00 (1 to 3) |",
        "(results/scale-tiny.svg)",
        "- Take two.",
        "- On one machine.",
        "numpy 1.",
        "garment_detector: tiny 0123456789ab, random weights",
        "Threads of each model, as configured: as many as there are cores.",
    ):
        assert words in page
    assert "other.svg" not in page
    assert page == page_of(dict(reversed(documents.items())), "results", drawn)


def test_a_page_of_nothing_promises_nothing() -> None:
    page = page_of({}, "results", ())
    assert "Nothing has been measured yet." in page
    assert "promised" not in page
    without = page_of({"soak": made(targets=[], losses=[])}, "results", ())
    assert "What was promised" not in without
    assert "Nowhere in these measurements." in without


CELLS = st.one_of(st.none(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())


@given(st.lists(st.tuples(st.text(), CELLS), min_size=1), st.text())
def test_every_row_is_one_line_whatever_is_in_it(rows: list[tuple[str, Any]], sentence: str) -> None:
    wild = made(losses=[sentence])
    wild["table"] = {"columns": ["name", "value"], "sections": [rows]}
    lines = page_of({"soak": wild}, "results", ()).split("\n")
    start = lines.index("| name | value |")
    body = lines[start + 2 : start + 2 + len(rows)]
    assert all(line.startswith("| ") and line.endswith(" |") for line in body)
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in body)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(Path(tables.__file__)), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_writes_the_page_and_tells_when_it_is_old(tmp_path: Path) -> None:
    results, page = tmp_path / "results", tmp_path / "PAGE.md"
    results.mkdir()
    write_document(results, "soak-tiny", made())
    (results / "soak-tiny.svg").touch()
    where = ("--results", str(results), "--page", str(page))
    assert run(*where, "--check").returncode == 1
    assert run(*where).returncode == 0
    assert "(results/soak-tiny.svg)" in page.read_text(encoding="utf-8")
    assert run(*where, "--check").returncode == 0
    write_document(results, "soak-tiny", made(losses=["Another."]))
    old = run(*where, "--check")
    assert (old.returncode, "Run: python benchmarks/tables.py" in old.stderr) == (1, True)
    (results / "bad.json").write_text("{", encoding="utf-8")
    bad = run(*where)
    assert (bad.returncode, bad.stdout, "Traceback" in bad.stderr) == (1, "", False)
    assert "bad.json" in bad.stderr


def test_benchmarks_md_is_what_the_results_say() -> None:
    done = run("--check")
    assert done.returncode == 0, done.stderr
