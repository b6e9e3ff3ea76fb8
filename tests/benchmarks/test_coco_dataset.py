from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coco_dataset import CocoDataset, read_coco
from truths import Dataset, DatasetError, UnusablePhotoError

BOX = [10.0, 20.0, 30.0, 40.0]


def read(folder: Path) -> CocoDataset:
    return read_coco(folder / "annotations.json", folder / "images")


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "annotations.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_boxes_become_corners_and_words_are_kept(coco_folder: Callable[..., Path]) -> None:
    words = {"noun": "Jeans", "colour": " blue ", "pattern": "plain"}
    dataset: Dataset = read(
        coco_folder(
            categories={7: "pants", 3: "shirt, blouse"},
            photos=[[], [{"category_id": 7, "bbox": BOX, **words}, {"category_id": 3, "bbox": BOX, "iscrowd": 1}]],
        )
    )
    assert dataset.categories == ("pants", "shirt, blouse")
    assert (len(dataset), dataset.name(1)) == (2, "1.png")
    photo = dataset.load(1)
    assert photo.data.startswith(b"\x89PNG")
    assert photo.size_wh == (64, 48)
    jeans, crowd = photo.truths
    assert jeans.box_xyxy == (10, 20, 40, 60)
    assert (jeans.category, jeans.noun, jeans.colour, jeans.pattern, jeans.is_crowd) == (
        0,
        "jeans",
        "blue",
        "plain",
        False,
    )
    assert (crowd.category, crowd.colour, crowd.is_crowd) == (1, None, True)
    assert dataset.load(0).truths == ()
    assert dataset.annotated == {0, 1}
    assert dataset.nouns == {("jeans", 0)}
    assert dataset.has_colours


def test_outlines_are_not_kept_in_memory(coco_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = coco_folder(
        categories={0: "pants"}, photos=[[{"category_id": 0, "bbox": BOX, "segmentation": [[1, 2, 3, 4]]}]]
    )
    kept: list[dict[str, Any]] = []
    loads = json.loads

    def spying(data: bytes, *, object_hook: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        document: dict[str, Any] = loads(data, object_hook=object_hook)
        kept.extend(document["annotations"])
        return document

    monkeypatch.setattr("coco_dataset.json.loads", spying)
    read(folder)
    assert kept[0]["bbox"] == BOX
    assert "segmentation" not in kept[0]


def test_what_cannot_be_used_is_left_out_and_counted(coco_folder: Callable[..., Path]) -> None:
    entries = [
        {"category_id": 0, "bbox": BOX},
        {"category_id": 0, "bbox": [10, 20, 0, 40]},
        {"category_id": 0, "bbox": [10, 20, 5, -1]},
        {"category_id": 0, "bbox": BOX, "image_id": 99},
    ]
    dataset = read(coco_folder(categories={0: "pants"}, photos=[entries]))
    assert [truth.box_xyxy for truth in dataset.load(0).truths] == [(10, 20, 40, 60)]
    assert dataset.notes["annotations_without_area"] == 2
    assert dataset.notes["annotations_of_unlisted_photos"] == 1
    assert str(dataset.notes["annotations_digest"]).startswith("sha256:")


def test_ids_of_one_name_are_one_category(coco_folder: Callable[..., Path]) -> None:
    photos = [[{"category_id": 5, "bbox": BOX}, {"category_id": 9, "bbox": BOX}]]
    dataset = read(coco_folder(categories={5: "pants", 9: " pants"}, photos=photos))
    assert dataset.categories == ("pants",)
    assert [truth.category for truth in dataset.load(0).truths] == [0, 0]


def test_sizes_may_be_unknown(coco_folder: Callable[..., Path]) -> None:
    folder = coco_folder(categories={0: "pants"}, photos=[[]])
    rewrite(folder, lambda document: document["images"][0].pop("width"))
    assert read(folder).load(0).size_wh is None


@pytest.mark.parametrize("name", ["missing.png", "", "0.png/inside", "a\0b"])
def test_a_missing_photo_is_no_end(coco_folder: Callable[..., Path], name: str) -> None:
    folder = coco_folder(categories={0: "pants"}, photos=[[]])
    if not name:
        (folder / "images" / "0.png").unlink()
        (folder / "images" / "0.png").mkdir()
    else:
        rewrite(folder, lambda document: document["images"][0].update(file_name=name))
    with pytest.raises(UnusablePhotoError, match="cannot be read"):
        read(folder).load(0)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no folder of photos .*images.*--images DIR"):
        read(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match=r"annotations\.json cannot be read: No such file.*--annotations FILE"):
        read(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "\udcff", "[" * 100_000])
def test_what_is_not_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DatasetError, match=r"annotations\.json is not JSON"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ([], "images, annotations, categories"),
        ({}, "images, annotations, categories"),
        ({"images": [], "categories": {}}, "annotations, categories"),
    ],
)
def test_what_is_not_coco_is_named(tmp_path: Path, document: object, names: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    with pytest.raises(DatasetError, match=f"not in COCO's format: it has no list of {names}"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("part", "entry", "words"),
    [
        ("images", "0.png", r"images\[1\] has no id"),
        ("images", {"id": True, "file_name": "0.png"}, r"images\[1\] has no id"),
        ("images", {"id": 2}, r"images\[1\] has no file_name"),
        ("images", {"id": 1, "file_name": "0.png"}, r"images\[1\]: another image has the id 1 too"),
        ("categories", {"id": 2, "name": " "}, r"categories\[1\] has no name"),
        ("categories", {"name": "dress"}, r"categories\[1\] has no id"),
        ("annotations", {"image_id": 1, "category_id": 0}, r"annotations\[1\]: bbox must be .* got None"),
        ("annotations", {"image_id": 1, "category_id": 0, "bbox": [1, 2, 3]}, r"annotations\[1\]: bbox must be"),
        ("annotations", {"image_id": 1, "category_id": 0, "bbox": [1, 2, 3, "4"]}, "bbox must be"),
        ("annotations", {"image_id": 1, "category_id": 0, "bbox": [1, 2, 3, float("nan")]}, "bbox must be"),
        ("annotations", {"image_id": 1, "category_id": 8, "bbox": BOX}, r"annotations\[1\]: there is no category 8"),
        ("annotations", {"category_id": 0, "bbox": BOX}, r"annotations\[1\] has no image_id"),
        ("annotations", None, r"annotations\[1\] has no category_id"),
    ],
)
def test_a_malformed_entry_is_named(coco_folder: Callable[..., Path], part: str, entry: object, words: str) -> None:
    folder = coco_folder(categories={0: "pants"}, photos=[[{"category_id": 0, "bbox": BOX}]])
    rewrite(folder, lambda document: document[part].append(entry))
    with pytest.raises(DatasetError, match=words):
        read(folder)
