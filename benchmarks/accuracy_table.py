"""What a page shows of a measurement of accuracy: one table, and what was asked of what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from documents import Cell, Table

_ROWS = {
    "detection": {
        "ap50": "AP50 (COCO)",
        "ap": "AP (COCO, IoU 0.50 to 0.95)",
        "ar100": "AR100 (COCO)",
    },
    "default_threshold": {
        "precision": "precision at the server's own threshold, IoU 0.5",
        "recall": "recall at the server's own threshold",
    },
    "steering": {
        "nothing_else_found": "asked for two nouns: photos in which nothing else is found",
        "recall": "asked for two nouns: of the garments asked for, how many are found",
    },
    "colours": {
        "strict": "colour of a plain garment named as annotated",
        "with_shades": "colour of a plain garment named as annotated, or by a shade of it",
    },
    "depth_order": {
        "held_person_background": "scenes with what is held, who holds it and the background in the right order",
        "garment_pairs_right_by_outlines": "pairs of garments that can be told apart in the right order",
    },
    "text_to_crop": {
        "recall_at_1": "the caption's crop comes first",
        "recall_at_5": "the caption's crop is among the first five",
    },
}


def told(document: Mapping[str, Any]) -> dict[str, Any]:
    """What `BENCHMARKS.md` wants to be told of it, beside the figures.

    Args:
        document: with `dataset`, `settings`, `measures` and `left_out`.
    """
    dataset, settings = document["dataset"], document["settings"]
    conditions = [
        f"{dataset['photos']} photos ({dataset['name']}), {dataset['photos_unusable']} more not usable.",
        f"{dataset['annotations']} garments of {dataset['categories']} categories.",
        f"Asked for the {settings['vocabulary']} vocabulary; boxes count as the same from IoU {settings['iou']:g}.",
    ]
    if (search := document["measures"]["text_to_crop"]) is not None:
        conditions.append(f"A caption looks for its crop among {search['crops_a_round']}.")
    conditions += [f"{name.replace('_', ' ')} is left out: {why}" for name, why in document["left_out"].items()]
    sections: list[tuple[tuple[Cell, ...], ...]] = []
    for name, rows in _ROWS.items():
        if (figures := document["measures"][name]) is not None:
            sections.append(tuple((words, figures[key]) for key, words in rows.items()))
    return {
        "question": "What is seen, by name, colour, depth and words",
        "conditions": conditions,
        "table": asdict(Table(("measure", "figure"), tuple(sections))),
        "targets": [],
        "losses": [],
        "recommendations": [],
    }
