"""What TensorRT's ONNX parser cannot take, found without TensorRT.

By the operator table of onnx-tensorrt (docs/operators.md, TensorRT 10.15) and the checks in its onnxOpImporters.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from fashioncrop_export.tensorrt_engines.plain_graph import initializers, tensor_types

_OPSETS = range(9, 25)
_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16})
_NUMBERS = _FLOATS | {TensorProto.INT32, TensorProto.INT64}
_ANY = _NUMBERS | {TensorProto.BOOL}
_MOST_TOP = 3840

# Types of the first data input (of the second for Where), by operator.
_TYPES: dict[str, frozenset[int]] = {
    **dict.fromkeys(
        (
            *("Ceil", "Clip", "Conv", "ConvTranspose", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "Gemm"),
            *("GridSample", "HardSigmoid", "HardSwish", "InstanceNormalization", "LayerNormalization", "LeakyRelu"),
            *("Log", "MatMul", "Reciprocal", "Resize", "Sigmoid", "Sin", "Softmax", "Softplus", "Sqrt", "Tanh"),
        ),
        _FLOATS,
    ),
    **dict.fromkeys(
        (
            *("Abs", "Add", "ArgMax", "ArgMin", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
            *("Max", "Min", "Mod", "Mul", "Neg", "Pad", "Pow", "Range", "ReduceL1", "ReduceL2", "ReduceMax"),
            *("ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Sign", "Sub", "Sum"),
            "TopK",
        ),
        _NUMBERS,
    ),
    **dict.fromkeys(
        (
            *("Concat", "ConstantOfShape", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity"),
            *("Reshape", "Shape", "Size", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze"),
            "Where",
        ),
        _ANY,
    ),
    **dict.fromkeys(("And", "Not", "Or", "Xor"), frozenset({TensorProto.BOOL})),
    "Cast": _ANY | {TensorProto.UINT8},
}
# The importer takes whole numbers here although the table does not say so.
_TYPES["Clip"] = _NUMBERS
# Control flow and data-dependent shapes: taken, but slow, and nothing here needs them.
_UNWANTED = frozenset({"If", "Loop", "Scan", "NonZero", "ScatterND"})
_CONSTANT_INPUTS = {"Conv": (1, 2), "ConvTranspose": (1, 2), "Tile": (1,)}
_REDUCTIONS = frozenset(name for name in _TYPES if name.startswith("Reduce"))
_GRID_MODES = {"linear", "bilinear", "nearest"}


def parser_problems(model: onnx.ModelProto) -> list[str]:
    """Every rule that the graph breaks, a sentence each; none where the parser should take it."""
    problems = []
    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset not in _OPSETS:
        problems.append(f"opset {opset} is not within {_OPSETS.start} to {_OPSETS.stop - 1}")
    try:
        types = tensor_types(model)
    except onnx.shape_inference.InferenceError as error:
        return [*problems, f"types do not fit together: {next(iter(str(error).splitlines()), '')}"]
    weights = initializers(model.graph)
    problems.extend(
        f"the weight {tensor.name} is not finite in {_name(tensor.data_type)}"
        for tensor in weights.values()
        if tensor.data_type in _FLOATS and not np.isfinite(numpy_helper.to_array(tensor)).all()
    )
    declared = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    known = _ANY | {TensorProto.UINT8}
    problems.extend(f"{name} is {_name(kind)}" for name, kind in declared.items() if kind not in known)
    for node in model.graph.node:
        problems.extend(
            f"{node.op_type} {node.name or node.output[0]}: {words}" for words in _node(node, types, weights)
        )
    return problems


def _node(node: NodeProto, types: Mapping[str, int], weights: Mapping[str, TensorProto]) -> Iterator[str]:
    if node.op_type in _UNWANTED:
        yield "control flow, or a shape that depends on data"
        return
    if node.domain not in ("", "ai.onnx") or node.op_type not in _TYPES:
        yield "TensorRT's parser does not have this operator"
        return
    data = node.input[1] if node.op_type == "Where" else (node.input[0] if node.input else "")
    kind = types.get(data, TensorProto.UNDEFINED)
    if data and kind not in _TYPES[node.op_type]:
        yield f"reads {_name(kind)}"
    floats = {types[name] for place, name in _same_typed(node) if types.get(name) in _FLOATS}
    if len(floats) > 1:
        yield "mixes FP16 and FP32"
    for place in _CONSTANT_INPUTS.get(node.op_type, ()):
        if len(node.input) > place and node.input[place] and node.input[place] not in weights:
            yield f"input {place} has to be a weight, and is computed"
    if node.op_type in _REDUCTIONS and len(node.input) > 1 and node.input[1] and node.input[1] not in weights:
        yield "the axes have to be constants"
    yield from _attributes(node, weights)


def _attributes(node: NodeProto, weights: Mapping[str, TensorProto]) -> Iterator[str]:
    values: dict[str, Any] = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "TopK":
        if not values.get("sorted", 1):
            yield "has to be sorted"
        count = weights.get(node.input[1])
        if count is not None and int(numpy_helper.to_array(count).reshape(-1)[0]) > _MOST_TOP:
            yield f"takes at most {_MOST_TOP}"
    if node.op_type == "LayerNormalization" and any(node.output[1:]):
        yield "has only its first output"
    if node.op_type == "Resize" and values.get("antialias", 0):
        yield "has no antialiasing"
    if node.op_type == "GridSample":
        if values.get("mode", b"linear").decode() not in _GRID_MODES:
            yield f"has no mode {values['mode'].decode()}"
        if values.get("padding_mode", b"zeros").decode() not in ("zeros", "border", "reflection"):
            yield f"has no padding {values['padding_mode'].decode()}"
    if node.op_type == "Mod" and values.get("fmod", 0):
        yield "of floating-point numbers is not exact there"


def _same_typed(node: NodeProto) -> Iterator[tuple[int, str]]:
    """Inputs that a strongly typed network wants in one type."""
    differing = {"Resize": {1, 2}, "Cast": {0}}.get(node.op_type, set())
    yield from ((place, name) for place, name in enumerate(node.input) if name and place not in differing)


def _name(kind: int) -> str:
    return str(TensorProto.DataType.Name(kind))
