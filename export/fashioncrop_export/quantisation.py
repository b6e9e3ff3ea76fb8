"""Weights and activations of the large products as 8-bit integers, for processors.

Dynamic: what enters a product is quantised while the model runs, by its own range, so that no photos are needed to
calibrate on. Weights are quantised by column. All else stays as it is: embeddings of tokens, attention's own products,
norms, convolutions, and what a plan declares as `exact`.

The result is ONNX's own operators (DynamicQuantizeLinear, MatMulInteger), for which ONNX Runtime has fast kernels on
processors only: its CUDA provider and TensorRT have none.

Weights use all 8 bits. On x86 that needs VNNI (Intel since 2019, AMD since 2022): older processors add pairs of
products in 16 bits and saturate (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.onnx_model import ONNXModel

from fashioncrop_export.scratch import scratch_file

_OPERATOR = "MatMul"
_MATRIX = 2
# What the tracer adds to a module's name: its place in a list, and how often it was met before.
_NUMBERS = re.compile(r"(\.\d+)?(_\d+)?$")


def quantise(model: onnx.ModelProto, exact: Collection[str] = ()) -> onnx.ModelProto:
    """A quantised copy.

    Args:
        model: a traced graph whose weights are fp32 initializers.
        exact: modules of the network that keep their precision, by the names of their attributes.

    Raises:
        ModelFileError: the temporary folder has no room.
    """
    model = _with_plain_products(model)
    chosen = quantisable(model, exact)
    if not chosen:
        return model
    with scratch_file() as path, _without_advice():
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=[_OPERATOR],
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=chosen,
        )
        return onnx.load(str(path))


def quantisable(model: onnx.ModelProto, exact: Collection[str] = ()) -> list[str]:
    """Names of the nodes that multiply by a constant matrix and are no part of a module in `exact`."""
    matrices = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == _MATRIX}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == _OPERATOR and node.input[1] in matrices and not _modules(node.name) & set(exact)
    ]


def _with_plain_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with a product and a sum in place of every Gemm, as the quantiser would make them, by the same name."""
    plain = ONNXModel(onnx.ModelProto.FromString(model.SerializeToString()))
    plain.replace_gemm_with_matmul()
    made: onnx.ModelProto = plain.model
    return made


def _modules(node_name: str) -> set[str]:
    """The modules that a node is inside of: `/detector/bbox_embed.0/layers.1/MatMul` is in bbox_embed and layers."""
    return {_NUMBERS.sub("", part) for part in node_name.split("/")}


@contextmanager
def _without_advice() -> Iterator[None]:
    """Hold back a warning that recommends what has been done: shapes need no inference here."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
