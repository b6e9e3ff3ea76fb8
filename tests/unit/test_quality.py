from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from quality import BLUR_SIDE_PX, BLUR_VARIANCE, FRAME_MARGIN, LEAST_SIDE_PX, Flag, Quality, assess, sharpness

Box = tuple[float, float, float, float]

# Parts of scikit-image's astronaut, which docstrings speak of.
BOXES: list[Box] = [
    (40, 200, 440, 512),
    (170, 60, 280, 190),
    (150, 10, 300, 200),
    (330, 130, 512, 330),
    (0, 0, 512, 512),
    (20, 250, 150, 512),
    (250, 230, 330, 300),
    (170, 170, 330, 260),
    (0, 0, 130, 260),
    (300, 0, 400, 100),
    (100, 330, 180, 410),
]


def judged(image: Image.Image, boxes: Sequence[Box], depths: Sequence[float] | None = None) -> list[Quality]:
    boxes_xyxy = np.asarray(boxes, np.float32).reshape(-1, 4)
    return assess(image.size, boxes_xyxy, sharpness(image, boxes_xyxy), depths or [1.0] * len(boxes))


def sharp_photo(width: int = 1000, height: int = 500) -> Image.Image:
    values = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def test_a_sharp_garment_in_the_middle_has_no_flag() -> None:
    assert judged(sharp_photo(), [(100, 100, 400, 400)]) == [Quality((), ())]


def test_no_garment_has_no_quality() -> None:
    assert judged(sharp_photo(), []) == []


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ((1000 * FRAME_MARGIN, 100, 400, 400), False),
        ((1000 * FRAME_MARGIN - 0.1, 100, 400, 400), True),
        ((100, 500 * FRAME_MARGIN, 400, 400), False),
        ((100, 500 * FRAME_MARGIN - 0.1, 400, 400), True),
        ((100, 100, 1000 - 1000 * FRAME_MARGIN, 400), False),
        ((100, 100, 1000 - 1000 * FRAME_MARGIN + 0.1, 400), True),
        ((100, 100, 400, 500 - 500 * FRAME_MARGIN), False),
        ((100, 100, 400, 500 - 500 * FRAME_MARGIN + 0.1), True),
    ],
)
def test_a_box_that_ends_at_any_side_of_the_frame_is_cut(box: Box, *, cut: bool) -> None:
    assert (Flag.CUT_BY_FRAME in judged(sharp_photo(), [box])[0].flags) is cut


def test_in_a_small_photo_the_frame_is_a_pixel_wide() -> None:
    photo = sharp_photo(100, 50)
    assert Flag.CUT_BY_FRAME in judged(photo, [(0.9, 2, 60, 40)])[0].flags
    assert Flag.CUT_BY_FRAME not in judged(photo, [(1, 1, 60, 40)])[0].flags


@pytest.mark.parametrize("box", [(100, 100, 100 + LEAST_SIDE_PX, 300), (100, 100, 300, 100 + LEAST_SIDE_PX)])
def test_the_shorter_side_makes_a_garment_too_small(box: Box) -> None:
    assert Flag.TOO_SMALL not in judged(sharp_photo(), [box])[0].flags
    x0, y0, x1, y1 = box
    assert Flag.TOO_SMALL in judged(sharp_photo(), [(x0 + 0.5, y0 + 0.5, x1, y1)])[0].flags


def test_blur_is_told_from_sharpness_on_a_photograph(astronaut: Image.Image) -> None:
    for box in BOXES:
        longest = max(box[2] - box[0], box[3] - box[1])
        blurred = astronaut.filter(ImageFilter.GaussianBlur(longest / 40))
        assert Flag.BLURRED not in judged(astronaut, [box])[0].flags, box
        assert Flag.BLURRED in judged(blurred, [box])[0].flags, box


def test_sharpness_in_grey_is_that_of_the_colours(astronaut: Image.Image) -> None:
    """Grey first and small afterwards is cheaper, and the same but for rounding."""
    measured = sharpness(astronaut, np.asarray(BOXES, np.float32))
    for box, value in zip(BOXES, measured, strict=True):
        scale = BLUR_SIDE_PX / max(box[2] - box[0], box[3] - box[1], BLUR_SIDE_PX)
        size_wh = (round((box[2] - box[0]) * scale), round((box[3] - box[1]) * scale))
        small = astronaut.resize(size_wh, Image.Resampling.BILINEAR, box=box).convert("L")
        by_colours = float(cv2.Laplacian(np.asarray(small), cv2.CV_64F).var())
        assert value == pytest.approx(by_colours, rel=0.01), box


def test_blur_is_measured_at_one_size() -> None:
    # Boards that look the same once scaled: the least contrast that passes must be the same.
    least = []
    for scale in (2, 4, 8):
        board = np.kron(np.indices((14, 14)).sum(axis=0) % 2, np.ones((16 * scale, 16 * scale)))
        assert len(board) == scale * BLUR_SIDE_PX
        for contrast in range(4, 64):
            photo = Image.fromarray(np.uint8(board * contrast)).convert("RGB")
            if Flag.BLURRED not in judged(photo, [(0, 0, photo.width, photo.height)])[0].flags:
                least.append(contrast)
                break
    assert least == least[:1] * 3


def test_a_plain_surface_counts_as_blurred() -> None:
    assert BLUR_VARIANCE > 0
    assert judged(Image.new("RGB", (100, 100), "red"), [(20, 20, 80, 80)])[0].flags == (Flag.BLURRED,)


def test_a_nearer_garment_over_half_of_another_overlaps_it() -> None:
    coat, bag, belt = (100, 100, 300, 300), (150, 100, 350, 300), (100, 200, 300, 220)
    got = judged(sharp_photo(), [coat, bag, belt], [1.0, 2.0, 3.0])
    assert got[0] == Quality((Flag.OVERLAPPED,), (1,)), "the belt covers a tenth"
    assert got[1] == Quality((), ())
    assert got[2].overlapped_by == (), "what is in front is covered by nothing"
    assert judged(sharp_photo(), [coat, bag, belt], [3.0, 2.0, 1.0])[2].overlapped_by == (0, 1)


def test_exactly_half_is_enough_and_less_is_not() -> None:
    below, half, less = (100, 100, 300, 300), (200, 100, 300, 300), (201, 100, 400, 300)
    assert judged(sharp_photo(), [below, half], [1, 2])[0].overlapped_by == (1,)
    assert judged(sharp_photo(), [below, less], [1, 2])[0].overlapped_by == ()


def test_garments_at_one_depth_do_not_overlap_each_other() -> None:
    same = (100, 100, 300, 300)
    assert [one.overlapped_by for one in judged(sharp_photo(), [same, same], [1, 1])] == [(), ()]


def test_flags_come_in_one_order() -> None:
    plain = Image.new("RGB", (100, 100), "red")
    got = judged(plain, [(0, 0, 10, 10), (0, 0, 40, 40)], [1, 2])[0]
    assert got.flags == tuple(Flag)


@pytest.mark.parametrize("box", [(5, 5, 5.01, 95), (99.99, 0, 100, 100), (0, 0, 0.001, 0.001)])
def test_a_box_thinner_than_a_pixel_is_judged_too(box: Box) -> None:
    assert Flag.TOO_SMALL in judged(sharp_photo(100, 100), [box])[0].flags
