"""From a training's folder to the checkpoints that come with the project, with what their training looked like."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from fashioncrop.errors import ModelFileError
from fashioncrop_export.checkpoints import Family
from fashioncrop_export.shipped import CHECKPOINTS, package_folder, refresh
from fashioncrop_paperdoll.training.recipes import Model

FAMILIES = {
    Model.DETECTOR: Family.GROUNDING_DINO,
    Model.CLIP: Family.CLIP,
    Model.DEPTH: Family.DEPTH_ANYTHING,
}
_CURVES = {
    Model.DETECTOR: ("ap", "ap50", "steering"),
    Model.CLIP: ("caption to crop of 100", "crop to caption", "noun", "colour", "pattern"),
    Model.DEPTH: ("correlation", "order"),
}
LOG_FILE, CURVES_FILE = "training.jsonl", "training.svg"


def ship(folder: Path, models: tuple[Model, ...] = tuple(Model)) -> list[Path]:
    """Put trained checkpoints where the project ships them from, and export their engines.

    Args:
        folder: the training's, which holds a folder for each model.
        models: which of them.

    Returns:
        What was written.

    Raises:
        ModelFileError: a training has not ended.
    """
    for model in models:
        if not (folder / model / "checkpoint" / "config.json").is_file():
            raise ModelFileError(
                f"{folder / model} holds no checkpoint: its training has not ended. Run it on: fashioncrop-paperdoll "
                f"train {model} {folder}"
            )
    written = []
    for model in models:
        target = package_folder() / CHECKPOINTS / FAMILIES[model]
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder / model / "checkpoint", target)
        figures = _figures(folder / model / "log.jsonl", _CURVES[model][0])
        lines = "".join(json.dumps(entry) + "\n" for entry in figures)
        (target / LOG_FILE).write_text(lines, encoding="utf-8")
        _draw(figures, _CURVES[model], target / CURVES_FILE)
        written.append(target)
    return written + refresh()


def _figures(log: Path, name: str) -> list[dict[str, Any]]:
    """The judgements in a log, one for each step that was judged; an interrupted run may have judged a step twice."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    judged = {entry["step"]: entry for entry in entries if name in entry}
    return [judged[step] for step in sorted(judged)]


def _draw(figures: list[dict[str, Any]], names: tuple[str, ...], file: Path) -> None:
    steps = [entry["step"] for entry in figures]
    # The same picture for the same figures, to the byte.
    with mpl.rc_context({"svg.hashsalt": "fashioncrop", "svg.fonttype": "none"}):
        figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
        for name in names:
            axes.plot(steps, [entry.get(name, math.nan) for entry in figures], label=name)
        axes.set(xlabel="steps", ylabel="share", ylim=(0, 1))
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", fontsize="small")
        figure.savefig(file, metadata={"Date": None})
        plt.close(figure)
