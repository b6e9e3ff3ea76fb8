"""Finds NVIDIA's perf_analyzer, runs it, and reads its table.

It measures in windows until three agree. That rule is switched off here, because on a shared machine it ends without
any answer: every point is three windows, and rounds show how far they differ.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fashioncrop._embedded.installation import find_installation
from fashioncrop.errors import DeploymentError, ServerFaultError
from saturation import Point

VARIABLE = "FASHIONCROP_PERF_ANALYZER"
WHEEL = "tritonclient==2.51.0"
"""The last whose program runs with the C library of Debian 12 and Ubuntu 22.04; later wheels have none."""
_LIBRARIES = re.compile(r"(lib(?:b64|cudart))-[0-9a-f]+(\.so\.\d+[a-z]?)")
_WINDOWS = 3
_ANY_SPREAD = 999
_ATTEMPTS = 4
_UNSTABLE = "Failed to obtain stable measurement"
_LAST_LINES = 4
_US_TO_MS = 1e-3


@dataclass(frozen=True)
class Sweep:
    """What perf_analyzer measured at one load.

    Attributes:
        point: load, answers a second, p50 and p99.
        queue_ms: mean time of a request in the server's queue.
        infer_ms: mean time inside the model.
    """

    point: Point
    queue_ms: float
    infer_ms: float


@dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        model: its name.
        url: `host:port` of the protocol.
        protocol: `grpc` or `http`.
        inputs: perf_analyzer's JSON file.
        window_ms: length of a window; answers that take longer than a third of it are badly counted.
    """

    model: str
    url: str
    protocol: str
    inputs: Path
    window_ms: int


def default_place() -> Path:
    """Where it is looked for when no variable names it and it is not in PATH."""
    from fashioncrop_export.sources import default_cache  # noqa: PLC0415 - an extra

    return default_cache() / "perf_analyzer"


def find_perf_analyzer() -> Path:
    """The program.

    Raises:
        DeploymentError: it is nowhere; the message says how to get it.
    """
    named = os.environ.get(VARIABLE)
    place = default_place()
    for candidate in (named, shutil.which("perf_analyzer"), str(place / "bin" / "perf_analyzer")):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    raise DeploymentError(
        f"perf_analyzer is missing. It comes in a wheel: pip install --no-deps --target '{place}' {WHEEL}; or name the "
        f"program: {VARIABLE}=FILE."
    )


class PerfAnalyzer:
    """The program with the libraries that it needs; made by `perf_analyzer`."""

    def __init__(self, program: Path, environment: dict[str, str]) -> None:
        self._program = program
        self._environment = environment

    def clients(self, subject: Subject, levels: Sequence[int], table: Path) -> list[Sweep]:
        """So many requests in flight, one level after the other.

        Args:
            subject: what is measured.
            levels: requests in flight.
            table: the CSV file that is written; a level's own is beside it while it is measured.

        Raises:
            ServerFaultError: it could not measure.
        """
        return self._swept(subject, [("--concurrency-range", str(level)) for level in levels], table)

    def rates(self, subject: Subject, rates: Sequence[float], table: Path) -> list[Sweep]:
        """So many requests a second, at random distances; answered or not (an open loop). See `clients`."""
        poisson = ("--request-distribution", "poisson")
        return self._swept(subject, [("--request-rate-range", f"{rate:.3f}", *poisson) for rate in rates], table)

    def _swept(self, subject: Subject, loads: Sequence[tuple[str, ...]], table: Path) -> list[Sweep]:
        rows: list[dict[str, str]] = []
        own = table.with_suffix(".one.csv")
        for load in loads:
            own.unlink(missing_ok=True)
            self._run(subject, load, own)
            rows += _rows(own)
        own.unlink(missing_ok=True)
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return read_table(table)

    def _run(self, subject: Subject, load: tuple[str, ...], table: Path) -> None:
        """Measure one point; a window without an answer makes perf_analyzer give up, so it gets longer ones then."""
        said: list[str] = []
        for attempt in range(_ATTEMPTS):
            done = self._attempt(subject, load, table, subject.window_ms * 2**attempt)
            if done.returncode == 0 and table.is_file():
                return
            said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()][-_LAST_LINES:]
            if not any(_UNSTABLE in line for line in said):
                break
        raise ServerFaultError(
            f"perf_analyzer could not measure {subject.model} over {subject.protocol} ({' '.join(load)}): "
            f"{' / '.join(said) or 'it says nothing'}"
        )

    def _attempt(
        self, subject: Subject, load: tuple[str, ...], table: Path, window_ms: int
    ) -> subprocess.CompletedProcess[str]:
        command = [
            str(self._program),
            *("-m", subject.model, "-u", subject.url, "-i", subject.protocol),
            *("--input-data", str(subject.inputs)),
            *load,
            *("--measurement-mode", "time_windows", "--measurement-interval", str(window_ms)),
            *("--stability-percentage", str(_ANY_SPREAD), "--max-trials", str(_WINDOWS)),
            *("-f", str(table), "--verbose-csv"),
        ]
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, errors="replace", check=False
        )


@contextmanager
def perf_analyzer() -> Iterator[PerfAnalyzer]:
    """The program, ready to run.

    Its wheel lacks two libraries, which are in the embedded server's wheel under other names.

    Raises:
        DeploymentError: it is missing, or does not run on this machine.
    """
    program = find_perf_analyzer()
    with TemporaryDirectory(prefix="fashioncrop-libraries-") as folder:
        for place in find_installation().library_folders:
            for file in place.iterdir():
                if match := _LIBRARIES.match(file.name):
                    (Path(folder) / f"{match[1]}{match[2]}").symlink_to(file)
        inherited = os.environ.get("LD_LIBRARY_PATH")
        folders = [folder, *([inherited] if inherited else [])]
        environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(folders)}
        _check(program, environment)
        yield PerfAnalyzer(program, environment)


def _check(program: Path, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            [str(program), "--version"], env=environment, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise DeploymentError(f"{program} cannot be run: {error.strerror}. Name another: {VARIABLE}=FILE.") from error
    said = (done.stdout + done.stderr).strip().splitlines()
    if done.returncode != 0 or not any("Version" in line for line in said):
        raise DeploymentError(f"{program} does not run on this machine: {said[0] if said else 'it says nothing'}")


def read_table(path: Path) -> list[Sweep]:
    """Every load of a CSV file, in ascending order.

    Raises:
        ServerFaultError: it is not perf_analyzer's.
    """
    try:
        return sorted((_sweep(row) for row in _rows(path)), key=lambda sweep: sweep.point.offered)
    except (KeyError, ValueError) as error:
        raise ServerFaultError(f"{path} is not a table of perf_analyzer's: {error!r}") from error


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _sweep(row: dict[str, str]) -> Sweep:
    offered = row["Concurrency"] if "Concurrency" in row else row["Request Rate"]
    times = (float(row[f"{name} latency"]) * _US_TO_MS for name in ("p50", "p99"))
    point = Point(float(offered), float(row["Inferences/Second"]), *times)
    return Sweep(point, float(row["Server Queue"]) * _US_TO_MS, float(row["Server Compute Infer"]) * _US_TO_MS)
