"""Where photos come from: scenes that the project draws, a folder, or a dataset in COCO's format.

Drawn scenes and datasets know what is in their photos, so that average precision can be measured on them; a folder
does not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from fashioncrop.errors import InputError, PhotoError
from fashioncrop_export.photos.pipeline_code import (
    DEFAULT_VOCABULARY,
    Limits,
    ProblemError,
    category_of,
    decode_photo,
)

# As in fashion_pipeline/config.pbtxt.
_LIMITS = Limits(max_bytes=32 * 2**20, max_pixels=64_000_000)
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"})
_SCENE_SIZE_WH = (480, 640)
_CORNERS = 4


class PhotoSourceError(InputError):
    """The photos are missing, or the dataset is not what it has to be."""


@dataclass(frozen=True)
class Truth:
    """One garment that is known to be there.

    Attributes:
        category: key of its category, comparable with `PhotoSource.category_of_phrase`.
        box_xyxy: in pixels of the upright photo.
        is_crowd: a group annotated as one, as COCO has it.
    """

    category: int
    box_xyxy: tuple[float, float, float, float]
    is_crowd: bool = False


@dataclass(frozen=True)
class SourcePhoto:
    """One photo.

    Attributes:
        name: for the report.
        image: RGB, upright.
        truths: what is in it; None where nobody knows.
    """

    name: str
    image: Image.Image
    truths: tuple[Truth, ...] | None = None


class PhotoSource(Protocol):
    """Some photos, read or drawn one at a time.

    Attributes:
        name: what they are, for the report.
        vocabulary: phrases to look for in them.
        has_truths: whether it is known what is in them.
    """

    name: str
    vocabulary: tuple[str, ...]
    has_truths: bool

    def __len__(self) -> int:
        """How many there are."""

    def __iter__(self) -> Iterator[SourcePhoto]:
        """The photos, always the same in the same order."""

    def category_of_phrase(self, phrase_id: int) -> int:
        """Key of the category that a phrase of the vocabulary names, -1 for none."""


class DrawnScenes:
    """Scenes of the project's own, seeded.

    Args:
        seeds: one scene each.

    Raises:
        PhotoSourceError: what draws them is not installed.
    """

    vocabulary = DEFAULT_VOCABULARY
    has_truths = True

    def __init__(self, seeds: Sequence[int]) -> None:
        try:
            from fashioncrop_paperdoll.scene import draw_scene  # noqa: PLC0415 - needs OpenCV, which not all photos need
        except ModuleNotFoundError as error:
            raise PhotoSourceError(
                f"Scenes cannot be drawn without {error.name}. Run: pip install 'fashioncrop[server]', or name a "
                "folder of photos instead."
            ) from error
        self._draw = draw_scene
        self._seeds = tuple(seeds)
        self.name = f"{len(self._seeds)} drawn scenes"

    def __len__(self) -> int:
        """How many there are."""
        return len(self._seeds)

    def __iter__(self) -> Iterator[SourcePhoto]:
        """Draw them."""
        for seed in self._seeds:
            scene = self._draw(seed, *_SCENE_SIZE_WH)
            truths = tuple(Truth(_fashionpedia_id(one.noun), one.box_xyxy) for one in scene.garments)
            yield SourcePhoto(f"scene {seed}", Image.fromarray(scene.image), truths)

    def category_of_phrase(self, phrase_id: int) -> int:
        """Fashionpedia's id."""
        return _fashionpedia_id(self.vocabulary[phrase_id])


def verification_scenes(count: int) -> DrawnScenes:
    """Scenes on which nothing was trained and nothing is calibrated."""
    return DrawnScenes(range(1_000_000, 1_000_000 + count))  # fashioncrop_paperdoll.scene.VALIDATION_SEEDS


def calibration_scenes(count: int) -> DrawnScenes:
    """Scenes on which nothing was trained and nothing is verified."""
    return DrawnScenes(range(1_000_500, 1_000_500 + count))


class PhotoFolder:
    """The photos in a folder, by name; nobody says what is in them.

    Args:
        folder: is searched with all that is in it.
        limit: at most so many.

    Raises:
        PhotoSourceError: there is no such folder, or no photo in it.
    """

    vocabulary = DEFAULT_VOCABULARY
    has_truths = False

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        if not folder.is_dir():
            raise PhotoSourceError(f"There is no folder {folder}. Name one that holds photos.")
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
        if not files:
            raise PhotoSourceError(
                f"The folder {folder} holds no photos (files that end in {', '.join(sorted(_SUFFIXES))}). Name another."
            )
        self._folder, self._files = folder, files[:limit]
        self.name = f"{len(self._files)} photos"

    def __len__(self) -> int:
        """How many there are."""
        return len(self._files)

    def __iter__(self) -> Iterator[SourcePhoto]:
        """Read them; see `read_photo`."""
        for path in self._files:
            yield SourcePhoto(path.relative_to(self._folder).as_posix(), read_photo(path))

    def category_of_phrase(self, phrase_id: int) -> int:
        """Fashionpedia's id."""
        return _fashionpedia_id(self.vocabulary[phrase_id])


