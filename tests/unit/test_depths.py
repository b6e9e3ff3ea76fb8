from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import depths
from depths import MAX_GRID_PIXELS, MEASURED_CELLS, Depth, measure, over_photo

BICUBIC_TOLERANCE = 1e-4
"""Share of the map's largest value: OpenCV and torch round the positions between cells differently, more so on larger
maps (9e-5 was measured on noise of 518 x 700 cells; a real map is smoother, 1e-5 on the photographs)."""


def boxes(*rows: tuple[float, float, float, float]) -> NDArray[np.float32]:
    return np.asarray(rows, np.float32).reshape(-1, 4)


@pytest.mark.export
@settings(max_examples=60, deadline=None)
@given(
    grid_hw=st.tuples(st.integers(2, 80), st.integers(2, 80)),
    size_wh=st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_the_map_is_laid_over_the_photo_as_the_original_does(
    grid_hw: tuple[int, int], size_wh: tuple[int, int]
) -> None:
    import torch  # noqa: PLC0415 - an extra

    depth_map = np.random.default_rng(grid_hw[0] * 100 + grid_hw[1]).uniform(0, 20, grid_hw).astype(np.float32)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(depth_map)[None, None], size_wh[::-1], mode="bicubic", align_corners=False
    )[0, 0].numpy()
    ours = over_photo(depth_map, size_wh)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=20 * BICUBIC_TOLERANCE)


def test_a_large_photo_is_measured_on_a_smaller_grid() -> None:
    # Depth grows from left to right, so that a box's median is where its middle is.
    ramp = np.tile(np.linspace(0, 1, 50, dtype=np.float32), (40, 1))
    size_wh = (10_000, 8_000)
    grid = over_photo(ramp, size_wh)
    assert grid.size == pytest.approx(MAX_GRID_PIXELS, rel=0.001)
    assert grid.shape[1] / grid.shape[0] == pytest.approx(1.25, rel=0.001)
    left, right = measure(grid, boxes((2000, 0, 3000, 8000), (7000, 4000, 8000, 6000)), size_wh)
    assert left.median == pytest.approx(0.25, abs=0.01)
    assert right.median == pytest.approx(0.75, abs=0.01)
    assert (left.order, right.order) == (2, 1)


def test_a_photo_of_one_row_is_shrunk_one_way_only() -> None:
    ramp = np.tile(np.linspace(0, 1, 50, dtype=np.float32), (4, 1))
    grid = over_photo(ramp, (6_000_000, 1))
    assert grid.shape[0] == 1
    assert grid.shape[1] < 6_000_000
    (found,) = measure(grid, boxes((3_000_000, 0, 4_500_000, 1)), (6_000_000, 1))
    assert found.median == pytest.approx(0.625, abs=0.01)


def test_median_and_spread_are_those_of_the_pixels_inside() -> None:
    depth = np.zeros((10, 20), np.float32)
    depth[2:5, 4:8] = np.arange(12, dtype=np.float32).reshape(3, 4)
    (found,) = measure(depth, boxes((4, 2, 8, 5)), (20, 10))
    assert found == Depth(median=5.5, spread=5.5, order=1)


@pytest.mark.parametrize("grid_wh", [(196, 266), (518, 700)])
def test_every_few_cells_have_nearly_the_median_and_quartiles_of_all(
    grid_wh: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fashioncrop_paperdoll.scene import TEST_SEEDS, draw_scene  # noqa: PLC0415 - draws

    read = 0
    for seed in TEST_SEEDS[:4]:
        scene = draw_scene(seed, 720, 960)
        size_wh = (1080, 1440)
        depth_map = np.asarray(cv2.resize(scene.depth, grid_wh, interpolation=cv2.INTER_AREA), np.float32)
        grid = over_photo(depth_map, size_wh)
        found = boxes(*(garment.box_xyxy for garment in scene.garments)) * 1.5
        bounded = measure(grid, found, size_wh)
        with monkeypatch.context() as patch:
            patch.setattr(depths, "MEASURED_CELLS", 10**9)
            of_all = measure(grid, found, size_wh)
        for box, some, every in zip(found, bounded, of_all, strict=True):
            cells = grid[int(box[1]) : int(np.ceil(box[3])), int(box[0]) : int(np.ceil(box[2]))]
            below, upto = (cells < some.median).mean(), (cells <= some.median).mean()
            assert below - 0.015 <= 0.5 <= upto + 0.015
            assert some.median == pytest.approx(every.median, abs=0.01 * float(grid.max()))
            # Where a garment ends at a quarter of its box, the quartile may lie on either side of the edge.
            width = np.percentile(cells, [23.5, 26.5, 73.5, 76.5])
            slack = 1e-3 * float(grid.max())
            assert width[2] - width[1] - slack <= some.spread <= width[3] - width[0] + slack
            read += cells.size > MEASURED_CELLS
    assert read > 10, "else nothing was left out"


def test_the_nearest_garment_is_first_and_equals_share_a_number() -> None:
    depth = np.zeros((4, 40), np.float32)
    for column, value in ((0, 3), (10, 7), (20, 3), (30, 1)):
        depth[:, column : column + 10] = value
    found = measure(depth, boxes((0, 0, 10, 4), (10, 0, 20, 4), (20, 0, 30, 4), (30, 0, 40, 4)), (40, 4))
    assert [one.median for one in found] == [3, 7, 3, 1]
    assert [one.order for one in found] == [2, 1, 2, 4]
    assert all(one.spread == 0 for one in found)


@pytest.mark.parametrize(
    ("box", "value"),
    [((3.2, 1.1, 3.3, 1.2), 13), ((9.0, 3.0, 9.5, 3.5), 39), ((10.0, 4.0, 10.0, 4.0), 39), ((0, 0, 0, 0), 0)],
)
def test_a_box_thinner_than_a_pixel_has_the_depth_of_its_pixel(
    box: tuple[float, float, float, float], value: float
) -> None:
    depth = np.arange(40, dtype=np.float32).reshape(4, 10)
    (found,) = measure(depth, boxes(box), (10, 4))
    assert (found.median, found.spread) == (value, 0)


def test_no_garment_has_no_depth() -> None:
    assert measure(np.zeros((4, 4), np.float32), boxes(), (4, 4)) == []
