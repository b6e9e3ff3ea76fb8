"""Figures as SVG: the same numbers give the same file, byte for byte, so that a change in one means something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashioncrop.errors import OutputError

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "fashioncrop",
    "svg.fonttype": "none",  # text stays text: smaller, and the same whatever fonts are installed
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}


@dataclass(frozen=True)
class Axes:
    """What is drawn against what.

    Attributes:
        title: above the figure.
        x: what runs to the right, with its unit.
        y: what runs upwards, with its unit.
    """

    title: str
    x: str
    y: str


@dataclass(frozen=True)
class Line:
    """One line, with the range in which each of its points was measured.

    Attributes:
        xs: where the points are.
        ys: their heights.
        least: the lowest that was measured there.
        most: the highest.
    """

    xs: Sequence[float]
    ys: Sequence[float]
    least: Sequence[float]
    most: Sequence[float]


def draw_lines(path: Path, axes: Axes, lines: Mapping[str, Line]) -> None:
    """One line each, by name.

    Raises:
        OutputError: the file cannot be written.
    """
    with _figure(path, axes) as plot:
        for name, line in lines.items():
            down = [y - low for y, low in zip(line.ys, line.least, strict=True)]
            up = [high - y for y, high in zip(line.ys, line.most, strict=True)]
            plot.errorbar(line.xs, line.ys, yerr=[down, up], marker="o", markersize=4, capsize=3, label=name)
        plot.set_xlim(left=0)
        plot.set_ylim(bottom=0)
        plot.legend(frameon=False)


def draw_bars(path: Path, axes: Axes, bars: Mapping[str, float]) -> None:
    """One bar each, by name, from the top down.

    Raises:
        OutputError: the file cannot be written.
    """
    with _figure(path, axes) as plot:
        names = list(bars)[::-1]
        plot.barh(names, [bars[name] for name in names], color="tab:blue")
        plot.grid(visible=False, axis="y")


@contextmanager
def _figure(path: Path, axes: Axes) -> Iterator[Any]:
    import matplotlib as mpl  # noqa: PLC0415 - an extra, and slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise; without pyplot there is no display to want

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7, 4), layout="constrained")
        plot = figure.add_subplot()
        plot.set_title(axes.title, loc="left", fontsize="medium")
        plot.set_xlabel(axes.x)
        plot.set_ylabel(axes.y)
        yield plot
        try:
            figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        except OSError as error:
            raise OutputError(
                f"{path} cannot be written: {error.strerror}. Choose another folder: --out DIR."
            ) from error
