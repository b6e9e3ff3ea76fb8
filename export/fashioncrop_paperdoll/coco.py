"""Scenes as a detection dataset in COCO's format, with Fashionpedia's category ids."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from fashioncrop.errors import OptionError, OutputError
from fashioncrop_paperdoll.scene import Scene, draw_scene

CATEGORIES: dict[str, tuple[int, str]] = {
    "shirt": (0, "shirt, blouse"),
    "t-shirt": (1, "top, t-shirt, sweatshirt"),
    "sweater": (2, "sweater"),
    "jacket": (4, "jacket"),
    "pants": (6, "pants"),
    "shorts": (7, "shorts"),
    "skirt": (8, "skirt"),
    "coat": (9, "coat"),
    "dress": (10, "dress"),
    "glasses": (13, "glasses"),
    "hat": (14, "hat"),
    "shoe": (23, "shoe"),
    "bag": (24, "bag, wallet"),
    "scarf": (25, "scarf"),
    "umbrella": (26, "umbrella"),
}
"""Fashionpedia's id and name of each noun that is drawn."""


def write_coco(folder: Path, seeds: Iterable[int], width: int = 192, height: int = 256) -> None:
    """Write `images/000001.png` and so on, and `annotations.json`; all of it or nothing.

    Beside COCO's own fields an image has its `seed` and an annotation its `noun`, `colour` and `pattern`.

    Args:
        folder: new or empty.
        seeds: one scene each, in this order.
        width: of the images, pixels.
        height: of the images, pixels.

    Raises:
        OptionError: there are no seeds, or a size is below 1.
        OutputError: the folder is not empty, or cannot be written.
    """
    chosen = list(seeds)
    if not chosen or width < 1 or height < 1:
        raise OptionError(
            f"{len(chosen)} seeds at {width} x {height} pixels make no dataset; name one seed and 1 x 1 or more."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} is there already and not an empty folder; name another, or remove it first.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror}); name a folder that you may write."
        ) from error
    try:
        _write(unfinished, chosen, width, height)
        unfinished.chmod(0o755)  # mkdtemp's own is the owner's only
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror}); make room, or name another folder."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write(folder: Path, seeds: list[int], width: int, height: int) -> None:
    (folder / "images").mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, seed in enumerate(seeds, start=1):
        scene = draw_scene(seed, width, height)
        name = f"{number:06}.png"
        Image.fromarray(scene.image).save(folder / "images" / name)
        images.append({"id": number, "file_name": name, "width": width, "height": height, "seed": seed})
        annotations.extend(_annotations(scene, number, len(annotations) + 1))
    categories = [
        {"id": number, "name": name, "supercategory": "garment"} for number, name in sorted(CATEGORIES.values())
    ]
    document = {
        "info": {"description": "Paper dolls: drawn people in garments", "version": "1"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
    (folder / "annotations.json").write_text(json.dumps(document, indent=1), encoding="utf-8")


def _annotations(scene: Scene, image_id: int, first_id: int) -> list[dict[str, Any]]:
    found = []
    for place, garment in enumerate(scene.garments):
        x0, y0, x1, y1 = garment.box_xyxy
        found.append(
            {
                "id": first_id + place,
                "image_id": image_id,
                "category_id": CATEGORIES[garment.noun][0],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": garment.visible_pixels,
                "iscrowd": 0,
                "noun": garment.noun,
                "colour": garment.colour,
                "pattern": garment.pattern,
            }
        )
    return found
