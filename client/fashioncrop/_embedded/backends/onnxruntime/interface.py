"""Does the graph have the tensors that config.pbtxt declares? Checked at load, by the native backend's own rules.

The rules are those of `ValidateInputs`, `ValidateOutputs` and `CompareDimsSupported` in
triton-inference-server/onnxruntime_backend: what loads here loads there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

_TYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_UINT16": "tensor(uint16)",
    "TYPE_UINT32": "tensor(uint32)",
    "TYPE_UINT64": "tensor(uint64)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_INT16": "tensor(int16)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
    "TYPE_STRING": "tensor(string)",
}


class GraphTensor(Protocol):
    """What is used of onnxruntime's `NodeArg`."""

    name: str
    type: str
    shape: Sequence[int | str | None]


def differences(
    config: Mapping[str, Any], graph_inputs: Sequence[GraphTensor], graph_outputs: Sequence[GraphTensor]
) -> list[str]:
    """Every way in which the graph is not what the configuration says; none where it will load.

    Every graph input must be declared; graph outputs may be left out. Where the graph fixes a dimension the
    configuration must say the same; where the graph leaves one free an input may be declared fixed, an output not.
    """
    batched = int(config["max_batch_size"]) > 0
    found = []
    for kind, declared, graph in (
        ("input", config["input"], graph_inputs),
        ("output", config["output"], graph_outputs),
    ):
        by_name = {tensor.name: tensor for tensor in graph}
        for entry in declared:
            tensor = by_name.get(entry["name"])
            if tensor is None:
                found.append(f"{kind} {entry['name']} is declared, but the graph has {', '.join(by_name) or 'none'}")
                continue
            found += _tensor_differences(kind, entry, tensor, batched=batched)
        if kind == "input":
            missing = set(by_name) - {entry["name"] for entry in declared}
            found += [f"input {name} of the graph is not declared" for name in sorted(missing)]
    return found


def _tensor_differences(kind: str, entry: Mapping[str, Any], tensor: GraphTensor, *, batched: bool) -> list[str]:
    name = f"{kind} {entry['name']}"
    if tensor.type != _TYPES.get(entry["data_type"]):
        return [f"{name} is declared {entry['data_type']}, but the graph has {tensor.type}"]
    graph = [dim if isinstance(dim, int) else -1 for dim in tensor.shape]
    if batched and (not graph or graph[0] != -1):
        return [f"{name} must begin with a free batch axis (max_batch_size is above 0), but the graph has {graph}"]
    declared = [int(dim) for dim in entry.get("reshape", {}).get("shape", entry["dims"])]
    full = [-1, *declared] if batched else declared
    exact = kind == "output"
    if len(full) != len(graph) or any(
        want != have for want, have in zip(full, graph, strict=True) if exact or have != -1
    ):
        return [f"{name} is declared {full}, but the graph has {graph}"]
    return []
