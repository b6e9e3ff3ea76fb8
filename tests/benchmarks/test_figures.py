from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from fashioncrop.errors import OutputError
from figures import Axes, Line, draw_bars, draw_lines

AXES = Axes("Photos a second", "clients", "photos a second")
LINES = {"ours": Line([1, 2], [3.0, 4.0], [2.5, 4.0], [3.5, 4.5]), "another": Line([1, 2], [1.0, 1.0], [1, 1], [1, 1])}


def test_the_same_numbers_are_the_same_file(tmp_path: Path) -> None:
    one, other, third = (tmp_path / name for name in ("one.svg", "other.svg", "third.svg"))
    draw_lines(one, AXES, LINES)
    draw_bars(third, AXES, {"a bar": 2.0})
    draw_lines(other, AXES, LINES)
    assert one.read_bytes() == other.read_bytes()
    text = one.read_text(encoding="utf-8")
    for words in ("Photos a second", "clients", "ours", "another"):
        assert words in text
    assert "a bar" in third.read_text(encoding="utf-8")
    for path in (one, third):
        assert ET.parse(path).getroot().tag.endswith("svg")  # noqa: S314 - written here


def test_a_figure_without_a_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="--out"):
        draw_bars(tmp_path / "no" / "figure.svg", AXES, {"a": 1.0})
