"""The command without a server: data on stdout, words on stderr, and an exit code that scripts can trust."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from fashioncrop import cli
from fashioncrop._embedded import state as state_module
from fashioncrop._embedded.state import Phase, ServerState, StateFolder
from fashioncrop._sources import Photo
from fashioncrop.analyzing import Analyzer
from fashioncrop.errors import OverloadedError, PhotoError
from fashioncrop.results import Analysis, PhotoInfo, json_schema

COMMANDS = [
    "analyze",
    "batch",
    "cost",
    "index",
    "config",
    "serve",
    "worker",
    "search",
    "up",
    "down",
    "status",
    "logs",
    "doctor",
    "schema",
    "catalogue",
    "keys",
]


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """The command in this process, with a state folder of its own and no server in the environment."""
    monkeypatch.setenv("FASHIONCROP_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("FASHIONCROP_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run_(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["fashioncrop", *arguments])
        try:
            cli.main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run_  # type: ignore[return-value]


def assert_named_error(done: Done, words: str) -> None:
    assert done.code == 1
    assert done.out == ""
    assert done.err.count("\n") == 1, "one line"
    assert done.err.startswith("Error: ")
    assert re.search(words, done.err)
    assert "Traceback" not in done.err


def test_help_lists_every_command_and_what_it_does(run: Run) -> None:
    done = run("--help")
    assert (done.code, done.err) == (0, "")
    listed = re.findall(r"^  ([a-z]+)  +[A-Z].*", done.out, re.MULTILINE)
    assert listed == COMMANDS
    for command in COMMANDS:
        assert run(command, "--help").code == 0


def test_without_a_command_the_help_is_a_usage_error(run: Run) -> None:
    done = run()
    assert done.code == 2
    assert done.out == ""
    assert "Commands:" in done.err


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version") == Done(0, version("fashioncrop") + "\n", "")


def test_the_schema_is_json_on_stdout(run: Run) -> None:
    done = run("schema")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == json_schema()


def test_no_server_is_one_line_that_says_what_to_do(run: Run) -> None:
    assert_named_error(run("analyze", "photo.jpg"), r"No server is known\. .*fashioncrop up")
    assert_named_error(run("analyze", "photo.jpg", "--json"), "No server is known")
    assert_named_error(run("status"), r"No server is running\. .*fashioncrop up")
    assert_named_error(run("status", "--json"), "No server is running")
    assert_named_error(run("logs"), "no server was started yet")


def test_stopping_what_does_not_run_is_done(run: Run) -> None:
    assert run("down") == Done(0, "", "No server is running.\n")


@pytest.mark.parametrize("vocabulary", ["", " , . ", "\n"])
def test_a_vocabulary_without_a_phrase_is_refused(run: Run, vocabulary: str) -> None:
    assert_named_error(run("analyze", "photo.jpg", "--url", "localhost:1", "--vocabulary", vocabulary), "--vocabulary")


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "--ports", "8000"),
        ("up", "--ports", "8000,8001"),
        ("up", "--ports", "8000,8001,8001"),
        ("up", "--ports", "8000,8001,x"),
        ("up", "--ports", "0,8001,8002"),
        ("up", "--ports", "8000,8001,65536"),
        ("up", "--ports", "8000,8001,-1"),
        ("up", "--timeout", "0"),
        ("analyze",),
        ("analyze", "photo.jpg", "--threshold", "high"),
        ("analyze", "photo.jpg", "--max-garments", "1.5"),
        ("analyze", "photo.jpg", "--timeout", "0"),
        ("analyze", "photo.jpg", "--unheard"),
        ("logs", "--lines", "0"),
        ("unheard",),
    ],
)
def test_wrong_usage_exits_2_and_points_at_the_help(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert "--help" in done.err


def test_ports_are_three_numbers() -> None:
    assert cli.serving._ports(None) is None
    assert cli.serving._ports("8000,8001,65535") == (8000, 8001, 65535)


def test_a_running_server_is_shown(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "_is_supervisor", lambda pid: pid == 1)
    folder = StateFolder(tmp_path / "state")
    state = ServerState(
        phase=Phase.READY,
        supervisor_pid=1,
        http_url="http://127.0.0.1:8000",
        grpc_url="127.0.0.1:8001",
        models={"garment_detector": "ready"},
        problem="garment_detector was reloaded",
    )
    with folder.locked() as mine:
        assert mine
        folder.write(state)
        shown, as_json = run("status"), run("status", "--json")
    for words in ("ready", "127.0.0.1:8001", "garment_detector was reloaded"):
        assert words in shown.out
    assert ServerState.model_validate_json(as_json.out) == state
    assert (shown.code, shown.err, as_json.code, as_json.err) == (0, "", 0, "")
    assert run("status").code == 1, "the state of a supervisor that has gone says nothing"


def test_the_end_of_the_log_is_printed(run: Run, tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.folder.mkdir()
    folder.log.write_text("".join(f"line {number}\n" for number in range(100)))
    assert run("logs", "--lines", "2") == Done(0, "line 98\nline 99\n", "")
    assert run("logs").out.count("\n") == 50


def test_a_photo_that_is_not_there_is_told_without_asking_the_server(run: Run, tmp_path: Path) -> None:
    done = run("analyze", str(tmp_path / "no.jpg"), "--url", "localhost:1")
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert "no.jpg" in done.err


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that finds nothing, except that it refuses two photos."""

    async def analyze(_analyzer: Analyzer, source: str) -> tuple[Analysis, Photo]:
        if source == "bad.jpg":
            raise PhotoError("The photo is empty.")
        if source == "late.jpg":
            raise OverloadedError("64 photos in flight")
        info = PhotoInfo(name=source, width=1, height=1, format="PNG")
        analysis = Analysis(
            photo=info, vocabulary=(), garments=(), models=(), warnings=("[b]odd[/b]",), timings_ms={"total": 1}
        )
        return analysis, Photo(b"", source)

    monkeypatch.setattr(Analyzer, "analyze", analyze)


