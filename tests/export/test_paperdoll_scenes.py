"""Paper dolls: the same seed is the same picture at every size, and what is told of it is true."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from categories import CATEGORIES as FASHIONPEDIA
from categories import DEFAULT_VOCABULARY
from colours import colour_name
from fashioncrop.errors import OptionError, OutputError
from fashioncrop_paperdoll.coco import CATEGORIES, write_coco
from fashioncrop_paperdoll.outfit import NOUNS
from fashioncrop_paperdoll.palette import COLOURS, PATTERNS, draw_style
from fashioncrop_paperdoll.scene import DEMO_SEEDS, TEST_SEEDS, TRAINING_SEEDS, VALIDATION_SEEDS, Scene, draw_scene

_SHADES = {
    "white": {"light grey", "cream"},
    "yellow": {"mustard"},
    "blue": {"denim blue", "navy"},
    "grey": {"dark grey", "light grey"},
    "green": {"dark green"},
    "pink": {"hot pink"},
}
"""Names that a colour in shade may have as well."""


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(seed) for seed in TEST_SEEDS[:160]]


def test_the_same_seed_draws_the_same() -> None:
    one, other = draw_scene(7), draw_scene(7)
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.depth, other.depth)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.people, other.people)
    assert one.garments == other.garments
    assert not np.array_equal(one.image, draw_scene(8).image)


def test_a_scene_is_the_same_at_every_size() -> None:
    moved: list[float] = []
    for seed in TEST_SEEDS[:16]:
        small, large = draw_scene(seed), draw_scene(seed, 768, 1024)
        assert [(g.noun, g.colour, g.pattern, g.person) for g in small.garments] == [
            (g.noun, g.colour, g.pattern, g.person) for g in large.garments
        ]
        for garment, same in zip(small.garments, large.garments, strict=True):
            moved.extend(np.abs(np.array(same.box_xyxy) / 4 - garment.box_xyxy))
        shrunk = cv2.resize(large.image, (192, 256), interpolation=cv2.INTER_AREA).astype(float)
        assert np.abs(shrunk - small.image).mean() < 6
        assert np.abs(large.depth[2::4, 2::4] - small.depth).mean() < 0.01
    # A tip that is thinner than a pixel of the small picture may end its box sooner.
    assert np.mean(np.array(moved) <= 1.5) > 0.99
    assert max(moved) < 10


def test_arrays_are_what_they_are_said_to_be(scenes: list[Scene]) -> None:
    for scene in scenes:
        _check(scene, 192, 256)


@settings(max_examples=40)
@given(st.integers(0, 2**40), st.integers(64, 400), st.integers(64, 400))
def test_every_seed_and_size_makes_a_scene(seed: int, width: int, height: int) -> None:
    _check(draw_scene(seed, width, height), width, height)


def _check(scene: Scene, width: int, height: int) -> None:
    assert scene.image.shape == (height, width, 3)
    assert scene.depth.shape == scene.labels.shape == scene.people.shape == (height, width)
    assert scene.image.dtype == scene.labels.dtype == scene.people.dtype == np.uint8
    assert scene.depth.dtype == np.float32
    assert np.isfinite(scene.depth).all()
    assert 0 <= scene.depth.min() < scene.depth.max() <= 1
    assert scene.labels.max() == len(scene.garments)
    for number, garment in enumerate(scene.garments, start=1):
        ys, xs = np.nonzero(scene.labels == number)
        assert garment.box_xyxy == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert garment.visible_pixels == len(xs)
        assert (scene.people[ys, xs] == garment.person + 1).all()
        assert garment.noun in NOUNS
        assert garment.colour in COLOURS
        assert garment.pattern in PATTERNS


def test_all_that_can_be_worn_is_worn_often_enough_to_learn(scenes: list[Scene]) -> None:
    assert set(NOUNS) <= set(DEFAULT_VOCABULARY)
    nouns = Counter(noun for scene in scenes for noun in {garment.noun for garment in scene.garments})
    assert set(nouns) == set(NOUNS)
    assert min(nouns.values()) >= 0.08 * len(scenes), nouns
    garments = [garment for scene in scenes for garment in scene.garments]
    assert {garment.colour for garment in garments} == set(COLOURS)
    assert {garment.pattern for garment in garments} == set(PATTERNS)


def test_people_wear_five_to_nine_garments_and_two_shoes(scenes: list[Scene]) -> None:
    worn = [
        [garment.noun for garment in scene.garments if garment.person == person]
        for scene in scenes
        for person in range(int(scene.people.max()))
    ]
    assert np.mean([5 <= len(nouns) <= 9 for nouns in worn]) > 0.95  # what is nearly covered is not told of
    assert np.mean([nouns.count("shoe") == 2 for nouns in worn]) > 0.97
    couples = np.mean([scene.people.max() == 2 for scene in scenes])
    assert 0.05 < couples < 0.3


def test_what_is_told_of_can_be_seen(scenes: list[Scene]) -> None:
    assert min(garment.visible_pixels for scene in scenes for garment in scene.garments) >= 40


def test_bags_and_umbrellas_are_nearer_than_people_and_people_than_backdrops(scenes: list[Scene]) -> None:
    for scene in scenes:
        behind = float(np.median(scene.depth[scene.people == 0]))
        for person in range(int(scene.people.max())):
            body = float(np.median(scene.depth[scene.people == person + 1]))
            assert body > behind + 0.1
            for number, garment in enumerate(scene.garments, start=1):
                if garment.person == person and garment.noun in {"bag", "umbrella"}:
                    assert float(np.median(scene.depth[scene.labels == number])) > body + 0.1


def test_plain_garments_have_the_colour_that_the_pipeline_names(scenes: list[Scene]) -> None:
    named: list[tuple[str, str, str]] = []
    for scene in scenes:
        for number, garment in enumerate(scene.garments, start=1):
            if garment.pattern == "plain":
                median = np.median(scene.image[scene.labels == number], axis=0)
                named.append((garment.noun, garment.colour, colour_name(median)))
    wrong = [entry for entry in named if entry[2] not in {entry[1]} | _SHADES.get(entry[1], set())]
    assert len(wrong) <= 0.05 * len(named), wrong
    assert sum(colour == name for _, colour, name in named) >= 0.93 * len(named)


@pytest.mark.parametrize("pattern", ["striped", "dotted", "checked"])
def test_patterns_leave_the_larger_share_to_the_colour(pattern: str) -> None:
    shares = []
    for seed in range(400):
        scene = draw_scene(seed)
        for number, garment in enumerate(scene.garments, start=1):
            if garment.pattern == pattern and garment.noun in {"dress", "skirt", "pants", "coat"}:
                pixels = scene.image[scene.labels == number].astype(float)
                shares.append(np.mean(np.abs(pixels - COLOURS[garment.colour]).max(axis=1) < 60))
        if len(shares) == 12:
            break
    # Outlines, folds and blended edges take their part as well.
    assert len(shares) == 12
    assert np.median(shares) > 0.45
    assert np.median(shares) < 0.9


def test_colours_stay_themselves_in_every_draw() -> None:
    rng = np.random.default_rng(0)
    for colour in COLOURS:
        names = {colour_name(np.array(draw_style(rng, colour).rgb)) for _ in range(200)}
        assert names == {colour}


def test_seed_ranges_do_not_overlap() -> None:
    ranges = (TRAINING_SEEDS, VALIDATION_SEEDS, TEST_SEEDS)
    assert sum(len(seeds) for seeds in ranges) == max(seeds.stop for seeds in ranges) - 999_000
    assert TRAINING_SEEDS.stop <= VALIDATION_SEEDS.start
    assert VALIDATION_SEEDS.stop <= TEST_SEEDS.start
    assert 3 <= len(DEMO_SEEDS) <= 4
    assert min(DEMO_SEEDS) >= 3_000_000


def test_the_demo_shows_every_kind_of_thing() -> None:
    nouns = {garment.noun for seed in DEMO_SEEDS for garment in draw_scene(seed).garments}
    assert len(nouns) >= 11
    assert {"shoe", "bag", "umbrella", "hat"} <= nouns


def test_categories_are_fashionpedias() -> None:
    by_noun = {noun: (category.id, category.name) for category in FASHIONPEDIA for noun in category.nouns}
    assert {noun: by_noun[noun] for noun in NOUNS} == CATEGORIES


def test_a_coco_dataset_tells_the_same_as_its_scenes(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "dolls"
    seeds = list(TEST_SEEDS[:3])
    write_coco(folder, seeds, 96, 128)
    document = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    assert sorted(path.name for path in tmp_path.joinpath("new").iterdir()) == ["dolls"]
    assert [image["seed"] for image in document["images"]] == seeds
    names = {category["id"]: category["name"] for category in document["categories"]}
    assert names == dict(CATEGORIES.values())
    ids = [annotation["id"] for annotation in document["annotations"]]
    assert len(ids) == len(set(ids))
    for image, seed in zip(document["images"], seeds, strict=True):
        scene = draw_scene(seed, 96, 128)
        with Image.open(folder / "images" / image["file_name"]) as file:
            np.testing.assert_array_equal(np.asarray(file), scene.image)
        assert (image["width"], image["height"]) == (96, 128)
        told = [annotation for annotation in document["annotations"] if annotation["image_id"] == image["id"]]
        for annotation, garment in zip(told, scene.garments, strict=True):
            x, y, width, height = annotation["bbox"]
            assert (x, y, x + width, y + height) == garment.box_xyxy
            assert annotation["area"] == garment.visible_pixels
            assert annotation["iscrowd"] == 0
            assert garment.noun in names[annotation["category_id"]].split(", ")
            told_words = (annotation["noun"], annotation["colour"], annotation["pattern"])
            assert told_words == (garment.noun, garment.colour, garment.pattern)


def test_a_dataset_is_never_written_over_another(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(OutputError, match="name another"):
        write_coco(tmp_path, [1])
    with pytest.raises(OutputError, match="not an empty folder"):
        write_coco(tmp_path / "mine", [1])
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    write_coco(tmp_path / "empty", [1], 64, 64)
    assert (tmp_path / "empty" / "images" / "000001.png").exists()


def test_a_dataset_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        write_coco(tmp_path / "dolls", [1])
    assert not list(tmp_path.iterdir())


def test_a_dataset_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="0 seeds"):
        write_coco(tmp_path / "dolls", [])
