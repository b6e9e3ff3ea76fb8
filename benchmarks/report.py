"""The figures of a benchmark as tables for people and as JSON for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fashioncrop.errors import OutputError

_NONE = "-"
_MOST_NAMED = 10


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document; what JSON cannot say (NaN) is a mistake of who made it.

    Raises:
        OutputError: the file cannot be written.
    """
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}. Choose another: --json FILE.") from error


def check_writable(path: Path) -> None:
    """Find out before hours of work that their result has no place.

    Raises:
        OutputError: the file cannot be written.
    """
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise OutputError(f"{path} cannot be written. Choose another file, in a folder that is there: --json FILE.")


def print_document(console: Console, document: Mapping[str, Any]) -> None:
    """What was measured, one table for each measure, and a line for each that was left out."""
    for warning in document["warnings"]:
        console.print(f"Warning: {warning}")
    console.print(_about(document))
    measures: Mapping[str, Any] = document["measures"]
    for name, table in _TABLES.items():
        figures = measures[name]
        if figures is None:
            console.print(f"{_TITLES[name]}: left out. {document['left_out'][name]}")
        else:
            console.print(table(_TITLES[name], figures))


def _about(document: Mapping[str, Any]) -> Table:
    dataset = document["dataset"]
    left_out = dataset["categories_left_out"]
    rows = {
        "dataset": dataset["name"],
        "photos": f"{dataset['photos']} measured, {dataset['photos_unusable']} not usable",
        "garments": f"{dataset['annotations']} measured, {dataset['annotations_left_out']} left out",
        "categories": f"{dataset['categories']} measured, {len(left_out)} left out"
        + (f" ({', '.join(left_out)})" if left_out else ""),
        "vocabulary": document["settings"]["vocabulary"],
        "models": "\n".join(f"{one['role']}: {one['name']} {one['version'][:12]}" for one in document["models"]),
        "seconds": _shown(document["seconds"]),
    }
    table = Table(title="Measured", title_justify="left", show_header=False)
    for name, text in rows.items():
        table.add_row(name, text)
    for one in dataset["unusable"][:_MOST_NAMED]:
        table.add_row("not usable", f"{one['name']} {one['reason']}")
    return table


_TITLES = {
    "detection": "Detection (COCO)",
    "default_threshold": "At the server's own threshold (IoU 0.5)",
    "steering": "Steering by vocabulary (IoU 0.5)",
    "colours": "Colour names of plain garments",
    "text_to_crop": "Text to crop",
    "depth_order": "Depth order",
}


def _detection(title: str, figures: Mapping[str, Any]) -> Table:
    columns = ("ap", "ap50", "ap75", "ar100", "truths", "found")
    return _by_category(title, figures, columns, ("AP", "AP50", "AP75", "AR100", "garments", "found"))


def _default_threshold(title: str, figures: Mapping[str, Any]) -> Table:
    columns = ("precision", "recall", "f1", "right", "wrong", "missed")
    table = _by_category(title, figures, columns, columns)
    if figures["not_judged"]:
        table.caption = f"{figures['not_judged']} found garments are of categories that the dataset says nothing of."
    return table


def _by_category(title: str, figures: Mapping[str, Any], columns: Sequence[str], heads: Sequence[str]) -> Table:
    table = _table(title, "category", heads)
    for name, row in figures["per_category"].items():
        table.add_row(name, *(_shown(row[column]) for column in columns))
    table.add_section()
    table.add_row("all", *(_shown(figures[column]) for column in columns))
    return table


def _colours(title: str, figures: Mapping[str, Any]) -> Table:
    columns = ("strict", "with_shades", "garments")
    table = _table(title, "annotated", ("strict", "with shades", "garments", "named"))
    for word, row in figures["per_colour"].items():
        most = ", ".join(f"{name} {count}" for name, count in list(row["named"].items())[:3])
        table.add_row(word, *(_shown(row[column]) for column in columns), most)
    table.add_section()
    table.add_row("all", *(_shown(figures[column]) for column in columns), "")
    return table


def _list(title: str, figures: Mapping[str, Any]) -> Table:
    table = _table(title, "", ("",))
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), _shown(value))
    return table


def _table(title: str, first: str, heads: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", show_header=any(heads))
    table.add_column(first)
    for head in heads:
        table.add_column(head, justify="left" if head == "named" else "right")
    return table


def _shown(value: object) -> str:
    if value is None:
        return _NONE
    return f"{value:.3f}" if isinstance(value, float) else str(value)


_TABLES = {
    "detection": _detection,
    "default_threshold": _default_threshold,
    "steering": _list,
    "colours": _colours,
    "text_to_crop": _list,
    "depth_order": _list,
}
