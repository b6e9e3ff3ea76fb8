"""From a torch module to one clean ONNX file.

The TorchScript exporter (`dynamo=False`) writes GroundingDINO in 14 s where the newer one takes 140; its graphs have
more nodes and load slower, but the first export of a fresh clone happens while somebody waits. torch has announced its
removal; when that comes, the modules here are traceable by `torch.export` too (only plain operators and symbolic
sizes), with `prefer_deferred_runtime_asserts_over_guards=True` and a trace at more than 480x608.
"""

from __future__ import annotations

import warnings
from io import BytesIO

import onnx
import onnx.shape_inference
import onnxruntime
import torch
from torch.jit._trace import TracerWarning

from fashioncrop_export.errors import Difference, ParityError
from fashioncrop_export.graph_plan import Axes, GraphPlan
from fashioncrop_export.scratch import scratch_file

# 17 brought LayerNormalization and 20 Gelu as one operator each; ONNX Runtime's CUDA provider has kernels for both and
# for GridSample 20 (its docs/OperatorKernels.md). Triton's oldest image with these configurations (24.10, ONNX Runtime
# 1.19) takes opset 21 and IR 10.
OPSET = 20
MAX_OPSET = 21
MAX_IR_VERSION = 10

# Control flow, and what TensorRT cannot take or runs through slow fallbacks.
FORBIDDEN_OPS = frozenset({"If", "Loop", "Scan", "NonZero", "ScatterND", "SequenceAt", "SequenceConstruct"})


def trace(plan: GraphPlan) -> onnx.ModelProto:
    """Trace the plan's module."""
    axes = {
        name: {place: axis for place, axis in enumerate(shape) if isinstance(axis, str)}
        for name, shape in (*plan.inputs.items(), *plan.outputs.items())
    }
    buffer = BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # torch asks to use the newer exporter; see the module's docstring.
        warnings.filterwarnings("ignore", message="You are using the legacy TorchScript", category=DeprecationWarning)
        # ... and says so again of each function that the exporter itself calls.
        warnings.filterwarnings("ignore", message="The feature will be removed", category=DeprecationWarning)
        # transformers checks shapes in Python. That the sizes stay free is proved on the finished graph.
        warnings.filterwarnings("ignore", category=TracerWarning)
        # Sine and cosine take every other channel of a constant; ONNX Runtime folds what torch leaves.
        warnings.filterwarnings("ignore", message="Constant folding - Only steps=1 can be constant folded")
        torch.onnx.export(
            plan.module.eval(),
            tuple(plan.example.values()),
            buffer,  # type: ignore[arg-type]  # which the TorchScript exporter takes
            input_names=list(plan.example),
            output_names=list(plan.outputs),
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    return onnx.load_model_from_string(buffer.getvalue())


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with constants folded, equal nodes merged and no more arithmetic on shapes than is needed.

    ONNX Runtime's basic optimisations write standard operators and keep every result. The tracer's graph of the
    detector shrinks to less than half; other runtimes, TensorRT's parser for one, then have less to read.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warnings say which initialisers were folded
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.disable_prepacking", "1")  # nothing is run
    with scratch_file() as path:
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(str(path))


def clean(plan: GraphPlan, model: onnx.ModelProto) -> None:
    """Remove what says where and how the graph was made, and declare the axes as planned, in place.

    The shapes that follow from these axes are written into the file: they tell ONNX Runtime that two tensors it adds
    are alike, without which it does not join sums and norms.

    Raises:
        ParityError: a forbidden operator, or a format that the oldest supported runtime cannot read.
    """
    graph = model.graph
    graph.name = plan.role.value
    graph.doc_string = ""
    model.doc_string = ""
    model.producer_name = "fashioncrop"
    model.producer_version = ""
    del model.metadata_props[:]
    del graph.value_info[:]
    used = {node.domain for node in graph.node} | {""}
    imports = [entry for entry in model.opset_import if entry.domain in used]
    copies = [onnx.OperatorSetIdProto.FromString(entry.SerializeToString()) for entry in imports]
    del model.opset_import[:]
    model.opset_import.extend(copies)
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for tensor in (*graph.input, *graph.output):
        tensor.doc_string = ""
        _declare_axes(tensor, plan.inputs.get(tensor.name) or plan.outputs[tensor.name])
    differences = [
        Difference(plan.role.value, "", f"no {op} operator", f"{count}")
        for op, count in sorted(_operator_counts(graph, FORBIDDEN_OPS | plan.forbidden_ops).items())
    ]
    if opset_of(model) > MAX_OPSET:
        differences.append(Difference(plan.role.value, "", f"opset at most {MAX_OPSET}", str(opset_of(model))))
    if model.ir_version > MAX_IR_VERSION:
        got = str(model.ir_version)
        differences.append(Difference(plan.role.value, "", f"IR version at most {MAX_IR_VERSION}", got))
    if differences:
        raise ParityError(differences)
    model.CopyFrom(onnx.shape_inference.infer_shapes(model, data_prop=True))


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the standard operators."""
    return max(int(entry.version) for entry in model.opset_import if entry.domain in {"", "ai.onnx"})


def _declare_axes(tensor: onnx.ValueInfoProto, axes: Axes) -> None:
    """Write the planned axes over those the exporter guessed (it invents names for what it could not follow)."""
    shape = tensor.type.tensor_type.shape
    del shape.dim[:]
    for axis in axes:
        dimension = shape.dim.add()
        if isinstance(axis, str):
            dimension.dim_param = axis
        else:
            dimension.dim_value = axis


def _operator_counts(graph: onnx.GraphProto, operators: frozenset[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in operators:
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts
