"""Which values of a graph are halved, that nothing else changes, and what TensorRT's parser would say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper, parser

from fashioncrop.model_repository import Role, engine_folder
from fashioncrop_export.tensorrt_engines.mixed_precision import HEADROOM, mix_precision
from fashioncrop_export.tensorrt_engines.parser_rules import parser_problems
from fashioncrop_export.tensorrt_engines.plain_graph import make_plain, tensor_types
from fashioncrop_export.tensorrt_engines.ranges import LARGEST_FP16, largest_magnitudes

pytestmark = pytest.mark.export

Feed = dict[str, NDArray[Any]]
RANDOM = np.random.default_rng(0)


def graph(text: str, weights: dict[str, NDArray[Any]] | None = None) -> onnx.ModelProto:
    """A model from onnx's own text form, `(inputs) => (outputs) { nodes }`, with weights by name."""
    model = parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> agraph {text}')
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in (weights or {}).items())
    return model


def run(model: onnx.ModelProto, feed: Feed) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answers: list[NDArray[Any]] = session.run(None, feed)
    return answers


def matrix(*shape: int) -> NDArray[np.float32]:
    return RANDOM.normal(size=shape).astype(np.float32)


ATTENTION = """(float[n, 8] x) => (float[n, 8] y) {
    queries = MatMul(x, wq)
    keys = MatMul(x, wk)
    turned = Transpose<perm = [1, 0]>(keys)
    scores = MatMul(queries, turned)
    scaled = Mul(scores, scale)
    shares = Softmax<axis = -1>(scaled)
    values = MatMul(x, wv)
    mixed = MatMul(shares, values)
    summed = Add(x, mixed)
    normed = LayerNormalization<axis = -1>(summed, gain)
    y = MatMul(normed, wo)
}"""


def attention() -> tuple[onnx.ModelProto, Feed]:
    weights: dict[str, NDArray[Any]] = {name: matrix(8, 8) for name in ("wq", "wk", "wv", "wo")}
    weights |= {"scale": np.asarray(0.3, np.float32), "gain": np.ones(8, np.float32)}
    return graph(ATTENTION, weights), {"x": matrix(5, 8)}


def halved_nodes(model: onnx.ModelProto) -> set[str]:
    """First outputs, by their old names, of nodes that write FP16."""
    types = tensor_types(model)
    return {
        node.output[0].removesuffix(".fp16")
        for node in model.graph.node
        if node.op_type != "Cast" and types[node.output[0]] == TensorProto.FLOAT16
    }


def test_scores_softmax_and_norms_stay_and_products_are_halved() -> None:
    model, feed = attention()
    before = run(model, feed)[0]
    precision = mix_precision(model, Role.IMAGE_EMBEDDER, largest_magnitudes(model, [feed]))
    # The residual is added to what comes in FP32, so it is FP32 too.
    assert halved_nodes(model) == {"queries", "keys", "turned", "values", "mixed", "y"}
    assert precision.halved == {"MatMul": 5, "Transpose": 1}
    assert precision.kept == {"attention scores": 2, "operator": 3}
    assert parser_problems(model) == []
    assert np.abs(run(model, feed)[0] - before).max() < 0.02 * np.abs(before).max()
    (output,) = model.graph.output
    assert (output.name, output.type.tensor_type.elem_type) == ("y", TensorProto.FLOAT)


def test_what_is_halved_is_rounded_and_its_weights_are_stored_so() -> None:
    model, feed = attention()
    before = run(model, feed)[0]
    mix_precision(model, Role.IMAGE_EMBEDDER, {})
    stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert stored == {
        **{f"{name}.fp16": TensorProto.FLOAT16 for name in ("wq", "wk", "wv", "wo")},
        "scale": TensorProto.FLOAT,
        "gain": TensorProto.FLOAT,
    }
    assert np.abs(run(model, feed)[0] - before).max() > 0


def test_large_values_keep_fp32() -> None:
    model, feed = attention()
    feed["x"] *= LARGEST_FP16 / HEADROOM
    largest = largest_magnitudes(model, [feed])
    assert largest["values"] > LARGEST_FP16 / HEADROOM
    precision = mix_precision(model, Role.IMAGE_EMBEDDER, largest)
    assert "values" not in halved_nodes(model)
    assert "y" in halved_nodes(model), "after the norm they are small again"
    assert precision.kept["large values"] >= 3
    assert precision.largest <= LARGEST_FP16 / HEADROOM


