"""Whether a graph has the tensors that its `config.pbtxt` declares, by the rules of Triton's own backend.

The native onnxruntime backend compares dims exactly for outputs, lets a free axis of the graph stand for any configured
dim of an input, and with `max_batch_size` above 0 wants a free first axis that the configuration does not mention
(`CompareDimsSupported` in triton-inference-server/onnxruntime_backend, src/onnxruntime_utils.cc). Here inputs are held
to the stricter rule too: what is free in the one is free in the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import onnxruntime
from tritonclient.grpc import model_config_pb2

from fashioncrop_export.errors import Difference

if TYPE_CHECKING:  # it imports torch, and a finished graph is compared without
    from fashioncrop_export.graph_plan import GraphPlan

# ONNX Runtime's names for the types that the repository's models use.
_TRITON_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
}


def interface_differences(
    session: onnxruntime.InferenceSession, config: model_config_pb2.ModelConfig
) -> list[Difference]:
    """All differences between graph and configuration, in the order names, axes, shapes, types."""
    model = config.name
    sides = ((session.get_inputs(), config.input), (session.get_outputs(), config.output))
    names = [difference for tensors, declared in sides for difference in _names(model, tensors, declared)]
    axes, shapes, types = [], [], []
    for tensors, declared in sides:
        by_name = {tensor.name: tensor for tensor in tensors}
        for entry in declared:
            tensor = by_name.get(entry.name)
            if tensor is None:
                continue
            dims = list(entry.dims)
            axes.extend(_axes(model, tensor, dims, batched=config.max_batch_size > 0))
            shapes.extend(_fixed_sizes(model, tensor, dims, batched=config.max_batch_size > 0))
            wanted = model_config_pb2.DataType.Name(entry.data_type)
            got = _TRITON_TYPES.get(tensor.type, tensor.type)
            if wanted != got:
                types.append(Difference(model, entry.name, wanted, got))
    return [*names, *axes, *shapes, *types]


def tensor_names_match(plan: GraphPlan, session: onnxruntime.InferenceSession) -> bool:
    """Whether the graph can be run with the plan's cases at all."""
    inputs = {tensor.name for tensor in session.get_inputs()}
    outputs = {tensor.name for tensor in session.get_outputs()}
    return inputs == set(plan.inputs) and outputs == set(plan.outputs)


def _names(model: str, tensors: Iterable[Any], declared: Iterable[Any]) -> list[Difference]:
    got = [tensor.name for tensor in tensors]
    wanted = [entry.name for entry in declared]
    missing = [Difference(model, name, "a tensor of this name", "none") for name in wanted if name not in got]
    surplus = [Difference(model, name, "no such tensor", "one") for name in got if name not in wanted]
    return missing + surplus


def _configured(dims: Sequence[int], *, batched: bool) -> list[int]:
    return [-1, *dims] if batched else list(dims)


def _axes(model: str, tensor: Any, dims: Sequence[int], *, batched: bool) -> list[Difference]:  # noqa: ANN401
    """Rank, batch axis, and which axes are free."""
    wanted = _configured(dims, batched=batched)
    if len(tensor.shape) != len(wanted):
        return [
            Difference(model, tensor.name, f"{len(wanted)} axes {wanted}", f"{len(tensor.shape)} axes {tensor.shape}")
        ]
    differences = []
    for place, (want, got) in enumerate(zip(wanted, tensor.shape, strict=True)):
        is_free = not isinstance(got, int)
        if want == -1 and not is_free:
            what = "a free batch axis" if batched and place == 0 else f"axis {place} free"
            differences.append(Difference(model, tensor.name, what, f"fixed at {got}"))
        if want != -1 and is_free:
            differences.append(Difference(model, tensor.name, f"axis {place} fixed at {want}", f"free ({got})"))
    return differences


def _fixed_sizes(model: str, tensor: Any, dims: Sequence[int], *, batched: bool) -> list[Difference]:  # noqa: ANN401
    wanted = _configured(dims, batched=batched)
    if len(tensor.shape) != len(wanted):
        return []
    return [
        Difference(model, tensor.name, f"axis {place} of {want}", str(got))
        for place, (want, got) in enumerate(zip(wanted, tensor.shape, strict=True))
        if want != -1 and isinstance(got, int) and want != got
    ]
