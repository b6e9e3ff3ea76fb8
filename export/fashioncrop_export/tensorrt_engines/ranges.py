"""How large every value of a graph becomes on real inputs.

ONNX Runtime computes FP16 graphs in FP32 on a CPU, so an overflow in FP16 cannot be seen there. What can be seen is how
large each value is in FP32; a value that stays far below FP16's largest number does not overflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from fashioncrop_export.tensorrt_engines.plain_graph import tensor_types

LARGEST_FP16 = 65_504.0
_SUFFIX = ".largest"


def largest_magnitudes(model: onnx.ModelProto, feeds: Iterable[Mapping[str, NDArray[Any]]]) -> dict[str, float]:
    """Largest absolute value of every FP32 tensor that a node computes, over all feeds; infinite for a NaN.

    Each tensor is reduced to one number inside the graph: kept whole, those of a large photo would be gigabytes.

    Args:
        model: the graph; it is not changed.
        feeds: inputs.
    """
    types = tensor_types(model)
    measured = onnx.ModelProto()
    measured.CopyFrom(model)
    graph = measured.graph
    del graph.node[:]
    del graph.output[:]
    names = []
    for node in model.graph.node:
        graph.node.append(node)
        for name in node.output:
            if types.get(name) == TensorProto.FLOAT:
                names.append(name)
                absolute, reduced = f"{name}.absolute", f"{name}{_SUFFIX}"
                graph.node.append(helper.make_node("Abs", [name], [absolute]))
                graph.node.append(helper.make_node("ReduceMax", [absolute], [reduced], keepdims=0))
                graph.output.append(helper.make_tensor_value_info(reduced, TensorProto.FLOAT, []))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    # Fused nodes have no inner values, and those are what is asked for.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    # In the order written here: the usual one puts all measuring off to the end, with every tensor held until then
    # (17 GB for the full-size detector).
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    session = onnxruntime.InferenceSession(measured.SerializeToString(), options, providers=["CPUExecutionProvider"])
    del measured
    largest = dict.fromkeys(names, 0.0)
    for feed in feeds:
        for name, value in zip(names, session.run(None, dict(feed)), strict=True):
            magnitude = float(value)
            largest[name] = max(largest[name], magnitude if np.isfinite(magnitude) else np.inf)
    return largest
