"""Writes FP16 into a graph where nothing is lost by it, as Casts and weights that every runtime obeys.

What stays FP32, each for a reason that others have paid for:

- attention scores and their softmax (DINOv2 and DINOv3 answer NaN otherwise), layer and group norms, reductions, and
  everything with an exponential, a division or a coordinate in it;
- whatever of the detector depends on the text, that is its feature enhancer, query selection and decoder: a wholly
  halved GroundingDINO is wrong (NVIDIA/TensorRT #3413), one whose backbone is halved is not;
- text encoders as a whole: their vectors are kept and compared for long, and they run once a vocabulary;
- whatever reads or writes a value that calibration saw come within a factor of 16 of FP16's largest.

TensorRT may compute what stays FP32 in TF32, which has FP32's range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from fashioncrop.model_repository import Role
from fashioncrop_export.tensorrt_engines.plain_graph import consumers, initializers, tensor_types
from fashioncrop_export.tensorrt_engines.ranges import LARGEST_FP16

HEADROOM = 16.0
"""How many times larger than in calibration a value may become before FP16 overflows."""
_LARGEST = LARGEST_FP16 / HEADROOM

_PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose"})
# Follow the precision of what they are given, so that no Cast stands between two products.
_POINTWISE = frozenset({"Add", "Sub", "Mul", "Neg", "Relu", "Gelu", "Sigmoid", "Tanh", "Resize"})
_MOVEMENTS = frozenset(
    {
        *("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Split", "Concat", "Gather", "Pad"),
        *("Expand", "Tile"),
    }
)
_FOLLOWERS = _POINTWISE | _MOVEMENTS
# What may stand between a product of queries and keys and its softmax.
_BEFORE_SOFTMAX = _MOVEMENTS | frozenset({"Add", "Sub", "Mul", "Div", "Where", "Clip", "Max", "Min", "Cast"})
# Inputs that stay FP32 whatever the node computes in.
_FP32_INPUTS = {"Resize": frozenset({1, 2})}
_TEXT_INPUTS = frozenset({"text_features", "text_mask", "text_self_attention_mask", "position_ids"})
WHOLLY_FP32 = frozenset({Role.VOCABULARY_ENCODER, Role.TEXT_EMBEDDER})


class Reason(StrEnum):
    """Why a node that computes in floating point stays FP32."""

    ROLE = "a text encoder"
    TEXT = "depends on the text"
    SCORES = "attention scores"
    RANGE = "large values"
    OPERATOR = "operator"


@dataclass(frozen=True)
class Precision:
    """What was decided.

    Attributes:
        halved: nodes that compute in FP16, by operator.
        kept: nodes that compute in FP32, by reason.
        casts: Casts that were added.
        largest: largest value that calibration saw of any halved tensor.
    """

    halved: Mapping[str, int]
    kept: Mapping[str, int]
    casts: int
    largest: float


def mix_precision(model: onnx.ModelProto, role: Role, largest: Mapping[str, float]) -> Precision:
    """Halve what may be halved, in place; inputs and outputs of the graph keep their types.

    Args:
        model: a plain graph (see `plain_graph`) in FP32.
        role: what it is.
        largest: largest magnitude of each of its tensors; see `ranges`.
    """
    types = tensor_types(model)
    nodes = [node for node in model.graph.node if any(types.get(name) == TensorProto.FLOAT for name in node.output)]
    reasons = _reasons(model.graph, role, largest, types)
    halved = _halved(model.graph, reasons, types)
    kept = Counter(reasons.get(node.output[0], Reason.OPERATOR).value for node in nodes if node.output[0] not in halved)
    by_operator = Counter(node.op_type for node in nodes if node.output[0] in halved)
    seen = [largest.get(node.output[0], 0.0) for node in nodes if node.output[0] in halved]
    casts = _rewrite(model.graph, halved, types)
    return Precision(dict(sorted(by_operator.items())), dict(sorted(kept.items())), casts, max(seen, default=0.0))


def _reasons(
    graph: onnx.GraphProto, role: Role, largest: Mapping[str, float], types: Mapping[str, int]
) -> dict[str, Reason]:
    """Nodes that must not be halved, by their first output."""
    if role in WHOLLY_FP32:
        return {node.output[0]: Reason.ROLE for node in graph.node}
    reasons: dict[str, Reason] = {}
    weights = {
        name: float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))
        for name, tensor in initializers(graph).items()
        if tensor.data_type == TensorProto.FLOAT
    }
    for node in graph.node:
        touched = [name for name in (*node.input, *node.output) if types.get(name) == TensorProto.FLOAT]
        if any(largest.get(name, weights.get(name, 0.0)) > _LARGEST for name in touched):
            reasons[node.output[0]] = Reason.RANGE
    reasons.update(dict.fromkeys(_score_nodes(graph), Reason.SCORES))
    if role is Role.GARMENT_DETECTOR:
        reasons.update(dict.fromkeys(_dependent(graph, _TEXT_INPUTS), Reason.TEXT))
    return reasons


def _score_nodes(graph: onnx.GraphProto) -> set[str]:
    """From every softmax back to the products that its scores come from, those included."""
    producers = {name: node for node in graph.node for name in node.output}
    found: set[str] = set()
    waiting = [node.input[0] for node in graph.node if node.op_type == "Softmax"]
    while waiting:
        node = producers.get(waiting.pop())
        if node is None or node.output[0] in found:
            continue
        if node.op_type in _PRODUCTS:
            found.add(node.output[0])
        elif node.op_type in _BEFORE_SOFTMAX:
            found.add(node.output[0])
            waiting.extend(node.input)
    return found


def _dependent(graph: onnx.GraphProto, inputs: Iterable[str]) -> set[str]:
    """Nodes, by their first output, whose answer can change with the inputs."""
    reached = set(inputs)
    found = set()
    for node in graph.node:
        if any(name in reached for name in node.input):
            reached.update(node.output)
            found.add(node.output[0])
    return found


def _halved(graph: onnx.GraphProto, reasons: Mapping[str, Reason], types: Mapping[str, int]) -> set[str]:
    """Nodes to halve, by their first output: products, and what follows them.

    A follower whose floats are all constants (a class token that is repeated, a position embedding that is resized)
    goes with what reads it, so that it does not hold a whole network in FP32.
    """
    weights = initializers(graph)
    constant = {name for name, tensor in weights.items() if tensor.data_type == TensorProto.FLOAT}
    halved: set[str] = set()
    neutral: list[NodeProto] = []
    for node in graph.node:
        floats = [
            name
            for place, name in enumerate(node.input)
            if types.get(name) == TensorProto.FLOAT and place not in _FP32_INPUTS.get(node.op_type, ())
        ]
        if types.get(node.output[0]) != TensorProto.FLOAT or not floats or node.output[0] in reasons:
            continue
        computed = [name for name in floats if name not in constant]
        if node.op_type in _FOLLOWERS and not computed:
            constant.update(node.output)
            neutral.append(node)
        elif node.op_type in _PRODUCTS or (node.op_type in _FOLLOWERS and all(name in halved for name in computed)):
            halved.update(node.output)
    readers = consumers(graph.node)
    for node in reversed(neutral):
        reading = [reader for name in node.output for reader, _ in readers[name]]
        if reading and all(reader.output[0] in halved for reader in reading):
            halved.update(node.output)
    return {node.output[0] for node in graph.node if node.output[0] in halved}


def _rewrite(graph: onnx.GraphProto, halved: set[str], types: Mapping[str, int]) -> int:
    """Give halved nodes FP16 inputs and outputs, with Casts where FP32 begins and ends; returns how many."""
    weights = initializers(graph)
    readers = consumers(graph.node)
    outputs = {value.name for value in graph.output}
    in_fp16 = {name for node in graph.node if node.output[0] in halved for name in node.output}
    available: set[str] = set()
    nodes: list[NodeProto] = []
    casts = 0
    for original in graph.node:
        node = NodeProto.FromString(original.SerializeToString())
        nodes_of_it = [node]
        if node.output[0] in halved:
            for place, name in enumerate(node.input):
                if types.get(name) != TensorProto.FLOAT or place in _FP32_INPUTS.get(node.op_type, ()):
                    continue
                node.input[place] = _half(name)
                if name in in_fp16 or name in available:
                    continue
                available.add(name)
                if name in weights:
                    values = numpy_helper.to_array(weights[name]).astype(np.float16)
                    graph.initializer.append(numpy_helper.from_array(values, _half(name)))
                else:
                    nodes_of_it.insert(0, _cast(name, _half(name), TensorProto.FLOAT16))
            for place, name in enumerate(node.output):
                node.output[place] = _half(name)
                if name in outputs or any(reader.output[0] not in halved for reader, _ in readers[name]):
                    nodes_of_it.append(_cast(_half(name), name, TensorProto.FLOAT))
        casts += len(nodes_of_it) - 1
        nodes.extend(nodes_of_it)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    used = {name for node in nodes for name in node.input}
    kept = [TensorProto.FromString(one.SerializeToString()) for one in graph.initializer if one.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return casts


def _half(name: str) -> str:
    return f"{name}.fp16"


def _cast(source: str, target: str, to: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], f"{target}.cast", to=to)
