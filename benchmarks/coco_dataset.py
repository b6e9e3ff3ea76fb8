"""A dataset in COCO's format: one JSON file with `images`, `annotations` and `categories`, and a folder of photos.

Beside COCO's own fields an annotation may say `noun`, `colour` and `pattern`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fashioncrop.results import Box
from truths import DatasetError, Photo, Truth, UnusablePhotoError

# Of Fashionpedia's annotations the outlines are nine tenths, and no measure reads them.
_NEVER_READ = ("segmentation", "attribute_ids")
_CORNERS = 4


@dataclass(frozen=True)
class _Image:
    file_name: str
    size_wh: tuple[int, int] | None
    truths: list[Truth] = field(default_factory=list)


class CocoDataset:
    """See `read_coco`."""

    def __init__(
        self, folder: Path, categories: tuple[str, ...], images: list[_Image], notes: Mapping[str, Any]
    ) -> None:
        self._folder = folder
        self._images = images
        self.categories = categories
        self.notes = notes
        truths = [truth for image in images for truth in image.truths]
        self.annotated = frozenset(truth.category for truth in truths)
        self.nouns = frozenset((truth.noun, truth.category) for truth in truths if truth.noun is not None)
        self.has_colours = any(truth.colour is not None for truth in truths)

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        """The photo's file name."""
        return self._images[index].file_name

    def load(self, index: int) -> Photo:
        """Read a photo's file; see `Dataset.load`."""
        image = self._images[index]
        try:
            data = (self._folder / image.file_name).read_bytes()
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise UnusablePhotoError(f"cannot be read: {reason}") from error
        return Photo(index, image.file_name, data, image.size_wh, tuple(image.truths))


def read_coco(annotations: Path, images: Path) -> CocoDataset:
    """Read the annotations; the photos are read when they are needed.

    Args:
        annotations: the JSON file.
        images: the folder that the file names in it are relative to.

    Raises:
        DatasetError: a file or folder is missing, or the annotations are not COCO's.
    """
    if not images.is_dir():
        raise DatasetError(f"There is no folder of photos {images}. Name it: --images DIR.")
    document, digest = _read_json(annotations)
    lists = {name: document.get(name) if isinstance(document, dict) else None for name in _LISTS}
    missing = [name for name, value in lists.items() if not isinstance(value, list)]
    if missing:
        raise DatasetError(
            f"{annotations} is not in COCO's format: it has no list of {', '.join(missing)}. It needs an object with "
            "images, annotations and categories."
        )
    try:
        places, names = _categories(lists["categories"] or [])
        found = dict(_images(lists["images"] or []))
        left_out = _add_annotations(lists["annotations"] or [], found, places)
    except _MalformedError as error:
        raise DatasetError(f"{annotations} is not in COCO's format: {error}.") from error
    notes = {"annotations_digest": digest, **left_out}
    return CocoDataset(images, names, list(found.values()), notes)


_LISTS = ("images", "annotations", "categories")


class _MalformedError(Exception):
    """An entry is not COCO's; the message says which and why."""


def _read_json(path: Path) -> tuple[Any, str]:
    """The document without what is never read, and the file's digest."""

    def slim(entry: dict[str, Any]) -> dict[str, Any]:
        for name in _NEVER_READ:
            entry.pop(name, None)
        return entry

    try:
        data = path.read_bytes()
        return json.loads(data, object_hook=slim), "sha256:" + hashlib.sha256(data).hexdigest()
    except OSError as error:
        raise DatasetError(
            f"The annotations {path} cannot be read: {error.strerror}. Name the file: --annotations FILE."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not JSON: {error}. Name the annotations' file: --annotations FILE.") from error


def _categories(entries: list[Any]) -> tuple[dict[Hashable, int], tuple[str, ...]]:
    """Index by the file's id, and names by index; ids of one name share an index."""
    names: dict[str, int] = {}
    places: dict[Hashable, int] = {}
    for place, entry in enumerate(entries):
        name = " ".join(_text(entry, "name", f"categories[{place}]").split())
        places[_id(entry, "id", f"categories[{place}]")] = names.setdefault(name, len(names))
    return places, tuple(names)


def _images(entries: list[Any]) -> Iterator[tuple[Hashable, _Image]]:
    seen = set[Hashable]()
    for place, entry in enumerate(entries):
        where = f"images[{place}]"
        identity = _id(entry, "id", where)
        if identity in seen:
            raise _MalformedError(f"{where}: another image has the id {identity!r} too")
        seen.add(identity)
        size = (entry.get("width"), entry.get("height"))
        known = all(isinstance(length, int) and length > 0 for length in size)
        yield identity, _Image(_text(entry, "file_name", where), size if known else None)


def _add_annotations(
    entries: list[Any], images: Mapping[Hashable, _Image], places: Mapping[Hashable, int]
) -> dict[str, int]:
    """Hand every annotation to its image; what could not be used, counted."""
    unlisted = empty = 0
    for place, entry in enumerate(entries):
        where = f"annotations[{place}]"
        category = _id(entry, "category_id", where)
        if category not in places:
            raise _MalformedError(f"{where}: there is no category {category!r}")
        image = images.get(_id(entry, "image_id", where))
        box = _box(entry, where)
        if image is None:
            unlisted += 1
        elif box[2] <= box[0] or box[3] <= box[1]:
            empty += 1
        else:
            words = [_word(entry, name) for name in ("noun", "colour", "pattern")]
            image.truths.append(Truth(places[category], box, bool(entry.get("iscrowd")), *words))
    return {"annotations_of_unlisted_photos": unlisted, "annotations_without_area": empty}


def _box(entry: Mapping[str, Any], where: str) -> Box:
    """COCO's x, y, width, height as corners."""
    box = entry.get("bbox")
    numbers = isinstance(box, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in box
    )
    if not isinstance(box, list) or not numbers or len(box) != _CORNERS:
        raise _MalformedError(f"{where}: bbox must be [x, y, width, height] in pixels; got {_shown(box)}")
    x, y, width, height = (float(value) for value in box)
    return (x, y, x + width, y + height)


def _id(entry: object, name: str, where: str) -> int | str:
    value = entry.get(name) if isinstance(entry, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _MalformedError(f"{where} has no {name} (a whole number or a text); got {_shown(value)}")
    return value


def _text(entry: object, name: str, where: str) -> str:
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise _MalformedError(f"{where} has no {name} (a text); got {_shown(value)}")
    return value


def _word(entry: Mapping[str, Any], name: str) -> str | None:
    value = entry.get(name)
    return value.strip().lower() or None if isinstance(value, str) else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - enough to recognise it
