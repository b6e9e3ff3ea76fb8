"""One role at a time: the original's answers, each engine's, and how close they are."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashioncrop.model_repository import Role
from fashioncrop_export.checkpoints import Checkpoint
from fashioncrop_export.graph_plan import Case
from fashioncrop_export.grounding_dino import MASKED_LOGIT
from fashioncrop_export.originals import Originals
from fashioncrop_export.photos.feeds import Feed, Feeder, garment_like_boxes
from fashioncrop_export.photos.pipeline_code import Caption, Detections, from_queries
from fashioncrop_export.photos.sources import PhotoSource, SourcePhoto, Truth
from fashioncrop_export.verifying.gates import Engine, Measure
from fashioncrop_export.verifying.measures import (
    Agreement,
    by_place,
    by_query,
    cosines,
    joined,
    rank_correlation,
    relative_difference,
)
from fashioncrop_export.verifying.precision import average_precision
from fashioncrop_export.verifying.runners import CHOICE, Runner

PINNED_PHOTOS = 8
"""The original is run once more for each of these and each engine, with the engine's own choice."""
_MOST_CROPS = 8
_MOST_TEXTS = 64

Answers = Mapping[str, NDArray[Any]]
Values = dict[Measure, float | None]
# Loads an engine of the role; it is let go before the next is loaded.
Open = Callable[[Engine], Runner]
# Called when one photo's work is done.
Tick = Callable[[], None]


@dataclass(frozen=True)
class Original:
    """transformers' own model of one role.

    Attributes:
        checkpoint: its weights.
        loaded: keeps models for the next role of the same checkpoint.
        role: which graph's inputs and outputs it takes and gives.
    """

    checkpoint: Checkpoint
    loaded: Originals
    role: Role

    def answers(self) -> Callable[[Feed, Feed, NDArray[np.int64] | None], Answers]:
        """Inputs of the graph, what only the original needs, and a choice to repeat -> outputs by name."""
        plan = importlib.import_module(f"fashioncrop_export.{self.role}").plan(self.checkpoint, self.loaded)

        def answer(feed: Feed, hidden: Feed, pinned: NDArray[np.int64] | None) -> Answers:
            reference: Answers = plan.reference(Case("photo", feed, hidden), pinned)
            return reference

        return answer


def compare(
    original: Original, engines: Sequence[Engine], open_engine: Open, photos: PhotoSource, feeder: Feeder, tick: Tick
) -> Iterator[tuple[Engine, Values]]:
    """Measure every engine of a role against the original.

    Args:
        original: of the role.
        engines: which to compare.
        open_engine: loads one.
        photos: what to look at.
        feeder: prepares inputs.
        tick: called `steps` times.
    """
    if original.role is Role.GARMENT_DETECTOR:
        yield from _compare_detector(original, engines, open_engine, photos, feeder, tick)
        return
    answer = original.answers()
    feeds = list(_feeds(original.role, photos, feeder))
    expected = []
    for feed in feeds:
        expected.append(answer(feed, {}, None))
        tick()
    for engine in engines:
        runner = open_engine(engine)
        got = []
        for feed in feeds:
            got.append(runner(feed))
            tick()
        yield engine, _MEASURES[original.role](expected, got)


def steps(role: Role, engines: int, photos: PhotoSource, feeder: Feeder) -> int:
    """How often `compare` ticks."""
    if role is Role.GARMENT_DETECTOR:
        return len(photos) * (engines + 1)
    texts = {
        Role.VOCABULARY_ENCODER: lambda: len(feeder.captions(photos.vocabulary)),
        Role.TEXT_EMBEDDER: lambda: min(len(photos.vocabulary), _MOST_TEXTS),
    }
    return texts.get(role, lambda: len(photos))() * (engines + 1)


def _feeds(role: Role, photos: PhotoSource, feeder: Feeder) -> Iterator[Feed]:
    if role is Role.VOCABULARY_ENCODER:
        yield from ({"input_ids": caption.input_ids[None]} for caption in feeder.captions(photos.vocabulary))
    elif role is Role.TEXT_EMBEDDER:
        yield from (feeder.text(f"a photo of a {phrase}") for phrase in photos.vocabulary[:_MOST_TEXTS])
    elif role is Role.DEPTH_ESTIMATOR:
        yield from ({"image": feeder.depth_image(photo.image)} for photo in photos)
    else:
        yield from ({"image": feeder.crops(photo.image, _boxes(photo))} for photo in photos)


def _boxes(photo: SourcePhoto) -> list[tuple[float, float, float, float]]:
    known = [truth.box_xyxy for truth in photo.truths or ()]
    return (known or garment_like_boxes(photo.image.size))[:_MOST_CROPS]


def _text_features(expected: Sequence[Answers], got: Sequence[Answers]) -> Values:
    exact = ("text_mask", "text_self_attention_mask", "position_ids")
    equal = all(
        np.array_equal(want[name], have[name]) for want, have in zip(expected, got, strict=True) for name in exact
    )
    least = min(
        float(cosines(want["text_features"], have["text_features"]).min())
        for want, have in zip(expected, got, strict=True)
    )
    return {Measure.MASKS_EQUAL: float(equal), Measure.TEXT_COSINE: least}


