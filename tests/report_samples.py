"""Answers about drawn people, with everything in them that a report has to show."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from fashioncrop.reporting import ReportEntry
from fashioncrop.results import (
    Analysis,
    Category,
    Colour,
    Cost,
    Crop,
    Depth,
    Description,
    Garment,
    ModelIdentity,
    PhotoInfo,
    Usage,
)
from fashioncrop_paperdoll.scene import DEMO_SEEDS, draw_scene

HOSTILE = (
    "\"'><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>{{ 7 * 7 }}</style></script>&lt;"
)
_SIZE_WH = (768, 1024)
_HEX = {
    "red": "#b3362f",
    "pink": "#e79cb5",
    "orange": "#e08a3c",
    "yellow": "#e6c84f",
    "green": "#4f8a5b",
    "blue": "#3f66a8",
    "purple": "#74559c",
    "brown": "#7a5638",
    "black": "#26262a",
    "grey": "#8c8f94",
    "white": "#f3f1ec",
}
_CATEGORIES = {
    "shoe": ("shoe", "legs and feet"),
    "t-shirt": ("top, t-shirt, sweatshirt", "upperbody"),
    "coat": ("coat", "upperbody"),
    "pants": ("pants", "lowerbody"),
    "shorts": ("shorts", "lowerbody"),
    "dress": ("dress", "wholebody"),
    "hat": ("hat", "head"),
    "bag": ("bag, wallet", "others"),
}
_MODELS = tuple(
    ModelIdentity(
        role=role,
        name=f"{name}-drawn",
        version="1",
        digest="sha256:" + f"{index:x}c0ffee" * 8,
        source="paperdoll",
        trained=True,
        domain="drawn scenes",
    )
    for index, (role, name) in enumerate(
        [("garment_detector", "grounding-dino"), ("image_embedder", "clip"), ("depth_estimator", "depth-anything")]
    )
)
_COST = Cost(
    usages=(
        Usage(
            model="gpt-4o-mini",
            calls=1,
            input_tokens=5432,
            cached_input_tokens=1024,
            output_tokens=812,
            dollars=0.001226,
        ),
    ),
    dollars=0.001226,
)


def jpeg(image: Image.Image, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's own
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def garment(index: int = 0, phrase: str = "coat", **changes: Any) -> Garment:  # noqa: ANN401 - any field
    """A plain garment without crop and description, other fields as told."""
    values: dict[str, Any] = {
        "id": index,
        "phrase": phrase,
        "phrase_id": 0,
        "category": None,
        "score": 0.9,
        "box_xyxy": (10.0, 20.0, 60.0, 90.0),
        "crop": Crop(box_xyxy=(8, 18, 62, 92)),
        "depth": Depth(median=0.5, spread=0.1, order=index + 1),
        "colours": (),
        "flags": (),
        "overlapped_by": (),
    }
    return Garment(**{**values, **changes})


def analysis(*garments: Garment, name: str = "photo", **changes: Any) -> Analysis:  # noqa: ANN401 - any field
    """An answer about the photo that `grey` makes."""
    values: dict[str, Any] = {
        "photo": PhotoInfo(name=name, width=120, height=160, format="JPEG"),
        "vocabulary": ("coat",),
        "garments": garments,
        "models": (),
        "warnings": (),
        "timings_ms": {},
    }
    return Analysis(**{**values, **changes})


def grey(width: int = 120, height: int = 160) -> bytes:
    return jpeg(Image.new("RGB", (width, height), (120, 120, 120)))


def drawn(seed: int = DEMO_SEEDS[0], **changes: Any) -> ReportEntry:  # noqa: ANN401 - any field
    """Drawn people, with descriptions of every kind."""
    scene = draw_scene(seed, *_SIZE_WH)
    image = Image.fromarray(scene.image)
    rng = np.random.default_rng(seed)
    scores = sorted(rng.uniform(0.4, 0.97, len(scene.garments)), reverse=True)
    orders = rng.permutation(len(scene.garments)) + 1
    found = []
    for index, seen in enumerate(scene.garments):
        x0, y0, x1, y1 = (round(edge) for edge in seen.box_xyxy)
        box = (max(x0 - 8, 0), max(y0 - 8, 0), min(x1 + 8, _SIZE_WH[0]), min(y1 + 8, _SIZE_WH[1]))
        last = index == len(scene.garments) - 1
        found.append(
            garment(
                index,
                seen.noun,
                category=_category(seen.noun),
                score=round(float(scores[index]), 3),
                box_xyxy=seen.box_xyxy,
                crop=Crop(box_xyxy=box, jpeg=jpeg(image.crop(box), quality=90)),
                depth=Depth(median=0.5, spread=0.05, order=int(orders[index])),
                colours=(
                    Colour(hex=_HEX[seen.colour], name=seen.colour, share=0.71),
                    Colour(hex="#d9d4c8", name="light grey", share=0.24),
                    Colour(hex="#3a3f4a", name="dark slate", share=0.05),
                ),
                flags=(("too_small", "blurred"), (), ("overlapped",), ())[index % 4],
                overlapped_by=(index + 1,) if index % 4 == 2 and not last else (),
                description=None if last else _description(seen.noun, seen.colour, seen.pattern),
                description_problem="The model's answer for this garment was cut off twice." if last else None,
            )
        )
    values: dict[str, Any] = {
        "photo": PhotoInfo(name=f"scene-{seed}", width=_SIZE_WH[0], height=_SIZE_WH[1], format="JPEG"),
        "vocabulary": tuple(sorted({seen.noun for seen in scene.garments} | {"belt", "scarf", "tie", "watch"})),
        "garments": tuple(found),
        "models": _MODELS,
        "warnings": ("The models were trained on drawn scenes only. What they say of photographs means little.",),
        "timings_ms": {
            "decode": 12.1,
            "detect": 402.5,
            "depth": 377.0,
            "crop": 21.4,
            "total": 702.3,
            "request": 1711.9,
        },
        "cost": _COST,
    }
    return ReportEntry(Analysis(**{**values, **changes}), jpeg(image, quality=90))


def hostile_entry() -> ReportEntry:
    """An answer whose every text tries to break out of the page."""
    texts = dict.fromkeys(("type", "pattern", "material", "sleeve", "neckline", "length", "fit", "sentence"), HOSTILE)
    shown = garment(
        0,
        HOSTILE,
        category=Category(id=0, name=HOSTILE, supercategory=HOSTILE),
        colours=(
            Colour(hex=HOSTILE, name=HOSTILE, share=0.5),
            Colour(hex="url(http://evil.example)", name="", share=0),
        ),
        flags=(HOSTILE, "overlapped"),
        overlapped_by=(0, 7),
        description=Description(**texts, colours=(HOSTILE,), details=(HOSTILE,)),
        description_problem=HOSTILE,
    )
    usage = Usage(model=HOSTILE, calls=1, input_tokens=1, cached_input_tokens=0, output_tokens=1, dollars=None)
    model = (
        drawn()
        .analysis.models[0]
        .model_copy(update=dict.fromkeys(("role", "name", "version", "digest", "domain"), HOSTILE))
    )
    answer = analysis(
        shown,
        photo=PhotoInfo(name=HOSTILE, width=120, height=160, format=HOSTILE),
        vocabulary=(HOSTILE,),
        warnings=(HOSTILE,),
        models=(model,),
        timings_ms={HOSTILE: 1.0},
        cost=Cost(usages=(usage,), dollars=None),
    )
    return ReportEntry(answer, grey())


def _category(noun: str) -> Category | None:
    if noun not in _CATEGORIES:
        return None
    name, above = _CATEGORIES[noun]
    return Category(id=list(_CATEGORIES).index(noun), name=name, supercategory=above)


def _description(noun: str, colour: str, pattern: str) -> Description:
    return Description(
        type=noun,
        colours=(colour, "light grey"),
        pattern=pattern,
        material="cotton twill, as it looks",
        sleeve="short, set in" if noun in {"t-shirt", "shirt", "dress"} else "not visible",
        neckline="crew neck" if noun in {"t-shirt", "dress"} else "not visible",
        length="not visible",
        fit="relaxed",
        details=("contrast stitching", "two patch pockets") if noun in {"shorts", "coat", "bag"} else (),
        sentence=f"A {pattern} {colour} {noun} with an easy, relaxed shape for every day.",
    )
