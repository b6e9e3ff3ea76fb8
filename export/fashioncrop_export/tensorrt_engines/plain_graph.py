"""A graph as TensorRT's parser wants it: weights are initializers, and bytes are cast before anything else.

The rules are those of onnx-tensorrt (docs/operators.md for TensorRT 10.15, onnxOpImporters.cpp): a convolution whose
weights are computed, were it by a Cast, becomes a slower layer; UINT8 may only be an input or output of the network.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

_CONSTANT_SCALARS = {
    "value_float": np.float32,
    "value_int": np.int64,
    "value_floats": np.float32,
    "value_ints": np.int64,
}


def make_plain(model: onnx.ModelProto) -> None:
    """Bring the graph into that form, in place; what it computes stays the same."""
    _constants_to_initializers(model.graph)
    _fold_into_initializers(model.graph)
    _cast_bytes_first(model.graph)
    _drop_unused_initializers(model.graph)


def initializers(graph: onnx.GraphProto) -> dict[str, TensorProto]:
    """Weights by name."""
    return {tensor.name: tensor for tensor in graph.initializer}


def consumers(nodes: Iterable[NodeProto]) -> dict[str, list[tuple[NodeProto, int]]]:
    """For each tensor the nodes that read it, with the place of the input."""
    found: dict[str, list[tuple[NodeProto, int]]] = defaultdict(list)
    for node in nodes:
        for place, name in enumerate(node.input):
            if name:
                found[name].append((node, place))
    return found


def tensor_types(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every tensor, as onnx infers it.

    Raises:
        onnx.shape_inference.InferenceError: types contradict each other.
    """
    light = onnx.ModelProto()
    light.CopyFrom(_without_weights(model))
    inferred = onnx.shape_inference.infer_shapes(light, check_type=True, strict_mode=True)
    graph = inferred.graph
    declared = [*graph.value_info, *graph.input, *graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in declared}
    return {**types, **{tensor.name: tensor.data_type for tensor in model.graph.initializer}}


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with large weights declared as inputs: their values are not needed, and may be gigabytes."""
    light = onnx.ModelProto()
    for field in ("ir_version", "producer_name"):
        setattr(light, field, getattr(model, field))
    light.opset_import.extend(model.opset_import)
    light.graph.name = model.graph.name
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if int(np.prod(tensor.dims)) <= 64:  # noqa: PLR2004 - shapes, axes and the like are values that inference needs
            light.graph.initializer.append(tensor)
        else:
            light.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    return light


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        if node.op_type != "Constant":
            graph.node.append(node)
            continue
        (attribute,) = node.attribute
        if attribute.name == "value":
            tensor = TensorProto()
            tensor.CopyFrom(attribute.t)
        else:
            value = helper.get_attribute_value(attribute)
            tensor = numpy_helper.from_array(np.asarray(value, _CONSTANT_SCALARS[attribute.name]))
        tensor.name = node.output[0]
        graph.initializer.append(tensor)


def _fold_into_initializers(graph: onnx.GraphProto) -> None:
    """Give Identity and Cast of a weight the weight itself; export stores halved weights behind a Cast."""
    weights = initializers(graph)
    kept, renamed = [], dict[str, str]()
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
        source = weights.get(node.input[0]) if node.input else None
        if source is None or node.op_type not in ("Identity", "Cast") or node.output[0] in outputs:
            kept.append(node)
        elif node.op_type == "Identity":
            renamed[node.output[0]] = source.name
        else:
            to = helper.tensor_dtype_to_np_dtype(node.attribute[0].i)
            folded = numpy_helper.from_array(numpy_helper.to_array(source).astype(to), node.output[0])
            graph.initializer.append(folded)
            weights[folded.name] = graph.initializer[-1]
    copies = [NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)


def _cast_bytes_first(graph: onnx.GraphProto) -> None:
    """Let everything but the Cast itself read the Cast's output: asked for its shape, it has the same."""
    readers = consumers(graph.node)
    for value in graph.input:
        if value.type.tensor_type.elem_type != TensorProto.UINT8:
            continue
        casts = [node for node, _ in readers[value.name] if node.op_type == "Cast"]
        if not casts:
            continue
        for node, place in readers[value.name]:
            if node.op_type != "Cast":
                node.input[place] = casts[0].output[0]
        _move_to_front(graph, casts[0])


def _move_to_front(graph: onnx.GraphProto, node: NodeProto) -> None:
    nodes = [NodeProto.FromString(one.SerializeToString()) for one in graph.node]
    place = next(index for index, one in enumerate(graph.node) if one.output[0] == node.output[0])
    nodes.insert(0, nodes.pop(place))
    del graph.node[:]
    graph.node.extend(nodes)


def _drop_unused_initializers(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    if len(kept) == len(graph.initializer):
        return
    copies = [TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del graph.initializer[:]
    graph.initializer.extend(copies)
