"""What is asked about each photo, with a server that is played by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pytest
from numpy.typing import NDArray

from asking import Collected, Plan, ask_about_all
from coco_dataset import read_coco
from detection_measures import Tally, average_precision, summed
from drawn_scenes import DrawnScenes
from fashioncrop import Analysis, AnalyzeOptions
from fashioncrop.errors import DeadlineError, PhotoError
from pipeline_code import category_of
from settings import Vocabulary
from steering_measures import terms_of
from taxonomy import choose_taxonomy
from truths import Dataset, Photo

MakeAnalysis = Callable[..., Analysis]
DEFAULT_NOUNS = ("shirt", "pants", "skirt")


@dataclass
class Perfect:
    """A server that knows the truth of every photo: finds what is asked for, each once, with the right words.

    Attributes:
        dataset: where the truth is.
        make: an answer.
        asked: the options of every request.
        problem: raised for the photo with this index.
    """

    dataset: Dataset
    make: MakeAnalysis
    asked: list[dict[str, Any]] = field(default_factory=list)
    problem: tuple[int, Exception] | None = None
    in_flight: int = 0
    most_in_flight: int = 0

    def __post_init__(self) -> None:
        self.second_came = asyncio.Event()
        if len(self.dataset) == 1:
            self.second_came.set()
        self.photos = {photo.data: photo for photo in map(self.dataset.load, range(len(self.dataset)))}

    async def analyze(self, source: bytes, /, **options: Unpack[AnalyzeOptions]) -> Analysis:
        photo = self.photos[source]
        self.asked.append({"photo": photo.index, **options})
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if photo.index == 0:  # answers come in another order, and two photos are on their way
            await asyncio.wait_for(self.second_came.wait(), 60)
        else:
            self.second_came.set()
            await asyncio.sleep(0)
        self.in_flight -= 1
        if self.problem is not None and self.problem[0] == photo.index:
            raise self.problem[1]
        size_wh = photo.size_wh or (64, 48)
        return self.make(*self._garments(photo, options), size_wh=size_wh)

    def _garments(self, photo: Photo, options: AnalyzeOptions) -> list[dict[str, Any]]:
        if "boxes_xyxy" in options:
            boxes = np.asarray(options["boxes_xyxy"]).tolist()
            truths = [next(one for one in photo.truths if list(one.box_xyxy) == box) for box in boxes]
            assert [one.noun for one in truths] == list(options["box_phrases"])
            return [
                {
                    "box_xyxy": one.box_xyxy,
                    "phrase_id": index,
                    "colour": one.colour,
                    "embedding": (0.0, 1.0),
                    "depth": float(index),
                }
                for index, one in enumerate(truths)
            ]
        words = options.get("vocabulary")
        found = []
        for one in photo.truths:
            noun = one.noun or self.dataset.categories[one.category]
            if words is None or noun in words:
                category = category_of(noun)
                phrase = list(words).index(noun) if words is not None else 0
                found.append({"box_xyxy": one.box_xyxy, "phrase_id": phrase, "category": category and category.id})
        return found

    async def depth_map(self, source: bytes, /) -> NDArray[np.float32]:
        layers = self.photos[source].layers
        assert layers is not None
        return layers.depth


def ask(client: Perfect, dataset: Dataset, vocabulary: Vocabulary = Vocabulary.AUTO) -> tuple[Collected, Plan]:
    taxonomy = choose_taxonomy(dataset, vocabulary)
    plan = Plan(taxonomy, terms_of(dataset, taxonomy), seed=0)
    done: list[None] = []
    collected = asyncio.run(ask_about_all(client, dataset, range(len(dataset)), plan, lambda: done.append(None)))
    assert len(done) == len(dataset)
    return collected, plan


def test_a_server_that_knows_everything_has_full_marks(analysis: MakeAnalysis) -> None:
    dataset = DrawnScenes(5)
    client = Perfect(dataset, analysis)
    collected, plan = ask(client, dataset)
    seen = collected.in_order()
    truths = sum(len(photo.truths) for photo in client.photos.values())
    precision, _ = average_precision([one.answered for one in seen], plan.taxonomy.names)
    assert [precision.ap, precision.ap75, precision.ar100] == pytest.approx([1, 1, 1])
    assert sum(summed(one.at_default for one in seen).values(), Tally()) == Tally(right=truths)
    for one in seen:
        assert one.steering is not None
        assert one.steering.strays == one.steering.tally.wrong == one.steering.tally.missed == 0
        assert all(colour.annotated == colour.found for colour in one.colours)
        assert one.depth is not None
        assert one.depth.person_before_background is True
        assert one.depth.held_before_person is not False
        assert one.depth.outlines_right == one.depth.pairs
    assert any(one.steering and one.steering.was_there for one in seen)
    assert sum(len(one.colours) for one in seen) == sum(
        one.pattern == "plain" for photo in client.photos.values() for one in photo.truths
    )
    assert collected.crops.shown == truths
    assert collected.warnings == {"made by hand"}
    assert {model.name for model in collected.models} == {"by hand"}
    assert [len(one.answered[0]) for one in seen] == [
        len(photo.truths) for photo in sorted(client.photos.values(), key=lambda photo: photo.index)
    ], "in the dataset's order, whichever answer came first"


def test_two_photos_are_on_their_way_at_a_time(analysis: MakeAnalysis, coco_folder: Callable[..., Path]) -> None:
    folder = coco_folder(categories={0: "pants"}, photos=[[{"category_id": 0, "bbox": [1, 2, 20, 30]}]] * 9)
    dataset = read_coco(folder / "annotations.json", folder / "images")
    client = Perfect(dataset, analysis)
    collected, _ = ask(client, dataset)
    assert client.most_in_flight == 2
    assert len(collected.seen) == 9


def test_what_is_asked(analysis: MakeAnalysis) -> None:
    dataset = DrawnScenes(1)
    client = Perfect(dataset, analysis)
    ask(client, dataset)
    many, default, steering, given = client.asked
    nothing_more = {"photo": 0, "crops": False, "embeddings": False}
    assert many == {**nothing_more, "score_threshold": 0.01, "max_garments": 100}
    assert default == nothing_more, "the server's own thresholds"
    assert set(steering) == {*nothing_more, "vocabulary"}
    assert len(steering["vocabulary"]) == 2
    assert set(given) == {"photo", "crops", "boxes_xyxy", "box_phrases"}


def test_the_datasets_own_words_are_sent(analysis: MakeAnalysis, coco_folder: Callable[..., Path]) -> None:
    folder = coco_folder(
        categories={3: "sleeve", 1: "sling", 2: "vest dress"},
        photos=[[{"category_id": 1, "bbox": [1, 2, 20, 30]}, {"category_id": 3, "bbox": [1, 2, 9, 9]}], []],
    )
    dataset = read_coco(folder / "annotations.json", folder / "images")
    client = Perfect(dataset, analysis)
    collected, plan = ask(client, dataset)
    assert plan.taxonomy.vocabulary == ("sling", "vest dress")
    assert [one.get("vocabulary") for one in client.asked] == [("sling", "vest dress")] * 4, "one category: no steering"
    first, second = collected.in_order()
    assert first.left_out == {0: 1}
    assert first.colours == ()
    assert (first.depth, first.steering) == (None, None)
    assert average_precision([first.answered, second.answered], plan.taxonomy.names)[0].ap50 == pytest.approx(1)


def test_a_photo_that_cannot_be_used_does_not_stop_the_others(
    analysis: MakeAnalysis, coco_folder: Callable[..., Path]
) -> None:
    pants = {"category_id": 0, "bbox": [1, 2, 20, 30]}
    folder = coco_folder(categories={0: "pants"}, photos=[[pants], [pants], [pants], [pants]])
    dataset = read_coco(folder / "annotations.json", folder / "images")
    client = Perfect(dataset, analysis, problem=(1, PhotoError("The photo is damaged.")))
    (folder / "images" / "3.png").unlink()
    collected, _ = ask(client, dataset)
    assert collected.unusable == [
        ("1.png", "The photo is damaged."),
        ("3.png", "cannot be read: No such file or directory"),
    ]
    assert sorted(collected.seen) == [0, 2]


def test_annotations_for_another_size_are_not_compared(
    analysis: MakeAnalysis, coco_folder: Callable[..., Path]
) -> None:
    folder = coco_folder(categories={0: "pants"}, photos=[[{"category_id": 0, "bbox": [1, 2, 20, 30]}]])
    dataset = read_coco(folder / "annotations.json", folder / "images")
    turned = Perfect(dataset, lambda *garments, size_wh: analysis(*garments, size_wh=size_wh[::-1]))
    collected, _ = ask(turned, dataset)
    assert collected.unusable == [("0.png", "is 48 x 64 pixels, and annotated as 64 x 48")]


def test_a_server_that_fails_ends_it(analysis: MakeAnalysis) -> None:
    dataset = DrawnScenes(3)
    client = Perfect(dataset, analysis, problem=(1, DeadlineError("no answer")))
    with pytest.raises(DeadlineError, match="no answer"):
        ask(client, dataset)


def test_true_boxes_are_sent_as_far_as_they_are_in_the_photo(
    analysis: MakeAnalysis, coco_folder: Callable[..., Path]
) -> None:
    words = {"noun": "pants", "colour": "red"}
    boxes = [[-5, 10, 20, 20], [70, 0, 10, 10], [50, 40, 20, 20], [1, 1, 2, 2]]
    entries = [{"category_id": 0, "bbox": box, **words} for box in boxes[:3]]
    entries += [{"category_id": 0, "bbox": boxes[3], "noun": "pants"}]  # no colour: nothing to ask
    folder = coco_folder(categories={0: "pants"}, photos=[entries])
    dataset = read_coco(folder / "annotations.json", folder / "images")
    client = Perfect(dataset, analysis)
    client._garments = lambda photo, options: []  # type: ignore[method-assign] # noqa: ARG005
    ask(client, dataset)
    assert client.asked[-1]["boxes_xyxy"] == [(0, 10, 15, 30), (50, 40, 64, 48)]
    assert client.asked[-1]["box_phrases"] == ["pants", "pants"]
