"""The project's drawn test scenes as a dataset: nothing is on disk, each is drawn when it is needed."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

from fashioncrop_paperdoll.outfit import NOUNS
from fashioncrop_paperdoll.scene import TEST_SEEDS, draw_scene
from pipeline_code import CATEGORIES, category_of
from truths import DatasetError, Layers, Photo, Truth

SIZE_WH = (384, 512)


class DrawnScenes:
    """The first so many test scenes; no model that ships with the project has seen them.

    Every one of Fashionpedia's categories counts as annotated, because it is known that what is not told of is not
    there.

    Args:
        count: how many.

    Raises:
        DatasetError: there are not so many.
    """

    def __init__(self, count: int) -> None:
        if not 1 <= count <= len(TEST_SEEDS):
            raise DatasetError(f"There are {len(TEST_SEEDS)} test scenes; --scenes {count} asks for another number.")
        self._seeds = TEST_SEEDS[:count]
        self.categories = tuple(category.name for category in CATEGORIES)
        self.nouns = frozenset((noun, _category(noun)) for noun in NOUNS)
        self.annotated = frozenset(category for _, category in self.nouns)
        self.has_colours = True
        self.notes: Mapping[str, Any] = {
            "seeds": [self._seeds[0], self._seeds[-1]],
            "width": SIZE_WH[0],
            "height": SIZE_WH[1],
        }

    def __len__(self) -> int:
        return len(self._seeds)

    def name(self, index: int) -> str:
        """The scene's seed."""
        return f"scene {self._seeds[index]}"

    def load(self, index: int) -> Photo:
        """Draw a scene and encode it without loss; see `Dataset.load`."""
        scene = draw_scene(self._seeds[index], *SIZE_WH)
        file = io.BytesIO()
        Image.fromarray(scene.image).save(file, "PNG", compress_level=1)
        truths = tuple(
            Truth(_category(one.noun), one.box_xyxy, noun=one.noun, colour=one.colour, pattern=one.pattern)
            for one in scene.garments
        )
        layers = Layers(scene.depth, scene.labels, scene.people, tuple(one.person for one in scene.garments))
        return Photo(index, self.name(index), file.getvalue(), SIZE_WH, truths, layers)


def _category(noun: str) -> int:
    """Index of the noun's category in `CATEGORIES`."""
    category = category_of(noun)
    if category is None:
        raise DatasetError(f"The scenes draw {noun!r}, which is none of Fashionpedia's categories; please report this.")
    return CATEGORIES.index(category)