def test_a_weight_that_fp16_cannot_hold_keeps_its_node() -> None:
    model, feed = attention()
    for tensor in model.graph.initializer:
        if tensor.name == "wo":
            tensor.CopyFrom(numpy_helper.from_array(np.full((8, 8), 1e6, np.float32), "wo"))
    mix_precision(model, Role.IMAGE_EMBEDDER, {})
    assert "y" not in halved_nodes(model)
    assert parser_problems(model) == []
    assert np.isfinite(run(model, feed)[0]).all()


@pytest.mark.parametrize("role", [Role.VOCABULARY_ENCODER, Role.TEXT_EMBEDDER])
def test_text_encoders_stay_as_they_are(role: Role) -> None:
    model, feed = attention()
    before = run(model, feed)[0]
    precision = mix_precision(model, role, {})
    assert (precision.halved, precision.casts) == ({}, 0)
    np.testing.assert_array_equal(run(model, feed)[0], before)


def test_of_the_detector_only_what_no_text_can_change_is_halved() -> None:
    model = graph(
        """(float[n, 4] image, float[n, 4] text_features) => (float[n, 4] logits) {
            backbone = MatMul(image, w)
            fused = MatMul(text_features, w)
            both = Add(backbone, fused)
            logits = MatMul(both, w)
        }""",
        {"w": matrix(4, 4)},
    )
    precision = mix_precision(model, Role.GARMENT_DETECTOR, {})
    assert halved_nodes(model) == {"backbone"}
    assert precision.kept == {"depends on the text": 3}
    assert parser_problems(model) == []


def test_constants_go_with_what_reads_them() -> None:
    """A class token that is repeated must not hold the residual, and with it the network, in FP32."""
    model = graph(
        """(float[n, 4, 8] x, int64[3] sizes) => (float[n, 5, 8] y) {
            patches = MatMul(x, w)
            token = Expand(start, sizes)
            joined = Concat<axis = 1>(token, patches)
            y = Add(joined, places)
        }""",
        {"w": matrix(8, 8), "start": matrix(1, 1, 8), "places": matrix(1, 5, 8)},
    )
    feed: Feed = {"x": matrix(2, 4, 8), "sizes": np.array([2, 1, 8])}
    before = run(model, feed)[0]
    precision = mix_precision(model, Role.IMAGE_EMBEDDER, {})
    assert halved_nodes(model) == {"patches", "token", "joined", "y"}
    assert precision.casts == 2, "one where FP32 comes in, one where it goes out"
    np.testing.assert_allclose(run(model, feed)[0], before, atol=0.05)


def test_ranges_are_of_all_inputs_and_infinite_for_what_is_no_number() -> None:
    model = graph("(float[n] x) => (float[n] y) { h = Mul(x, x)\n y = Log(h) }")
    largest = largest_magnitudes(model, [{"x": np.array([1, -3], np.float32)}, {"x": np.array([2], np.float32)}])
    assert largest == pytest.approx({"h": 9.0, "y": float(np.log(9))})
    assert largest_magnitudes(model, [{"x": np.zeros(1, np.float32)}])["y"] == np.inf


HELD = """
import resource, sys
import numpy as np, onnx
from onnx import TensorProto, helper
from fashioncrop_export.tensorrt_engines.ranges import largest_magnitudes

nodes = [helper.make_node("Add", [f"t{place}", f"t{place}"], [f"t{place + 1}"]) for place in range(40)]
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"])
graph = helper.make_graph(nodes, "chain", [value("t0")], [value("t40")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
largest = largest_magnitudes(model, [{"t0": np.ones(4_000_000, np.float32)}])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, largest["t40"])
"""


def test_values_are_let_go_as_soon_as_they_are_measured() -> None:
    """40 tensors of 16 MB: held to the end they are 640 MB, and as much again for their magnitudes."""
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=True)
    grown_kib, largest = done.stdout.split()
    assert float(largest) == 2.0**40
    assert int(grown_kib) < 300 * 1024


def test_a_plain_graph_computes_the_same_with_weights_as_weights() -> None:
    model = graph(
        """(uint8[n, 4] image) => (float[n, 4] y) {
            sizes = Shape(image)
            floats = Cast<to = 1>(image)
            w = Cast<to = 1>(half)
            same = Identity(w)
            two = Constant<value_float = 2.0>()
            product = MatMul(floats, same)
            doubled = Mul(product, two)
            y = Reshape(doubled, sizes)
        }""",
        {"half": matrix(4, 4).astype(np.float16), "unused": matrix(2)},
    )
    feed: Feed = {"image": RANDOM.integers(0, 255, (3, 4), np.uint8)}
    before = run(model, feed)[0]
    assert "Shape sizes: reads UINT8" in parser_problems(model)
    make_plain(model)
    assert [node.op_type for node in model.graph.node] == ["Cast", "Shape", "MatMul", "Mul", "Reshape"]
    assert {tensor.name for tensor in model.graph.initializer} == {"w", "two"}
    assert parser_problems(model) == []
    np.testing.assert_array_equal(run(model, feed)[0], before)


