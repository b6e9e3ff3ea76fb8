"""Analyses made by hand, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fashioncrop import Analysis, Category, Colour, Crop, Depth, Garment, ModelIdentity, PhotoInfo
from fashioncrop.results import Description

DESCRIPTION = Description(
    type="shirt",
    colours=("red",),
    pattern="plain",
    material="cotton",
    sleeve="long",
    neckline="crew neck",
    length="hip",
    fit="relaxed",
    details=(),
    sentence="A red shirt. 한국어 \U0001f455",
)


def analysis(garments: tuple[Garment, ...] = (), **more: Any) -> Analysis:  # noqa: ANN401
    fields: dict[str, Any] = {
        "photo": PhotoInfo(name="photo", width=60, height=40, format="PNG"),
        "vocabulary": ("shirt",),
        "garments": garments,
        "models": (
            ModelIdentity(role="d", name="n", version="1", digest="sha256:0", source="full", trained=True, domain=None),
        ),
        "warnings": ("Mind the gap.",),
        "timings_ms": {"total": 12.5},
    }
    return Analysis(**{**fields, **more})


def garment(**more: Any) -> Garment:  # noqa: ANN401
    fields: dict[str, Any] = {
        "id": 0,
        "phrase": "shirt",
        "phrase_id": 0,
        "category": Category(id=0, name="shirt", supercategory="upperbody"),
        "score": 0.5,
        "box_xyxy": (5.25, 5, 30, 30),
        "crop": Crop(box_xyxy=(4, 4, 31, 31), jpeg=b"\xff\xd8 crop"),
        "depth": Depth(median=1, spread=0, order=1),
        "colours": (Colour(hex="#ff0000", name="red", share=1),),
        "flags": ("blurred",),
        "overlapped_by": (1,),
        "description": DESCRIPTION,
    }
    return Garment(**{**fields, **more})


@dataclass
class Told:
    """Warnings, as they were told."""

    sentences: list[str]

    def __call__(self, sentence: str) -> None:
        self.sentences.append(sentence)
