"""Keeps in the file as fp16 what the checkpoint had in fp16, and computes in fp32 all the same.

An initializer whose every value is an fp16 number is stored as one, followed by a Cast to fp32. ONNX Runtime folds the
Cast when it loads the graph, so every answer stays the same to the last bit and only the file is halved. What the
exporter computed from weights (a scale multiplied in, for one) is rarely an fp16 number and stays as it is.
"""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# Below this many values a Cast takes more of the file than it saves.
_FEWEST_VALUES = 64


def store_in_half(model: onnx.ModelProto) -> None:
    """Halve the initializers that lose nothing by it, and keep equal ones once, in place."""
    graph = model.graph
    _merge_duplicates(graph)
    casts = []
    for tensor in graph.initializer:
        halved = _halved(tensor)
        if halved is None:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(halved, f"{name}.fp16"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], f"{name}.to_fp32", to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])


def restore_from_half(model: onnx.ModelProto) -> None:
    """Undo `store_in_half`, but for equal initializers: fp32 again, without a Cast, in place."""
    graph = model.graph
    halves = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    casts = [node for node in graph.node if node.op_type == "Cast" and node.input[0] in halves]
    for node in casts:
        tensor = halves[node.input[0]]
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), node.output[0]))
        graph.node.remove(node)


def _halved(tensor: TensorProto) -> NDArray[np.float16] | None:
    """The same values in fp16; None where that is not possible or not worth it."""
    if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _FEWEST_VALUES:
        return None
    values = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    # Compared as bits, so that a negative zero stays one.
    is_same = np.array_equal(half.astype(np.float32).view(np.uint32), values.view(np.uint32))
    return half if is_same else None


def _merge_duplicates(graph: onnx.GraphProto) -> None:
    """Keep the first of several equal initializers."""
    first: dict[tuple[object, ...], str] = {}
    renamed: dict[str, str] = {}
    kept = []
    for tensor in graph.initializer:
        content = hashlib.sha256(numpy_helper.to_array(tensor).tobytes()).digest()
        key = (tensor.data_type, *tensor.dims, content)
        if key in first:
            renamed[tensor.name] = first[key]
        else:
            first[key] = tensor.name
            kept.append(tensor)
    # Copies, because clearing the field would empty those that are kept.
    copies = [TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del graph.initializer[:]
    graph.initializer.extend(copies)
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
