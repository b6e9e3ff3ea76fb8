"""The whole service against transformers' own processor, model and post-processing, on real photographs."""

from __future__ import annotations

import io

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import linear_sum_assignment

import depths
import resizing
from categories import DEFAULT_VOCABULARY
from detections import areas, clipped, ious
from fashioncrop import Analysis
from fashioncrop.model_repository import Role, engine_folder
from fashioncrop_export.graph_plan import Pin, Tolerance
from fashioncrop_export.validation import session_with_pin
from original import Found, Pair

pytestmark = [pytest.mark.server, pytest.mark.export]

LEAST_IOU = 0.999
MOST_SCORE_DIFFERENCE = 1e-3
LEAST_COSINE = 0.9999
MOST_DEPTH_DIFFERENCE = 1e-3  # as a share of the map's largest value
PADDING = 0.05


def pinned_choice(pair: Pair, photo: Image.Image, phrases: list[str]) -> NDArray[np.int64]:
    """Which image tokens the engine chooses in the two-stage top-k for this photo. int64 [1, queries]."""
    inputs = pair.original.detector_inputs(photo, phrases)
    folder = engine_folder(pair.repository, Role.VOCABULARY_ENCODER)
    encoder = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    text = dict(
        zip(
            [output.name for output in encoder.get_outputs()],
            encoder.run(None, {"input_ids": inputs["input_ids"].numpy()}),
            strict=True,
        )
    )
    size = pair.original.processor.image_processor.size
    rule = {"shortest_edge": size["shortest_edge"], "longest_edge": size["longest_edge"], "resample": "bilinear"}
    pixels = resizing.resized(photo, resizing.detector_size_hw(photo.size, rule), rule)
    detector = session_with_pin(
        engine_folder(pair.repository, Role.GARMENT_DETECTOR) / "model.onnx",
        Pin(op_type="TopK", output=1, tolerance=Tolerance(relative=0)),
    )
    answer = detector.run(None, {"image": pixels[None], **text})
    chosen: NDArray[np.int64] = answer[-1]
    return chosen


def matched(
    answer: Analysis, found: Found, size_wh: tuple[int, int], threshold: float
) -> tuple[int, int, float, float]:
    """How many of theirs and of ours have a partner, the least IoU and the largest score difference among partners.

    Theirs and ours are counted where they are clearly above the threshold; a partner may be just below.
    """
    theirs = clipped(found.boxes_xyxy, size_wh)
    solid = areas(theirs) > 0
    theirs, scores, phrases = theirs[solid], found.scores[solid], found.phrase_ids[solid]
    ours = np.asarray([garment.box_xyxy for garment in answer.garments], np.float32).reshape(-1, 4)
    our_scores = np.asarray([garment.score for garment in answer.garments])
    our_phrases = np.asarray([garment.phrase_id for garment in answer.garments])
    overlap = ious(theirs, ours)
    differ = np.abs(scores[:, None] - our_scores[None])
    fits = (phrases[:, None] == our_phrases[None]) & (overlap >= LEAST_IOU) & (differ <= MOST_SCORE_DIFFERENCE)
    rows, columns = linear_sum_assignment(np.where(fits, 1 - overlap, 10.0))
    good = fits[rows, columns]
    rows, columns = rows[good], columns[good]
    lone_theirs = (scores > threshold + MOST_SCORE_DIFFERENCE) & ~np.isin(np.arange(len(scores)), rows)
    lone_ours = (our_scores > threshold + MOST_SCORE_DIFFERENCE) & ~np.isin(np.arange(len(our_scores)), columns)
    return (
        int(lone_theirs.sum()),
        int(lone_ours.sum()),
        float(overlap[rows, columns].min(initial=1)),
        float(differ[rows, columns].max(initial=0)),
    )


def compare(pair: Pair, name: str, data: bytes, phrases: list[str], threshold: float, figures: list[str]) -> None:
    photo = Image.open(io.BytesIO(data)).convert("RGB")
    answer = pair.client.analyze(
        data,
        vocabulary=phrases,
        score_threshold=threshold,
        iou_threshold=1.0,  # the original keeps overlapping boxes
        crop_padding=PADDING,
        max_garments=300,
    )
    assert 3 <= len(answer.garments) < 300, "choose a threshold that leaves something to compare"

    pinned = pair.original.detect(photo, phrases, threshold, pinned_choice(pair, photo, phrases))
    lone_theirs, lone_ours, least_iou, most_difference = matched(answer, pinned, photo.size, threshold)
    free = pair.original.detect(photo, phrases, threshold, None)
    free_theirs, free_ours, _, _ = matched(answer, free, photo.size, threshold)

    cosines = []
    for garment in answer.garments[:8]:
        embedding = pair.original.embed(photo.crop(garment.crop.box_xyxy))
        cosines.append(float(np.dot(embedding, np.asarray(garment.embedding))))
    depth = pair.original.depth(photo)
    ours = depths.over_photo(pair.client.depth_map(data), photo.size)
    depth_difference = float(np.abs(ours - depth).max() / np.abs(depth).max())
    for garment, measured in zip(
        answer.garments,
        depths.measure(depth, np.asarray([g.box_xyxy for g in answer.garments], np.float32), photo.size),
        strict=True,
    ):
        assert garment.depth.median == pytest.approx(measured.median, abs=MOST_DEPTH_DIFFERENCE * depth.max())

    figures.append(
        f"{name} {photo.width}x{photo.height}, {len(phrases)} phrases, {len(answer.garments)} above {threshold}; "
        f"top-k pinned: {lone_theirs} + {lone_ours} without partner, IoU >= {least_iou:.6f}, "
        f"score within {most_difference:.1e}; free-running: {free_theirs} + {free_ours} of "
        f"{len(free.scores)} without partner; cosine >= {min(cosines):.7f}; depth within {depth_difference:.1e}"
    )
    assert (lone_theirs, lone_ours) == (0, 0)
    assert least_iou >= LEAST_IOU
    assert most_difference <= MOST_SCORE_DIFFERENCE
    assert min(cosines) >= LEAST_COSINE
    assert depth_difference <= MOST_DEPTH_DIFFERENCE
    assert np.ptp(depth) > 0, "a constant map would prove nothing"


@pytest.mark.parametrize("name", ["astronaut", "camera", "chelsea", "coffee", "rocket"])
def test_tiny_weights(tiny: Pair, photographs: dict[str, bytes], figures: list[str], name: str) -> None:
    compare(tiny, f"tiny, {name}", photographs[name], list(DEFAULT_VOCABULARY), 0.3, figures)


def test_tiny_weights_with_other_words(tiny: Pair, photographs: dict[str, bytes], figures: list[str]) -> None:
    phrases = ["red leather bag", "shirt", "person", "a pair of blue shoes"]
    compare(tiny, "tiny, astronaut", photographs["astronaut"], phrases, 0.3, figures)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_full_size_weights(full: Pair, photographs: dict[str, bytes], figures: list[str], name: str) -> None:
    compare(full, f"full size, {name}", photographs[name], list(DEFAULT_VOCABULARY), 0.35, figures)
