"""What a verification found: as data, as a table, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from fashioncrop.model_repository import Role
from fashioncrop_export.verifying.gates import Bound, Engine, Measure


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Attributes:
        role: the model.
        engine: the kind of engine.
        measure: what was measured.
        value: None where there was nothing to measure it on.
        bound: what it is judged by; None where it is only shown.
    """

    role: Role
    engine: Engine
    measure: Measure
    value: float | None
    bound: Bound | None = None

    @property
    def passed(self) -> bool | None:
        """Whether the bound holds; None where nothing is judged."""
        if self.bound is None:
            return None
        return self.value is not None and self.bound.holds(self.value)

    def to_json(self) -> dict[str, Any]:
        """One object of the report's `figures`."""
        return {
            "role": self.role.value,
            "engine": self.engine.value,
            "measure": self.measure.value,
            "value": self.value,
            "bound": None if self.bound is None else str(self.bound),
            "passed": self.passed,
        }


@dataclass(frozen=True)
class Skipped:
    """An engine that could not be verified here.

    Attributes:
        role: the model.
        engine: the kind of engine.
        reason: one sentence.
    """

    role: Role
    engine: Engine
    reason: str


@dataclass(frozen=True)
class PublishedFigure:
    """A figure that others published of the original weights, and what the engines here answer.

    Attributes:
        model: the model's public name.
        what: what it is.
        source: where it is published.
        expected: as published.
        got: None where it was not measured.
        tolerance: how far `got` may be from `expected`.
        note: why it was not measured.
    """

    model: str
    what: str
    source: str
    expected: tuple[float, ...]
    got: tuple[float, ...] | None
    tolerance: float
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether it was met; None where it was not measured."""
        if self.got is None:
            return None
        return len(self.got) == len(self.expected) and all(
            abs(want - got) <= self.tolerance for want, got in zip(self.expected, self.got, strict=True)
        )

    def to_json(self) -> dict[str, Any]:
        """One object of the report's `published`."""
        return {**vars(self), "passed": self.passed}


@dataclass(frozen=True)
class Report:
    """All of it.

    Attributes:
        photos: what they were, for the reader.
        count: how many.
        models: of every role verified, what its `model.json` says in short.
        figures: in the order of roles and engines.
        skipped: what could not be verified here.
        published: figures that others published.
        peak_memory_bytes: of this process, so far.
    """

    photos: str
    count: int
    models: Mapping[Role, Mapping[str, Any]]
    figures: Sequence[Figure]
    skipped: Sequence[Skipped] = ()
    published: Sequence[PublishedFigure] = field(default_factory=tuple)
    peak_memory_bytes: int = 0

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(one.passed is not False for one in self.figures) and all(
            one.passed is not False for one in self.published
        )

    def to_json(self) -> dict[str, Any]:
        """The document."""
        return {
            "schema": 1,
            "passed": self.passed,
            "photos": self.photos,
            "photo_count": self.count,
            "models": {role.value: dict(about) for role, about in self.models.items()},
            "figures": [figure.to_json() for figure in self.figures],
            "skipped": [vars(one) for one in self.skipped],
            "published": [one.to_json() for one in self.published],
            "peak_memory_bytes": self.peak_memory_bytes,
        }


_WORDS = {True: "ok", False: "FAILED", None: ""}


def print_report(report: Report, console: Console) -> None:
    """The table, and a line for whatever was left out."""
    table = Table(title=f"Against the original, on {report.photos}")
    for heading in ("model", "engine", "measure", "value", "bound", ""):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    before = ""
    for figure in report.figures:
        here = f"{figure.role} {figure.engine}"
        if before and here != before:
            table.add_section()
        value = "-" if figure.value is None else f"{figure.value:.6g}"
        bound = "shown only" if figure.bound is None else str(figure.bound)
        names = (figure.role.value, figure.engine.value) if here != before else ("", "")
        table.add_row(*names, figure.measure.value, value, bound, _WORDS[figure.passed])
        before = here
    console.print(table)
    for one in report.published:
        got = "not measured" if one.got is None else ", ".join(f"{value:.4f}" for value in one.got)
        wanted = ", ".join(f"{value:.4f}" for value in one.expected)
        word = _WORDS[one.passed] or one.note
        console.print(
            f"{one.model}, {one.what}: published {wanted or 'nothing'} ({one.source}), got {got}. {word}",
            soft_wrap=True,
        )
    if not report.models.get(Role.GARMENT_DETECTOR, {"trained": True})["trained"]:
        console.print(
            "The detector's weights are random: near-ties everywhere, so what it finds by its own choice is shown and "
            "not judged.",
            soft_wrap=True,
        )
    for left_out in report.skipped:
        console.print(f"{left_out.role} {left_out.engine}: not verified here. {left_out.reason}", soft_wrap=True)
    console.print(
        f"{'All bounds hold' if report.passed else 'A bound does not hold'}; "
        f"{report.peak_memory_bytes / 2**30:.1f} GiB of memory at most.",
        soft_wrap=True,
    )