@pytest.mark.usefixtures("served")
def test_a_photo_that_fails_does_not_stop_the_others(run: Run) -> None:
    done = run("analyze", "a", "bad.jpg", "b", "late.jpg", "--json", "--url", "localhost:1")
    assert done.code == 1
    assert [json.loads(line)["photo"]["name"] for line in done.out.splitlines()] == ["a", "b"]
    assert done.err.splitlines() == [
        "Warning: [b]odd[/b]",
        "bad.jpg: The photo is empty.",
        "Warning: [b]odd[/b]",
        "late.jpg: 64 photos in flight",
        "2 of 4 photos failed.",
    ]


@pytest.mark.usefixtures("served")
def test_a_table_goes_to_stdout_and_the_timings_to_stderr(run: Run) -> None:
    done = run("analyze", "a", "--url", "localhost:1")
    assert done.code == 0
    assert "a  1 x 1  0 garments" in done.out
    assert done.err.splitlines() == ["Warning: [b]odd[/b]", "total 1 ms"]


@pytest.mark.usefixtures("served")
def test_photos_of_one_name_have_a_folder_each(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def write(folder: Path, analysis: Analysis, _photo: Photo) -> Analysis:
        written.append(folder)
        return analysis

    monkeypatch.setattr(cli.analyzing, "write_analysis", write)
    out = str(tmp_path)
    assert run("analyze", "a", "a", "b", "--out", out, "--json", "--url", "localhost:1").code == 0
    assert written == [tmp_path / "a", tmp_path / "a-2", tmp_path / "b"]
    written.clear()
    assert run("analyze", "a", "--out", out, "--json", "--url", "localhost:1").code == 0
    assert written == [tmp_path]


@pytest.mark.usefixtures("served")
def test_ctrl_c_exits_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "json_schema", interrupt)
    done = run("schema")
    assert (done.code, done.out) == (130, "")
    assert "Traceback" not in done.err


def test_a_reader_that_goes_early_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    log = tmp_path / "state" / "server.log"
    log.write_text("a line of the log\n" * 100_000)
    code = "import sys; sys.argv[0] = 'fashioncrop'; from fashioncrop.cli import main; main()"
    command = f"'{sys.executable}' -c \"{code}\" logs --lines 100000 | head -n 1"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env=os.environ | {"FASHIONCROP_STATE": str(log.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "a line of the log\n"
    assert done.stderr == ""