def _embeddings(expected: Sequence[Answers], got: Sequence[Answers]) -> Values:
    all_cosines = np.concatenate(
        [cosines(want["embedding"], have["embedding"]) for want, have in zip(expected, got, strict=True)]
    )
    return {Measure.COSINE: float(all_cosines.min()), Measure.MEAN_COSINE: float(all_cosines.mean())}


def _depths(expected: Sequence[Answers], got: Sequence[Answers]) -> Values:
    return {
        Measure.RANK_CORRELATION: min(
            rank_correlation(want["depth"], have["depth"]) for want, have in zip(expected, got, strict=True)
        )
    }


_MEASURES: dict[Role, Callable[[Sequence[Answers], Sequence[Answers]], Values]] = {
    Role.VOCABULARY_ENCODER: _text_features,
    Role.TEXT_EMBEDDER: _embeddings,
    Role.IMAGE_EMBEDDER: _embeddings,
    Role.DEPTH_ESTIMATOR: _depths,
}


@dataclass(frozen=True)
class _Pass:
    """One caption with what the original's text side makes of it."""

    caption: Caption
    tensors: Answers


def _compare_detector(
    original: Original, engines: Sequence[Engine], open_engine: Open, photos: PhotoSource, feeder: Feeder, tick: Tick
) -> Iterator[tuple[Engine, Values]]:
    encode = Original(original.checkpoint, original.loaded, Role.VOCABULARY_ENCODER).answers()
    detect = original.answers()
    passes = []
    for caption in feeder.captions(photos.vocabulary):
        ids = caption.input_ids[None]
        passes.append(_Pass(caption, encode({"input_ids": ids}, {}, None)))
    expected: list[list[Detections]] = []
    truths: list[Sequence[Truth]] = []
    for photo in photos:
        image = feeder.detector_image(photo.image)
        answers = [detect({"image": image, **one.tensors}, _hidden(one), None) for one in passes]
        expected.append([_detections(one, answer, photo) for one, answer in zip(passes, answers, strict=True)])
        truths.append(photo.truths or ())
        tick()
    ap = (
        average_precision([_all(parts) for parts in expected], truths, photos.category_of_phrase)
        if photos.has_truths
        else None
    )
    for engine in engines:
        runner = open_engine(engine)
        got: list[list[Detections]] = []
        pinned: list[Agreement] = []
        logits: list[float] = []
        for place, photo in enumerate(photos):
            image = feeder.detector_image(photo.image)
            parts = []
            for one in passes:
                feed = {"image": image, **one.tensors}
                answer = runner(feed)
                parts.append(_detections(one, answer, photo))
                if CHOICE in answer and place < PINNED_PHOTOS:
                    same_choice = detect(feed, _hidden(one), answer[CHOICE])
                    pinned.append(by_query(_detections(one, same_choice, photo), parts[-1]))
                    logits.append(relative_difference(same_choice["logits"], answer["logits"], masked=MASKED_LOGIT))
            got.append(parts)
            tick()
        yield (
            engine,
            {
                **_pinned_values(pinned, logits),
                **_free_values([by_place(_all(want), _all(have)) for want, have in zip(expected, got, strict=True)]),
                **_ap_values(ap, got, truths, photos),
            },
        )


def _hidden(one: _Pass) -> Feed:
    return {"input_ids": one.caption.input_ids[None]}


def _detections(one: _Pass, answer: Answers, photo: SourcePhoto) -> Detections:
    return from_queries(answer["logits"][0], answer["boxes_cxcywh"][0], one.caption.spans, photo.image.size)


def _all(parts: Sequence[Detections]) -> Detections:
    return Detections(
        np.concatenate([part.boxes_xyxy for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.phrase_ids for part in parts]),
    )


def _pinned_values(agreements: Sequence[Agreement], logits: Sequence[float]) -> Values:
    if not agreements:
        return {}
    whole = joined(agreements)
    return {
        Measure.LOGITS: max(logits),
        Measure.PINNED_FOUND: whole.found / whole.expected if whole.expected else None,
        Measure.PINNED_IOU: float(whole.ious.min()) if whole.found else None,
        Measure.PINNED_SCORE: float(whole.score_differences.max()) if whole.found else None,
        Measure.PINNED_PHRASE: float(whole.same_phrase.mean()) if whole.found else None,
    }


def _free_values(agreements: Sequence[Agreement]) -> Values:
    whole = joined(agreements)
    return {
        Measure.FOUND: whole.found / whole.expected if whole.expected else None,
        Measure.SURPLUS: whole.surplus / whole.expected if whole.expected else None,
        Measure.IOU: float(whole.ious.mean()) if whole.found else None,
        Measure.LEAST_IOU: float(whole.ious.min()) if whole.found else None,
        Measure.SCORE: float(whole.score_differences.mean()) if whole.found else None,
        Measure.PHRASE: float(whole.same_phrase.mean()) if whole.found else None,
    }


def _ap_values(
    ap: float | None, got: Sequence[Sequence[Detections]], truths: Sequence[Sequence[Truth]], photos: PhotoSource
) -> Values:
    if ap is None:
        return {}
    own = average_precision([_all(parts) for parts in got], truths, photos.category_of_phrase)
    return {} if own is None else {Measure.AP: 100 * own, Measure.AP_DROP: 100 * (ap - own)}