class CocoPhotos:
    """A dataset in COCO's format.

    The default vocabulary is looked for where it names every category, otherwise the categories' own names.

    Args:
        annotations: the JSON file.
        images: the folder that the file names in it are relative to.
        limit: at most so many photos, the first in the file.

    Raises:
        PhotoSourceError: a file or folder is missing, or the annotations are not COCO's.
    """

    has_truths = True

    def __init__(self, annotations: Path, images: Path, limit: int | None = None) -> None:
        if not images.is_dir():
            raise PhotoSourceError(f"There is no folder of photos {images}.")
        try:
            document = json.loads(annotations.read_bytes())
        except (OSError, ValueError) as error:
            raise PhotoSourceError(f"The annotations {annotations} cannot be read: {error}.") from error
        try:
            names = {int(one["id"]): " ".join(str(one["name"]).split()) for one in document["categories"]}
            self._photos = {int(one["id"]): str(one["file_name"]) for one in document["images"][:limit]}
            self._truths = dict(_truths_by_image(document["annotations"], names, self._photos))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise PhotoSourceError(
                f"{annotations} is not in COCO's format (lists of images, annotations and categories): "
                f"{type(error).__name__}: {error}."
            ) from error
        if not self._photos:
            raise PhotoSourceError(f"{annotations} lists no photos.")
        self._images = images
        known = {key: _fashionpedia_id(name.split(", ")[0]) for key, name in names.items()}
        if all(key >= 0 for key in known.values()):
            self.vocabulary: tuple[str, ...] = DEFAULT_VOCABULARY
            self._keys = [_fashionpedia_id(phrase) for phrase in DEFAULT_VOCABULARY]
            self._key_of_id = known
        else:
            self.vocabulary = tuple(dict.fromkeys(names.values()))
            self._keys = list(range(len(self.vocabulary)))
            self._key_of_id = {key: self.vocabulary.index(name) for key, name in names.items()}
        self.name = f"{len(self._photos)} annotated photos"

    def __len__(self) -> int:
        """How many there are."""
        return len(self._photos)

    def __iter__(self) -> Iterator[SourcePhoto]:
        """Read them; see `read_photo`."""
        for key, name in self._photos.items():
            truths = tuple(
                Truth(self._key_of_id[category], box, is_crowd) for category, box, is_crowd in self._truths.get(key, ())
            )
            yield SourcePhoto(name, read_photo(self._images / name), truths)

    def category_of_phrase(self, phrase_id: int) -> int:
        """Fashionpedia's id, or the place of the dataset's own category."""
        return self._keys[phrase_id]


_Annotation = tuple[int, tuple[float, float, float, float], bool]


def _truths_by_image(
    entries: Sequence[Mapping[str, Any]], names: Mapping[int, str], photos: Mapping[int, str]
) -> dict[int, list[_Annotation]]:
    found: dict[int, list[_Annotation]] = {}
    for place, entry in enumerate(entries):
        category, box = int(entry["category_id"]), [float(value) for value in entry["bbox"]]
        if category not in names:
            raise ValueError(f"annotations[{place}]: there is no category {category}")
        if len(box) != _CORNERS or not all(map(math.isfinite, box)):
            raise ValueError(f"annotations[{place}]: bbox must be [x, y, width, height]; got {entry['bbox']}")
        x, y, width, height = box
        if int(entry["image_id"]) in photos and width > 0 and height > 0:
            truth = (category, (x, y, x + width, y + height), bool(entry.get("iscrowd")))
            found.setdefault(int(entry["image_id"]), []).append(truth)
    return found


def read_photo(path: Path) -> Image.Image:
    """A photo file, decoded as the pipeline decodes an upload: RGB, upright.

    Raises:
        PhotoError: it cannot be read, or is no photo.
    """
    try:
        return decode_photo(path.read_bytes(), _LIMITS).image
    except OSError as error:
        raise PhotoError(f"{path} cannot be read: {error.strerror}.") from error
    except ProblemError as error:
        raise PhotoError(f"{path}: {error}") from error


def _fashionpedia_id(phrase: str) -> int:
    category = category_of(phrase)
    return -1 if category is None else category.id
