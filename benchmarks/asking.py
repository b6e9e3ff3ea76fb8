"""Asks the server about every photo, a few at a time, and keeps of each answer only what the measures need."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Unpack

import numpy as np
from numpy.typing import NDArray

from depth_measures import DepthOrder, depth_order
from detection_measures import MAX_GARMENTS, SCORE_THRESHOLD, Answered, Tally, tallies
from fashioncrop import Analysis, AnalyzeOptions, ModelIdentity
from fashioncrop.errors import PhotoError
from fashioncrop.results import Box
from meaning_measures import CROPS_A_ROUND, MOST_ROUNDS, Crop, CropSample, NamedColour, caption_of, is_plain
from pipeline_code import depth_over_photo
from steering_measures import Steered, Term, choose_terms, steered
from taxonomy import Taxonomy, as_boxes
from truths import Dataset, Photo, UnusablePhotoError

AT_A_TIME = 2
"""Photos in flight: one is prepared here while the server works on the other."""
_MOST_BOXES = 300
"""The server takes no more in one request."""


class Asks(Protocol):
    """What is used of `fashioncrop.AsyncClient`."""

    async def analyze(self, source: bytes, /, **options: Unpack[AnalyzeOptions]) -> Analysis:
        """Every garment of one photo."""

    async def depth_map(self, source: bytes, /) -> NDArray[np.float32]:
        """Relative inverse depth of the whole photo."""


@dataclass(frozen=True)
class Plan:
    """What to ask.

    Attributes:
        taxonomy: the categories.
        terms: what can be asked for in the measure of steering; empty to leave it out.
        seed: of everything that is left to chance.
    """

    taxonomy: Taxonomy
    terms: tuple[Term, ...]
    seed: int


@dataclass(frozen=True)
class Seen:
    """What one photo gave.

    Attributes:
        answered: what is in it, and what was found with a low threshold.
        at_default: right and wrong by category with the server's own thresholds.
        not_judged: found garments of categories that the dataset says nothing of, with the same thresholds.
        left_out: indices of the categories of truths that are not evaluated, with their numbers.
        steering: None where it is not measured.
        colours: of plain garments.
        crops: by index of the truth.
        depth: of a drawn scene.
        models: that took part.
        warnings: of the server.
    """

    answered: Answered
    at_default: Mapping[int, Tally]
    not_judged: int
    left_out: Mapping[int, int]
    steering: Steered | None
    colours: tuple[NamedColour, ...]
    crops: Mapping[int, Crop]
    depth: DepthOrder | None
    models: frozenset[ModelIdentity]
    warnings: frozenset[str]


@dataclass
class Collected:
    """What all photos gave; some 5 KB each.

    Attributes:
        crops: a sample of all.
        seen: by the photo's index, without what the other fields hold.
        models: that took part.
        warnings: of the server.
        unusable: photos that could not be measured, name and reason.
    """

    crops: CropSample
    seen: dict[int, Seen] = field(default_factory=dict)
    models: set[ModelIdentity] = field(default_factory=set)
    warnings: set[str] = field(default_factory=set)
    unusable: list[tuple[str, str]] = field(default_factory=list)

    def add(self, index: int, seen: Seen) -> None:
        """Take in one photo's."""
        for place, crop in seen.crops.items():
            self.crops.show(crop, (index, place))
        self.models |= seen.models
        self.warnings |= seen.warnings
        self.seen[index] = replace(seen, crops={}, models=frozenset(), warnings=frozenset())

    def in_order(self) -> list[Seen]:
        """What was seen, in the dataset's order."""
        return [self.seen[index] for index in sorted(self.seen)]


async def ask_about_all(
    client: Asks, dataset: Dataset, indices: Sequence[int], plan: Plan, on_photo: Callable[[], None]
) -> Collected:
    """Ask about the photos at `indices`; one that cannot be measured is noted and the others go on.

    Raises:
        FashionCropError: the server cannot answer, or refuses the vocabulary.
    """
    collected = Collected(CropSample(CROPS_A_ROUND * MOST_ROUNDS, plan.seed))
    waiting = iter(indices)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_A_TIME):
                group.create_task(_work(client, dataset, waiting, plan, collected, on_photo))
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None  # the first stopped the others
    collected.unusable.sort()
    return collected


async def _work(
    client: Asks,
    dataset: Dataset,
    waiting: Iterator[int],
    plan: Plan,
    collected: Collected,
    on_photo: Callable[[], None],
) -> None:
    for index in waiting:
        try:
            photo = await asyncio.to_thread(dataset.load, index)
            seen = await look_at(client, photo, plan, dataset.categories)
        except (UnusablePhotoError, PhotoError) as error:
            collected.unusable.append((dataset.name(index), str(error)))
        else:
            collected.add(index, seen)
        on_photo()


