"""Weights that a checkpoint has in fp16 take half the file and change no bit of any answer."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fashioncrop.model_repository import Role, engine_folder
from fashioncrop_export.checkpoints import FAMILY_OF_ROLE, Family, directory_checkpoint
from fashioncrop_export.exporting import Request, export
from fashioncrop_export.half_storage import store_in_half
from fashioncrop_export.onnx_graph import clean, trace
from fashioncrop_export.originals import Originals
from small_checkpoints import save_depth

pytestmark = pytest.mark.export


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def weight_bytes(model: onnx.ModelProto) -> int:
    return sum(numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer)


@pytest.mark.parametrize("role", Role)
def test_answers_are_equal_to_the_last_bit_and_weights_take_half(small_package: Path, role: Role) -> None:
    checkpoint = directory_checkpoint(small_package / "checkpoints", FAMILY_OF_ROLE[role])
    assert checkpoint.has_half_weights
    plan = importlib.import_module(f"fashioncrop_export.{role}").plan(checkpoint, Originals())
    whole = trace(plan)
    clean(plan, whole)
    halved = onnx.ModelProto()
    halved.CopyFrom(whole)
    store_in_half(halved)
    onnx.checker.check_model(halved)
    for case in plan.cases:
        before, after = (session_of(model).run(None, dict(case.feed)) for model in (whole, halved))
        for want, got in zip(before, after, strict=True):
            assert got.tobytes() == want.tobytes()
    assert 0.49 < weight_bytes(halved) / weight_bytes(whole) < 0.56
    assert whole.ByteSize() - halved.ByteSize() > 0.4 * weight_bytes(whole)


def test_the_file_that_is_written_is_the_halved_one(small_package: Path) -> None:
    for role in Role:
        graph = onnx.load(str(small_package / "engines" / role / "model.onnx")).graph
        sizes = {tensor.data_type: 0 for tensor in graph.initializer}
        for tensor in graph.initializer:
            sizes[tensor.data_type] += int(np.prod(tensor.dims))
        assert sizes[TensorProto.FLOAT16] > 50 * sizes[TensorProto.FLOAT]


def test_an_fp32_checkpoint_is_left_as_it_is(tmp_path: Path) -> None:
    # Its values are fp16 numbers all the same: what counts is how the checkpoint stores them.
    save_depth(tmp_path / "models" / Family.DEPTH_ANYTHING, half=False)
    assert not directory_checkpoint(tmp_path / "models", Family.DEPTH_ANYTHING).has_half_weights
    request = Request(str(tmp_path / "models"), tmp_path / "repository", tmp_path, (Role.DEPTH_ESTIMATOR,))
    export(request)
    graph = onnx.load(str(engine_folder(request.repository, Role.DEPTH_ESTIMATOR) / "model.onnx")).graph
    assert TensorProto.FLOAT16 not in {tensor.data_type for tensor in graph.initializer}
    assert not any(tensor.name.endswith(".fp16") for tensor in graph.initializer)


def added_up(**weights: NDArray[Any]) -> onnx.ModelProto:
    """A graph with one output for each weight, which is added to the input."""
    names = list(weights)
    nodes = [helper.make_node("Add", ["x", name], [f"{name}_sum"]) for name in names]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info(f"{name}_sum", TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


HALF = np.random.default_rng(0).normal(size=100).astype(np.float16).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "values", "stored"),
    [
        ("fp16 numbers", HALF, TensorProto.FLOAT16),
        ("subnormal", HALF * 0 + np.float32(2.0**-24), TensorProto.FLOAT16),
        ("negative zero", -HALF * 0, TensorProto.FLOAT16),
        ("one that is none", np.append(HALF, np.float32(1 / 3)), TensorProto.FLOAT),
        ("too large", np.append(HALF, np.float32(70000)), TensorProto.FLOAT),
        ("too small", np.append(HALF, np.float32(2.0**-25)), TensorProto.FLOAT),
        ("too few to pay for a cast", HALF[:16], TensorProto.FLOAT),
        ("whole numbers", np.arange(100, dtype=np.int64), TensorProto.INT64),
        ("fp64", HALF.astype(np.float64), TensorProto.DOUBLE),
    ],
)
def test_only_what_loses_nothing_is_halved(name: str, values: NDArray[Any], stored: int) -> None:
    model = added_up(weight=values)
    store_in_half(model)
    (tensor,) = model.graph.initializer
    assert tensor.data_type == stored, name
    assert [node.op_type for node in model.graph.node] == (
        ["Cast", "Add"] if stored == TensorProto.FLOAT16 else ["Add"]
    )
    if values.dtype == np.float32:
        (got,) = session_of(model).run(None, {"x": np.zeros(1, np.float32)})
        np.testing.assert_array_equal(got, values)


def test_equal_weights_are_kept_once() -> None:
    third = np.full(100, 1 / 3, np.float32)
    model = added_up(a=HALF, b=HALF.copy(), c=third, d=third.copy(), e=HALF.reshape(10, 10))
    store_in_half(model)
    assert [tensor.name for tensor in model.graph.initializer] == ["a.fp16", "c", "e.fp16"]
    got = session_of(model).run(None, {"x": np.zeros(1, np.float32)})
    for values, want in zip(got, (HALF, HALF, third, third, HALF.reshape(10, 10)), strict=True):
        np.testing.assert_array_equal(values, want)
