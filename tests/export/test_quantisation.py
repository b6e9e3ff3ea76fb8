"""The int8 variant: which products it takes, what it leaves alone, and that it stays close."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from fashioncrop.model_repository import Role, engine_folder, shipped_repository
from fashioncrop_export.checkpoints import FAMILY_OF_ROLE, directory_checkpoint
from fashioncrop_export.graph_plan import GraphPlan, noise_image
from fashioncrop_export.half_storage import restore_from_half, store_in_half
from fashioncrop_export.originals import Originals
from fashioncrop_export.quantisation import quantisable, quantise
from fashioncrop_export.variants import Variant

pytestmark = pytest.mark.export


def graph_of(repository: Path, role: Role) -> onnx.ModelProto:
    return onnx.load(str(engine_folder(repository, role) / "model.onnx"))


def plan_of(checkpoints: Path, role: Role) -> GraphPlan:
    checkpoint = directory_checkpoint(checkpoints, FAMILY_OF_ROLE[role])
    plan: GraphPlan = importlib.import_module(f"fashioncrop_export.{role}").plan(checkpoint, Originals())
    return plan


def run(model: onnx.ModelProto, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: list[NDArray[np.float32]] = session.run(None, dict(feed))
    return outputs[0]


def test_models_with_a_configuration_for_it_are_those_that_can_be_quantised(checkpoints: Path) -> None:
    with_config = {role for role in Role if (shipped_repository() / role / Variant.INT8.config_file).is_file()}
    assert with_config == {role for role in Role if plan_of(checkpoints, role).quantisation is not None}
    assert Role.VOCABULARY_ENCODER not in with_config


def test_what_is_exact_is_named_as_in_the_network(checkpoints: Path, tiny_repository: Path) -> None:
    """A module that was renamed would be quantised without a word."""
    for role in Role:
        quantisation = plan_of(checkpoints, role).quantisation
        graph = graph_of(tiny_repository, role)
        everything = set(quantisable(graph))
        for module in quantisation.exact if quantisation else ():
            spared = everything - set(quantisable(graph, {module}))
            assert spared, module
            assert all(f"/{module}" in name for name in spared)


def test_modules_are_told_apart_by_whole_names(tiny_repository: Path) -> None:
    names = quantisable(graph_of(tiny_repository, Role.GARMENT_DETECTOR))
    assert any("/encoder_output_bbox_embed/" in name for name in names)
    left = quantisable(graph_of(tiny_repository, Role.GARMENT_DETECTOR), {"bbox_embed"})
    assert any("/encoder_output_bbox_embed/" in name for name in left)
    assert not any("/bbox_embed" in name for name in left)


def test_only_large_products_change(tiny_repository: Path) -> None:
    exact = graph_of(tiny_repository, Role.TEXT_EMBEDDER)
    quantised = quantise(exact, {"text_projection"})
    assert sum(node.op_type == "MatMulInteger" for node in quantised.graph.node) == len(
        quantisable(exact, {"text_projection"})
    )
    kept = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantised.graph.initializer}
    products = {name for node in exact.graph.node if node.op_type == "MatMul" for name in node.input}
    for tensor in exact.graph.initializer:
        if tensor.name not in products:  # embeddings of tokens and places, norms, biases
            np.testing.assert_array_equal(kept[tensor.name], numpy_helper.to_array(tensor))
    weights = [tensor for tensor in quantised.graph.initializer if tensor.data_type == TensorProto.INT8]
    assert max(np.prod(tensor.dims) for tensor in weights) > 1000
    domains = {node.domain for node in quantised.graph.node}
    assert domains == {""}


def test_a_column_of_large_weights_does_not_coarsen_the_others() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(64, 32)).astype(np.float32)
    weight[:, 0] *= 1000
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"], "/layer/MatMul")
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 64])],
        [onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 32])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    x = rng.normal(size=(50, 64)).astype(np.float32)
    error = np.abs(run(quantise(model), {"x": x}) - x @ weight)[:, 1:]
    assert error.max() < 0.05 * np.abs(x @ weight)[:, 1:].max()
    assert not np.array_equal(error, np.zeros_like(error))
    untouched = quantise(model, {"layer"})
    assert [node.op_type for node in untouched.graph.node] == ["MatMul"]


def test_vectors_stay_close(tiny_repository: Path) -> None:
    exact = graph_of(tiny_repository, Role.IMAGE_EMBEDDER)
    feed = {"image": noise_image((4, 224, 224), seed=0)}
    want, got = run(exact, feed), run(quantise(exact, {"visual_projection"}), feed)
    cosines = (want * got).sum(-1)
    assert cosines.min() > 0.999
    assert not np.array_equal(want, got)


def test_the_same_graph_is_quantised_the_same_way(tiny_repository: Path) -> None:
    one, other = (quantise(graph_of(tiny_repository, Role.IMAGE_EMBEDDER)) for _ in range(2))
    assert one.SerializeToString() == other.SerializeToString()


def test_weights_that_were_stored_in_fp16_are_quantised_from_their_values(small_package: Path) -> None:
    stored = onnx.load(str(small_package / "engines" / Role.IMAGE_EMBEDDER / "model.onnx"))
    assert any(tensor.data_type == TensorProto.FLOAT16 for tensor in stored.graph.initializer)
    restored = onnx.ModelProto.FromString(stored.SerializeToString())
    restore_from_half(restored)
    assert not any(tensor.data_type == TensorProto.FLOAT16 for tensor in restored.graph.initializer)
    feed = {"image": noise_image((1, 224, 224), seed=0)}
    np.testing.assert_array_equal(run(restored, feed), run(stored, feed))
    assert len(quantisable(restored)) > len(quantisable(stored))
    store_in_half(restored)
    assert len(restored.SerializeToString()) == len(stored.SerializeToString())
