"""The engines that come with the project are what this exporter makes of the checkpoints that come with it.

Where one of these fails, run `python -m fashioncrop_export.shipped` and look at what changed.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from fashioncrop.model_repository import Role, engine_folder, shipped_repository
from fashioncrop_export import shipped
from fashioncrop_export.checkpoints import FAMILY_OF_ROLE
from fashioncrop_export.exporting import Request, export
from fashioncrop_export.graph_plan import Array
from fashioncrop_export.identity import exporter_versions, files_of, read_identity
from fashioncrop_export.originals import Originals
from fashioncrop_export.sources import find_checkpoint

pytestmark = pytest.mark.export

LARGEST_SHARE_OF_THE_WHEEL = 20 * 2**20


@dataclass(frozen=True)
class Both:
    """The shipped engine's folder and a fresh export's."""

    role: Role
    shipped: Path
    fresh: Path


@pytest.fixture(scope="module")
def fresh_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh")
    export(Request("paperdoll", folder / "repository", folder, force=True))
    return folder / "repository"


@pytest.fixture(params=Role)
def both(request: pytest.FixtureRequest, fresh_repository: Path) -> Both:
    role = Role(request.param)
    return Both(role, shipped.package_folder() / "engines" / role, engine_folder(fresh_repository, role))


def test_the_engine_is_taken_without_an_export(both: Both) -> None:
    checkpoint = find_checkpoint("paperdoll", FAMILY_OF_ROLE[both.role], both.fresh, {})
    config = shipped_repository() / both.role / "config.pbtxt"
    identity = shipped.fitting(both.role, checkpoint, config)
    assert identity is not None
    assert identity == read_identity(both.shipped), "it was compared with another configuration"
    assert (identity.trained, identity.domain, identity.name) == (
        True,
        "drawn scenes",
        f"paperdoll {checkpoint.family}",
    )
    assert sorted(path.name for path in both.shipped.iterdir()) == sorted(files_of(both.role))


def test_the_files_are_the_same(both: Both) -> None:
    identity, fresh = read_identity(both.shipped), read_identity(both.fresh)
    assert identity is not None
    assert fresh is not None
    same = {"exporter", "parity", "digest"}
    assert identity.model_dump(exclude=same) == fresh.model_dump(exclude=same)
    for name in files_of(both.role)[:-1]:
        # Graphs are the same bytes only when the same packages wrote them.
        if name != "model.onnx" or identity.exporter == exporter_versions():
            assert (both.shipped / name).read_bytes() == (both.fresh / name).read_bytes(), name


def weights_of(folder: Path) -> list[tuple[tuple[int, ...], str, bytes]]:
    """Shape, type and bytes of every weight, whatever it is called, in an order of their own."""
    arrays = [numpy_helper.to_array(tensor) for tensor in onnx.load(str(folder / "model.onnx")).graph.initializer]
    return sorted((array.shape, array.dtype.name, array.tobytes()) for array in arrays)


def test_the_weights_are_the_same(both: Both) -> None:
    assert weights_of(both.shipped) == weights_of(both.fresh)


def test_the_answers_are_the_same(both: Both) -> None:
    def answers(folder: Path, feed: dict[str, Array]) -> list[Array]:
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
        return list(session.run(list(plan.outputs), feed))

    checkpoint = find_checkpoint("paperdoll", FAMILY_OF_ROLE[both.role], both.fresh, {})
    plan = importlib.import_module(f"fashioncrop_export.{both.role}").plan(checkpoint, Originals())
    for case in plan.cases:
        feed = dict(case.feed)
        for got, want in zip(answers(both.shipped, feed), answers(both.fresh, feed), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * float(np.abs(want).max()))


def test_all_of_it_is_small() -> None:
    files = [path for path in shipped.package_folder().rglob("*") if path.suffix in {".onnx", ".safetensors", ".json"}]
    assert files
    assert sum(path.stat().st_size for path in files) < LARGEST_SHARE_OF_THE_WHEEL
