from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from drawn_scenes import SIZE_WH, DrawnScenes
from fashioncrop_paperdoll.scene import TEST_SEEDS, draw_scene
from settings import Vocabulary
from taxonomy import choose_taxonomy
from truths import Dataset, DatasetError


def test_a_scene_is_a_photo_with_its_truths() -> None:
    dataset: Dataset = DrawnScenes(2)
    scene = draw_scene(TEST_SEEDS[1], *SIZE_WH)
    photo = dataset.load(1)
    assert (len(dataset), photo.name, photo.size_wh) == (2, f"scene {TEST_SEEDS[1]}", SIZE_WH)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(photo.data))), scene.image)
    assert [(one.noun, one.colour, one.pattern, one.box_xyxy) for one in photo.truths] == [
        (one.noun, one.colour, one.pattern, one.box_xyxy) for one in scene.garments
    ]
    assert photo.layers is not None
    for index, truth in enumerate(photo.truths):
        rows, columns = np.nonzero(photo.layers.labels == index + 1)
        assert truth.box_xyxy == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_what_is_not_drawn_is_known_to_be_absent() -> None:
    dataset = DrawnScenes(1)
    taxonomy = choose_taxonomy(dataset, Vocabulary.AUTO)
    assert taxonomy.vocabulary is None
    assert len(taxonomy.names) == 27, "a tie that is found is wrong"
    assert taxonomy.left_out == ()
    assert ("t-shirt", 1) in dataset.nouns


def test_there_are_only_so_many() -> None:
    with pytest.raises(DatasetError, match=f"There are {len(TEST_SEEDS)} test scenes"):
        DrawnScenes(len(TEST_SEEDS) + 1)
