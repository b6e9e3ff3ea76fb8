"""Sizes and pixels equal those of the checkpoints' own processors, and stay bounded where those do not."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from resizing import (
    MAX_DEPTH_ASPECT,
    MAX_WHOLE_ASPECT,
    depth_size_hw,
    detector_size_hw,
    embedder_input,
    resized,
)

Noise = Callable[[int, int], Image.Image]
Processor = Callable[[Image.Image], NDArray[np.uint8]]

DETECTOR: dict[str, Any] = {"shortest_edge": 800, "longest_edge": 1333, "resample": "bilinear"}
# The same rule at a tenth of the cost.
SMALL_DETECTOR: dict[str, Any] = {"shortest_edge": 80, "longest_edge": 133, "resample": "bilinear"}
DEPTH: dict[str, Any] = {
    "height": 518,
    "width": 518,
    "keep_aspect_ratio": True,
    "multiple_of": 14,
    "resample": "bicubic",
}
EMBEDDER: dict[str, Any] = {"shortest_edge": 224, "crop_hw": [224, 224], "resample": "bicubic"}
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
UNTOUCHED: dict[str, Any] = {"do_rescale": False, "do_normalize": False}
THIN_TOLERANCE = 8
"""Grey levels; 7 is the most that was measured on strips of a photograph, more than 1 at 0.3 % of the pixels."""

sides = st.integers(1, 700)


def as_photo(processor: Any) -> Processor:  # noqa: ANN401 - transformers' own
    def process(image: Image.Image) -> NDArray[np.uint8]:
        (pixels,) = processor(image, return_tensors="np")["pixel_values"]
        assert pixels.dtype == np.uint8, "nothing but the size may have changed"
        return np.asarray(pixels).transpose(1, 2, 0)

    return process


def original_detector(preprocessing: dict[str, Any]) -> Processor:
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (  # noqa: PLC0415 - an extra
        GroundingDinoImageProcessorPil,
    )

    return as_photo(
        GroundingDinoImageProcessorPil(
            size={key: preprocessing[key] for key in ("shortest_edge", "longest_edge")},
            resample=FILTERS[preprocessing["resample"]],
            do_pad=False,
            **UNTOUCHED,
        )
    )


def original_depth(preprocessing: dict[str, Any]) -> Processor:
    from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil  # noqa: PLC0415 - an extra

    return as_photo(
        DPTImageProcessorPil(
            size={key: preprocessing[key] for key in ("height", "width")},
            resample=FILTERS[preprocessing["resample"]],
            keep_aspect_ratio=preprocessing["keep_aspect_ratio"],
            ensure_multiple_of=preprocessing["multiple_of"],
            do_pad=False,
            **UNTOUCHED,
        )
    )


def original_embedder() -> Processor:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil  # noqa: PLC0415 - an extra

    return as_photo(
        CLIPImageProcessorPil(
            size={"shortest_edge": EMBEDDER["shortest_edge"]},
            crop_size=dict(zip(("height", "width"), EMBEDDER["crop_hw"], strict=True)),
            resample=FILTERS[EMBEDDER["resample"]],
            **UNTOUCHED,
        )
    )


@pytest.mark.export
@settings(max_examples=60, deadline=None)
@given(width=sides, height=sides)
@example(width=1, height=1)
@example(width=80, height=300)
@example(width=133, height=80)
@example(width=640, height=481)
@example(width=3, height=399)
def test_the_detector_sees_what_the_original_sees(noise: Noise, width: int, height: int) -> None:
    assume(max(width, height) <= SMALL_DETECTOR["longest_edge"] * min(width, height))
    theirs = original_detector(SMALL_DETECTOR)(noise(width, height))
    size_hw = detector_size_hw((width, height), SMALL_DETECTOR)
    assert theirs.shape[:2] == size_hw
    np.testing.assert_array_equal(resized(noise(width, height), size_hw, SMALL_DETECTOR), theirs)


@pytest.mark.export
@settings(max_examples=400, deadline=None)
@given(width=st.integers(1, 20_000), height=st.integers(1, 20_000))
@example(width=4000, height=3000)
@example(width=801, height=1335)
@example(width=1, height=1333)
def test_the_detectors_size_is_the_originals_for_photos_of_any_size(width: int, height: int) -> None:
    assume(max(width, height) <= DETECTOR["longest_edge"] * min(width, height))
    from transformers.image_transforms import get_size_with_aspect_ratio  # noqa: PLC0415 - an extra

    theirs = get_size_with_aspect_ratio((height, width), DETECTOR["shortest_edge"], DETECTOR["longest_edge"])
    assert detector_size_hw((width, height), DETECTOR) == theirs


@pytest.mark.export
@pytest.mark.parametrize("keep_aspect_ratio", [True, False])
@settings(max_examples=40, deadline=None)
@given(width=sides, height=sides)
@example(width=518, height=518)
@example(width=1, height=MAX_DEPTH_ASPECT)
@example(width=140, height=35)
def test_the_depth_estimator_sees_what_the_original_sees(
    noise: Noise, width: int, height: int, *, keep_aspect_ratio: bool
) -> None:
    assume(max(width, height) <= MAX_DEPTH_ASPECT * min(width, height))
    preprocessing = DEPTH | {"height": 126, "width": 126, "keep_aspect_ratio": keep_aspect_ratio}
    theirs = original_depth(preprocessing)(noise(width, height))
    size_hw = depth_size_hw((width, height), preprocessing)
    assert theirs.shape[:2] == size_hw
    np.testing.assert_array_equal(resized(noise(width, height), size_hw, preprocessing), theirs)


@pytest.mark.export
@settings(max_examples=60, deadline=None)
@given(width=sides, height=sides)
@example(width=224, height=224)
@example(width=225, height=224)
@example(width=251, height=486)
@example(width=20, height=20 * MAX_WHOLE_ASPECT)
@example(width=20 * MAX_WHOLE_ASPECT, height=20)
def test_the_embedder_sees_what_the_original_sees(noise: Noise, width: int, height: int) -> None:
    assume(max(width, height) <= MAX_WHOLE_ASPECT * min(width, height))
    np.testing.assert_array_equal(
        embedder_input(noise(width, height), EMBEDDER), original_embedder()(noise(width, height))
    )


@pytest.mark.export
def test_real_photographs_are_seen_as_by_the_originals(photographs: dict[str, bytes]) -> None:
    detector, depth, embedder = original_detector(DETECTOR), original_depth(DEPTH), original_embedder()
    for name, data in photographs.items():
        photo = Image.open(io.BytesIO(data)).convert("RGB")
        pixels = resized(photo, detector_size_hw(photo.size, DETECTOR), DETECTOR)
        np.testing.assert_array_equal(pixels, detector(photo), name)
        pixels = resized(photo, depth_size_hw(photo.size, DEPTH), DEPTH)
        np.testing.assert_array_equal(pixels, depth(photo), name)
        np.testing.assert_array_equal(embedder_input(photo, EMBEDDER), embedder(photo), name)


@pytest.mark.export
@pytest.mark.parametrize("turned", [False, True])
def test_the_middle_of_a_very_thin_crop_is_nearly_what_the_original_sees(
    astronaut: Image.Image, *, turned: bool
) -> None:
    original = original_embedder()
    for left in range(0, 480, 60):
        thin = astronaut.crop((left, 0, left + 24, 24 * (MAX_WHOLE_ASPECT + 2)))
        if turned:
            thin = thin.transpose(Image.Transpose.ROTATE_90)
        apart = np.abs(embedder_input(thin, EMBEDDER).astype(int) - original(thin))
        assert apart.max() <= THIN_TOLERANCE
        assert (apart > 1).mean() <= 0.003


def test_a_photo_of_the_detectors_own_size_is_left_as_it_is(noise: Noise) -> None:
    for size_wh in ((80, 100), (100, 80), (80, 80)):
        assert detector_size_hw(size_wh, SMALL_DETECTOR) == size_wh[::-1]
    np.testing.assert_array_equal(resized(noise(80, 100), (100, 80), SMALL_DETECTOR), np.asarray(noise(80, 100)))


@settings(max_examples=300)
@given(width=st.integers(1, 60_000), height=st.integers(1, 60_000))
@example(width=1, height=60_000)
@example(width=60_000, height=1)
@example(width=1, height=2665)
def test_no_photo_costs_more_than_the_models_were_made_for(width: int, height: int) -> None:
    detector_h, detector_w = detector_size_hw((width, height), DETECTOR)
    short, long = sorted((detector_h, detector_w))
    assert 1 <= short <= 800
    # The original rounds the short side, and leaves a photo alone that has it: the long side then is that much longer.
    assert long <= 1333 * short / (short - 0.5) + 1
    depth_hw = depth_size_hw((width, height), DEPTH)
    for side in depth_hw:
        assert side % 14 == 0
        assert 14 <= side <= MAX_DEPTH_ASPECT * 518


def test_a_photo_of_one_column_has_at_least_one_pixel_and_one_patch(noise: Noise) -> None:
    assert detector_size_hw((1, 60_000), DETECTOR) == (1333, 1)
    assert detector_size_hw((60_000, 1), DETECTOR) == (1, 1333)
    assert depth_size_hw((1, 60_000), DEPTH) == (518, 14)
    assert depth_size_hw((60_000, 1), DEPTH) == (14, 518)
    assert depth_size_hw((1000, 60_000), DEPTH) == (MAX_DEPTH_ASPECT * 518, 518), "large and thin: cut off"
    assert depth_size_hw((60_000, 1000), DEPTH) == (518, MAX_DEPTH_ASPECT * 518)
    for size_wh in ((1, 60_000), (60_000, 1)):
        pixels = embedder_input(noise(*size_wh), EMBEDDER)
        assert pixels.shape == (224, 224, 3)
        assert pixels.dtype == np.uint8


@pytest.mark.parametrize("size_wh", [(10, 10 * MAX_WHOLE_ASPECT), (10, 10 * MAX_WHOLE_ASPECT + 1), (400, 100), (7, 7)])
@pytest.mark.parametrize("turned", [False, True])
def test_the_embedder_is_shown_the_middle(size_wh: tuple[int, int], *, turned: bool) -> None:
    # Long enough that the ends, which are blue, lie outside the middle square.
    width, height = size_wh
    photo = Image.new("RGB", size_wh, "blue")
    side = min(size_wh)
    margin = side // 10
    photo.paste(
        "red",
        (
            (width - side) // 2 - margin,
            (height - side) // 2 - margin,
            (width + side) // 2 + margin,
            (height + side) // 2 + margin,
        ),
    )
    if turned:
        photo = photo.transpose(Image.Transpose.ROTATE_90)
    pixels = embedder_input(photo, EMBEDDER)
    if width != height:
        assert (pixels[8:-8, 8:-8] == (255, 0, 0)).all()
    assert (pixels[112, 112] == (255, 0, 0)).all()