RULES: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "control flow": (lambda: graph("(float[n] x) => (int64[1, m] y) { y = NonZero(x) }"), "control flow, or a shape"),
    "an operator that it lacks": (
        lambda: graph("(float[n] x) => (float[m] y) { y = Unique(x) }"),
        "does not have this operator",
    ),
    "a type that it lacks": (lambda: graph("(double[n] x) => (double[n] y) { y = Abs(x) }"), "reads DOUBLE"),
    "whole numbers where floats belong": (
        lambda: graph("(int64[n, n] x) => (int64[n, n] y) { y = MatMul(x, x) }"),
        "reads INT64",
    ),
    "flags compared": (lambda: graph("(bool[n] x) => (bool[n] y) { y = Equal(x, x) }"), "reads BOOL"),
    "a computed kernel": (
        lambda: graph(
            "(float[1, 2, 8, 8] x, float[2, 2, 3, 3] w) => (float[1, 2, 6, 6] y) { k = Abs(w)\n y = Conv(x, k) }"
        ),
        "input 1 has to be a weight, and is computed",
    ),
    "computed axes": (
        lambda: graph("(float[n, m] x, int64[1] a) => (float[k] y) { y = ReduceSum(x, a) }"),
        "the axes have to be constants",
    ),
    "too many": (
        lambda: graph("(float[n] x) => (float[m] y, int64[m] z) { y, z = TopK(x, k) }", {"k": np.array([4000])}),
        "takes at most 3840",
    ),
    "unsorted": (
        lambda: graph(
            "(float[n] x) => (float[m] y, int64[m] z) { y, z = TopK<sorted = 0>(x, k) }", {"k": np.array([4])}
        ),
        "has to be sorted",
    ),
    "smoothing": (
        lambda: graph(
            '(float[1, 1, 8, 8] x) => (float[1, 1, 4, 4] y) { y = Resize<mode = "linear", antialias = 1>(x, , s) }',
            {"s": np.array([1, 1, 0.5, 0.5], np.float32)},
        ),
        "has no antialiasing",
    ),
    "a cubic grid": (
        lambda: graph(
            "(float[1, 1, 8, 8] x, float[1, 4, 4, 2] g) => (float[1, 1, 4, 4] y) "
            '{ y = GridSample<mode = "cubic">(x, g) }'
        ),
        "has no mode cubic",
    ),
    "a weight without end": (
        lambda: graph("(float[n] x) => (float[n] y) { y = Add(x, w) }", {"w": np.array([np.inf], np.float32)}),
        "the weight w is not finite in FLOAT",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_what_the_parser_would_not_take_is_named(rule: str) -> None:
    make, words = RULES[rule]
    assert any(words in problem for problem in parser_problems(make())), parser_problems(make())


def test_two_precisions_in_one_node_are_named() -> None:
    model = graph("(float[n] x, float16[n] z) => (float[n] y) { y = Add(x, z) }")
    (problem,) = parser_problems(model)
    assert problem.startswith("types do not fit together")


def test_an_old_or_new_opset_is_named() -> None:
    model = graph("(float[n] x) => (float[n] y) { y = Abs(x) }")
    model.opset_import[0].version = 25
    assert "opset 25 is not within 9 to 24" in parser_problems(model)


@pytest.mark.parametrize("role", Role)
def test_every_graph_of_the_project_is_one_that_the_parser_takes(role: Role, tiny_repository: Path) -> None:
    model = onnx.load(engine_folder(tiny_repository, role) / "model.onnx")
    make_plain(model)
    assert parser_problems(model) == []
    mix_precision(model, role, {})
    assert parser_problems(model) == []
    interface = [(value.name, value.type.tensor_type.elem_type) for value in (*model.graph.input, *model.graph.output)]
    original = onnx.load(engine_folder(tiny_repository, role) / "model.onnx").graph
    assert interface == [
        (value.name, value.type.tensor_type.elem_type) for value in (*original.input, *original.output)
    ]
    softmaxes = [node for node in model.graph.node if node.op_type in ("Softmax", "LayerNormalization")]
    types = tensor_types(model)
    assert {types[node.output[0]] for node in softmaxes} <= {TensorProto.FLOAT}
    products = [types[node.output[0]] for node in model.graph.node if node.op_type in ("MatMul", "Conv")]
    assert (TensorProto.FLOAT16 in products) == (role not in (Role.VOCABULARY_ENCODER, Role.TEXT_EMBEDDER))
