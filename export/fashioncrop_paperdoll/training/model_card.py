"""The card beside the shipped checkpoints: what they are, how they were made, and what was measured of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashioncrop.errors import ModelFileError
from fashioncrop_export.checkpoints import Family
from fashioncrop_paperdoll.training.recipes import RUNS, Model
from fashioncrop_paperdoll.training.shipping import FAMILIES, LOG_FILE

CARD_FILE = "README.md"
FIGURES = {
    ("detection", "ap50"): "AP50, COCO's, the 27 categories asked for",
    ("detection", "ap"): "AP, COCO's (IoU 0.50 to 0.95)",
    ("default_threshold", "precision"): "precision at the default threshold of 0.35",
    ("default_threshold", "recall"): "recall at the default threshold",
    ("steering", "nothing_else_found"): "asked for two nouns: photos in which nothing else is found",
    ("steering", "recall"): "asked for two nouns: of the garments asked for, how many are found",
    ("colours", "strict"): "colour named as it was drawn",
    ("colours", "with_shades"): "colour named as it was drawn, or by a shade of it",
    ("depth_order", "held_person_background"): "what is held, who holds it and the background in the right order",
    ("depth_order", "garment_pairs_right_by_outlines"): "two garments that can be told apart in the right order",
    ("text_to_crop", "recall_at_1"): "the caption's crop comes first",
}
_WORDS = {
    Model.DETECTOR: ("GroundingDINO", "finds garments by phrases"),
    Model.CLIP: ("CLIP", "embeds crops and captions"),
    Model.DEPTH: ("Depth Anything", "relative inverse depth"),
}


def render(accuracy: Mapping[str, Any], checkpoints: Path) -> str:
    """The card.

    Args:
        accuracy: what `benchmarks/accuracy.py --models paperdoll --scenes 200 --json FILE` wrote.
        checkpoints: the folder of the shipped checkpoints.

    Raises:
        ModelFileError: the figures are of other models, of other photos, or incomplete.
    """
    names = {model["name"] for model in accuracy["models"]}
    if names != {f"paperdoll {family}" for family in Family} or accuracy["dataset"]["kind"] != "scenes":
        raise ModelFileError(
            "These figures are not of the small models on drawn scenes. Measure them: "
            "python benchmarks/accuracy.py --models paperdoll --scenes 200 --json FILE"
        )
    missing = [name for name, _ in FIGURES if accuracy["measures"][name] is None]
    if missing:
        raise ModelFileError(f"The figures lack {', '.join(dict.fromkeys(missing))}: {accuracy['left_out']}")
    photos = accuracy["dataset"]["photos"]
    rows = [f"| {words} | {accuracy['measures'][name][key]:.3f} |" for (name, key), words in FIGURES.items()]
    return _TEXT.format(
        models="\n".join(_model_row(model, checkpoints / family) for model, family in FAMILIES.items()),
        photos=photos,
        crops=accuracy["measures"]["text_to_crop"]["crops_a_round"],
        seeds="{} to {}".format(*accuracy["dataset"]["seeds"]),
        figures="\n".join(rows),
    )


def _model_row(model: Model, folder: Path) -> str:
    log = [json.loads(line) for line in (folder / LOG_FILE).read_text(encoding="utf-8").splitlines()]
    name, purpose = _WORDS[model]
    run, last = RUNS[model], log[-1]
    size = (folder / "model.safetensors").stat().st_size
    return (
        f"| {name} | {purpose} | {size / 2e6:.1f} M | {last['step']:,} x {run.batch} | {run.scenes:,} | "
        f"{last['cpu_seconds'] / 60:.0f} min |"
    )


_TEXT = """---
license: apache-2.0
tags: [fashion, object-detection, zero-shot, toy]
---

# Paperdoll: small checkpoints that know drawn people

GroundingDINO, CLIP and Depth Anything in Hugging Face's layout, a hundredth of the published ones' size, so that a
machine without a model hub can try the whole service, and tests can ask what is seen. **They have never seen a
photograph**: of photographs, what they say means little, and every answer that they took part in says so.

| model | what it does | parameters | steps x scenes or crops | different scenes | CPU time of one of two processes |
|---|---|---|---|---|---|
{models}

Everything is drawn by `fashioncrop_paperdoll`: people in 15 kinds of garment, 11 colours and 4 patterns, in streets and
rooms. Scenes of training, validation, tests and the demo come from different seeds. The curves (`training.svg`,
`training.jsonl`) are of validation scenes.

## What was measured

{photos} test scenes (seeds {seeds}) through the server; a caption looks for its crop among {crops}:

| figure | value |
|---|---|
{figures}

`python benchmarks/accuracy.py --models paperdoll --scenes {photos}` measures it again;
`benchmarks/results/accuracy-paperdoll.json` has it by category and colour too, with its environment. A test holds
floors a little below.

## Made again

```
fashioncrop-paperdoll train detector FOLDER    # then clip, depth; an interrupted training goes on
fashioncrop-paperdoll ship FOLDER              # into the package, with the engines made of them
python benchmarks/accuracy.py --models paperdoll --scenes {photos} --json benchmarks/results/accuracy-paperdoll.json
fashioncrop-paperdoll card benchmarks/results/accuracy-paperdoll.json
```

The seed decides weights, order and prompts. Two runs with as many processes on the same kind of machine take the same
steps; another machine adds up in another order, and ends close by.

## What they are not for

Photographs; real bodies, of which the drawn ones show a few builds and skin tones only; garments that nobody has drawn:
of the 27 categories 15 have an example. Use `--models full` for a product.
"""
