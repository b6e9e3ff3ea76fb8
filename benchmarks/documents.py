"""What a benchmark hands over: one document that JSON can say, with its table, its targets and where it was made.

Everything that `BENCHMARKS.md` shows is in it, so that a page can be made of documents alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Shown

from environment import environment, load_average
from fashioncrop.errors import InputError
from report import write_json

FORMAT = 1
"""Goes up when a key changes its meaning or goes."""
_QUIET = 0.1
_NONE = "-"
_WIDTH = 160
"""Of what is no terminal and wraps nothing itself."""

Cell = str | float | int | None


class DocumentError(InputError):
    """A file of results is not what a benchmark writes."""


@dataclass(frozen=True)
class Table:
    """A table for people.

    Attributes:
        columns: heads; the first column names the row.
        sections: rows, between which a line is drawn.
    """

    columns: tuple[str, ...]
    sections: tuple[tuple[tuple[Cell, ...], ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row has {len(row)} cells and the table {len(self.columns)} columns: {row}")

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        """The rows of all sections."""
        return [row for section in self.sections for row in section]


@dataclass(frozen=True)
class Target:
    """Something that was promised, and what was measured.

    Attributes:
        says: what it is about.
        wanted: the promise, such as `at least 1.9 times`.
        got: what was measured, in words.
        is_met: whether it holds.
    """

    says: str
    wanted: str
    got: str
    is_met: bool


@dataclass(frozen=True)
class Findings:
    """What one benchmark found.

    Attributes:
        question: what it asks, for a heading.
        settings: what it was told.
        conditions: sentences without which the numbers say little.
        measured: every number, for programs.
        table: what people look at.
        targets: promises that it can judge.
        losses: sentences about where this project does worse than what it is compared with.
        recommendations: what follows for who runs a server.
        warnings: what makes the numbers doubtful.
        models: identities of the models that took part.
    """

    question: str
    settings: Mapping[str, Any]
    conditions: Sequence[str]
    measured: Mapping[str, Any]
    table: Table
    targets: Sequence[Target] = ()
    losses: Sequence[str] = ()
    recommendations: Sequence[str] = ()
    warnings: Sequence[str] = ()
    models: Sequence[Mapping[str, Any]] = ()


@dataclass
class Surroundings:
    """The machine around a measurement; made before it begins, told after it."""

    packages: Sequence[str]
    busy_share: float
    before: list[float] = field(default_factory=load_average)

    def told(self) -> dict[str, Any]:
        """Machine, versions, commit and load as JSON values."""
        return {
            **environment(self.packages),
            "busy_share_before": round(self.busy_share, 3),
            "load_average_before": self.before,
            "load_average_after": load_average(),
        }

    def warnings(self) -> list[str]:
        """A sentence where the machine had other things to do."""
        if self.busy_share <= _QUIET:
            return []
        return [
            f"The machine was not quiet: {self.busy_share:.0%} of its processors were busy before anything was started."
        ]


def document(benchmark: str, findings: Findings, surroundings: Surroundings, seconds: float) -> dict[str, Any]:
    """The findings with where and when they were made."""
    told = asdict(findings)
    told["warnings"] = [*surroundings.warnings(), *findings.warnings]
    return {
        "benchmark": benchmark,
        "format": FORMAT,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "environment": surroundings.told(),
        **told,
    }


def write_document(folder: Path, name: str, content: Mapping[str, Any]) -> Path:
    """Write `NAME.json`.

    Raises:
        OutputError: it cannot be written.
    """
    path = folder / f"{name}.json"
    write_json(path, content)
    return path


def read_documents(folder: Path) -> dict[str, dict[str, Any]]:
    """Every document of a folder by its file's name without ending, in the order of the names.

    Raises:
        DocumentError: a file is not a benchmark's document, or of another format.
    """
    return {path.stem: _read(path) for path in sorted(folder.glob("*.json"))}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = content["format"]
        content["benchmark"], content["table"]["columns"], content["environment"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DocumentError(f"{path} is not what a benchmark writes ({error!r}). Take it out of the folder.") from error
    if known != FORMAT:
        raise DocumentError(f"{path} is of format {known}; this is {FORMAT}. Run its benchmark again.")
    return dict(content)


def table_of(content: Mapping[str, Any]) -> Table:
    """The table of a document."""
    table = content["table"]
    sections = tuple(tuple(tuple(row) for row in section) for section in table["sections"])
    return Table(tuple(table["columns"]), sections)


def cell(value: Cell) -> str:
    """A cell as text: `-` for what was not measured, three digits that matter for what has a fraction."""
    if value is None:
        return _NONE
    if isinstance(value, float):
        from summaries import shown  # noqa: PLC0415 - needs numpy, which --help does not

        return shown(value)
    return str(value)


def show_findings(content: Mapping[str, Any]) -> None:
    """To stdout: the warnings, the one table, what was promised, and what follows."""
    is_terminal = sys.stdout.isatty()
    console = Console(highlight=False, markup=False, width=None if is_terminal else _WIDTH)
    for warning in content["warnings"]:
        console.print(f"Warning: {warning}", soft_wrap=True)
    table = table_of(content)
    console.print(content["question"], soft_wrap=True)
    shown = Shown()
    for index, name in enumerate(table.columns):
        shown.add_column(name, justify="right" if index else "left")
    for section in table.sections:
        for row in section:
            shown.add_row(*map(cell, row))
        shown.add_section()
    console.print(shown)
    for target in content["targets"]:
        verdict = "met" if target["is_met"] else "MISSED"
        console.print(f"{verdict}: {target['says']}: {target['got']} (wanted: {target['wanted']})", soft_wrap=True)
    for sentence in (*content["losses"], *content["recommendations"]):
        console.print(sentence, soft_wrap=True)