async def look_at(client: Asks, photo: Photo, plan: Plan, categories: Sequence[str]) -> Seen:
    """Ask everything about one photo.

    Raises:
        UnusablePhotoError: the annotations are for a photo of another size.
        FashionCropError: as `AsyncClient.analyze`.
    """
    taxonomy = plan.taxonomy
    plain = AnalyzeOptions(crops=False, embeddings=False)
    asked = plain | AnalyzeOptions(vocabulary=taxonomy.vocabulary) if taxonomy.vocabulary is not None else plain
    many = AnalyzeOptions(score_threshold=SCORE_THRESHOLD, max_garments=MAX_GARMENTS)
    low = await client.analyze(photo.data, **(asked | many))
    size_wh = (low.photo.width, low.photo.height)
    if photo.size_wh is not None and photo.size_wh != size_wh:
        raise UnusablePhotoError(
            f"is {size_wh[0]} x {size_wh[1]} pixels, and annotated as {photo.size_wh[0]} x {photo.size_wh[1]}"
        )
    truth = taxonomy.true_boxes(photo.truths)
    default = await client.analyze(photo.data, **asked)
    steering = await _steer(client, photo, plan) if plan.terms and len(truth) else None
    found = taxonomy.found_boxes(default.garments)
    told = await _with_true_boxes(client, photo, taxonomy, size_wh, categories)
    order = None
    if photo.layers is not None and told.answer is not None:
        depth = depth_over_photo(await client.depth_map(photo.data), size_wh)
        order = depth_order(depth, photo.layers, photo.truths, told.medians)
    answers = [low, default, *([told.answer] if told.answer is not None else [])]
    return Seen(
        answered=(truth, taxonomy.found_boxes(low.garments)),
        at_default=tallies(truth, found),
        not_judged=len(default.garments) - len(found),
        left_out=Counter(one.category for one in photo.truths if one.category not in taxonomy.key_of),
        steering=steering,
        colours=told.colours,
        crops=told.crops,
        depth=order,
        models=frozenset(model for answer in answers for model in answer.models),
        warnings=frozenset(warning for answer in answers for warning in answer.warnings),
    )


async def _steer(client: Asks, photo: Photo, plan: Plan) -> Steered:
    truth = plan.taxonomy.true_boxes(photo.truths)
    present = {int(key) for key in truth.categories}
    terms = choose_terms(plan.terms, present, np.random.default_rng([plan.seed, photo.index]))
    phrases = [(phrase, term.key) for term in terms for phrase in term.phrases]
    answer = await client.analyze(
        photo.data, vocabulary=[phrase for phrase, _ in phrases], crops=False, embeddings=False
    )
    found = as_boxes((garment, phrases[garment.phrase_id][1]) for garment in answer.garments)
    return steered(truth, found, {term.key for term in terms})


@dataclass(frozen=True)
class _Told:
    """The answer for a photo whose true boxes were given; `medians` by index of the truth."""

    answer: Analysis | None = None
    colours: tuple[NamedColour, ...] = ()
    crops: Mapping[int, Crop] = field(default_factory=dict)
    medians: Mapping[int, float] = field(default_factory=dict)


async def _with_true_boxes(
    client: Asks, photo: Photo, taxonomy: Taxonomy, size_wh: tuple[int, int], categories: Sequence[str]
) -> _Told:
    """What the pipeline says of garments whose colours are annotated, at their true boxes."""
    inside = [(index, truth, _clipped(truth.box_xyxy, size_wh)) for index, truth in enumerate(photo.truths)]
    boxes = [
        (index, truth, box)
        for index, truth, box in inside
        if truth.colour is not None and truth.category in taxonomy.key_of and not truth.is_crowd and box is not None
    ][:_MOST_BOXES]
    if not boxes:
        return _Told()
    answer = await client.analyze(
        photo.data,
        boxes_xyxy=[box for _, _, box in boxes],
        box_phrases=[truth.noun or categories[truth.category] for _, truth, _ in boxes],
        crops=False,
    )
    colours: list[NamedColour] = []
    crops: dict[int, Crop] = {}
    medians: dict[int, float] = {}
    for garment in answer.garments:
        index, truth, _ = boxes[garment.phrase_id]  # of its box
        medians[index] = garment.depth.median
        if is_plain(truth) and garment.colours:
            colours.append(NamedColour(str(truth.colour), garment.colours[0].name))
        if garment.embedding is not None:
            caption = caption_of(truth, categories[truth.category])
            crops[index] = Crop(caption, np.asarray(garment.embedding, np.float32))
    return _Told(answer, tuple(colours), crops, medians)


def _clipped(box_xyxy: Box, size_wh: tuple[int, int]) -> Box | None:
    """The part of the box that is in the photo, None where there is none."""
    width, height = size_wh
    x0, y0, x1, y1 = box_xyxy
    inside = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    return inside if inside[0] < inside[2] and inside[1] < inside[3] else None
