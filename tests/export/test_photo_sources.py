"""Photos to calibrate and verify with: drawn, from a folder, from a dataset; and what is wrong with them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fashioncrop.errors import PhotoError
from fashioncrop.model_repository import Role
from fashioncrop_export.photos.feeds import Feeder, garment_like_boxes
from fashioncrop_export.photos.sources import (
    CocoPhotos,
    PhotoFolder,
    PhotoSourceError,
    calibration_scenes,
    read_photo,
    verification_scenes,
)
from fashioncrop_paperdoll.coco import write_coco
from fashioncrop_paperdoll.scene import TEST_SEEDS, TRAINING_SEEDS, VALIDATION_SEEDS, draw_scene

pytestmark = pytest.mark.export


def test_scenes_are_what_nothing_was_trained_or_tested_on() -> None:
    verification, calibration = verification_scenes(3), calibration_scenes(3)
    for source in (verification, calibration):
        assert set(source._seeds) <= set(VALIDATION_SEEDS)
        assert not set(source._seeds) & {*TRAINING_SEEDS, *TEST_SEEDS}
    assert not set(verification._seeds) & set(calibration._seeds)
    photo = next(iter(verification))
    scene = draw_scene(VALIDATION_SEEDS[0], *photo.image.size)
    np.testing.assert_array_equal(np.asarray(photo.image), scene.image)
    assert photo.truths is not None
    assert [truth.box_xyxy for truth in photo.truths] == [one.box_xyxy for one in scene.garments]
    assert all(truth.category >= 0 for truth in photo.truths)


def test_scenes_that_cannot_be_drawn_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fashioncrop_paperdoll.scene", None)
    with pytest.raises(PhotoSourceError, match=r"cannot be drawn without .*pip install 'fashioncrop\[server\]'"):
        verification_scenes(1)


def test_a_folder_is_read_in_order_with_all_below_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.png", "deep/a.jpg", "a.PNG"):
        Image.new("RGB", (4, 3), (9, 9, 9)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    photos = list(PhotoFolder(tmp_path))
    assert [photo.name for photo in photos] == ["a.PNG", "b.png", "deep/a.jpg"]
    assert [photo.truths for photo in photos] == [None] * 3
    assert len(PhotoFolder(tmp_path, 2)) == 2


def test_a_file_that_is_no_photo_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"no photo")
    with pytest.raises(PhotoError, match=rf"{path}: .*photo"):
        read_photo(path)
    with pytest.raises(PhotoError, match="cannot be read: No such file"):
        read_photo(tmp_path / "b.png")


def test_a_dataset_of_the_projects_own_is_read_as_it_was_drawn(tmp_path: Path) -> None:
    write_coco(tmp_path / "data", TEST_SEEDS[:2])
    photos = CocoPhotos(tmp_path / "data" / "annotations.json", tmp_path / "data" / "images")
    first = next(iter(photos))
    scene = draw_scene(TEST_SEEDS[0])
    assert first.truths is not None
    assert [truth.box_xyxy for truth in first.truths] == [one.box_xyxy for one in scene.garments]
    for truth, garment in zip(first.truths, scene.garments, strict=True):
        phrases = [
            phrase for phrase in range(len(photos.vocabulary)) if photos.category_of_phrase(phrase) == truth.category
        ]
        assert garment.noun in {photos.vocabulary[phrase] for phrase in phrases}
    assert len(CocoPhotos(tmp_path / "data" / "annotations.json", tmp_path / "data" / "images", 1)) == 1


def document(**changes: object) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 7, "name": "sofa"}, {"id": 9, "name": "cat"}],
        "annotations": [
            {"image_id": 1, "category_id": 9, "bbox": [1, 2, 3, 4], "iscrowd": 1},
            {"image_id": 1, "category_id": 7, "bbox": [1, 2, 0, 4]},
            {"image_id": 2, "category_id": 7, "bbox": [1, 2, 3, 4]},
        ],
        **changes,
    }


def dataset(folder: Path, content: object) -> CocoPhotos:
    (folder / "images").mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(folder / "images" / "a.png")
    (folder / "annotations.json").write_text(json.dumps(content))
    return CocoPhotos(folder / "annotations.json", folder / "images")


def test_other_categories_are_their_own_vocabulary(tmp_path: Path) -> None:
    photos = dataset(tmp_path, document())
    assert photos.vocabulary == ("sofa", "cat")
    assert [photos.category_of_phrase(phrase) for phrase in range(2)] == [0, 1]
    (photo,) = photos
    assert photo.truths is not None
    (truth,) = photo.truths
    assert (truth.category, truth.box_xyxy, truth.is_crowd) == (1, (1, 2, 4, 6), True)


FAULTS: dict[str, tuple[Callable[[], object], str]] = {
    "a list": (list, "is not in COCO's format"),
    "no images": (lambda: document(images=None), "is not in COCO's format"),
    "no photo": (lambda: document(images=[]), "lists no photos"),
    "no such category": (
        lambda: document(annotations=[{"image_id": 1, "category_id": 8, "bbox": [1, 2, 3, 4]}]),
        r"annotations\[0\]: there is no category 8",
    ),
    "half a box": (
        lambda: document(annotations=[{"image_id": 1, "category_id": 9, "bbox": [1, 2]}]),
        r"annotations\[0\]: bbox must be \[x, y, width, height\]; got \[1, 2\]",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_dataset_that_is_not_cocos_is_named(tmp_path: Path, fault: str) -> None:
    content, words = FAULTS[fault]
    with pytest.raises(PhotoSourceError, match=words):
        dataset(tmp_path, content())


def test_a_dataset_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PhotoSourceError, match="There is no folder of photos"):
        CocoPhotos(tmp_path / "annotations.json", tmp_path / "images")
    with pytest.raises(PhotoSourceError, match="cannot be read"):
        CocoPhotos(tmp_path / "annotations.json", tmp_path)


def test_each_model_is_fed_as_the_pipeline_feeds_it(tiny_repository: Path) -> None:
    feeder = Feeder(tiny_repository)
    image = Image.new("RGB", (400, 300))
    assert feeder.detector_image(image).shape == (1, 224, 298, 3)
    assert feeder.depth_image(image).shape[0] == 1
    assert all(side % 14 == 0 for side in feeder.depth_image(image).shape[1:3])
    crops = feeder.crops(image, garment_like_boxes(image.size))
    assert crops.shape == (4, 224, 224, 3)
    assert crops.dtype == np.uint8
    (caption,) = feeder.captions(["red dress", "hat"])
    assert len(caption.spans) == 2
    ids = feeder.text("a photo of a hat")["input_ids"]
    assert ids.shape[0] == 1
    assert feeder.identity(Role.TEXT_EMBEDDER).role == "text_embedder"
