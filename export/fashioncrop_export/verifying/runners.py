"""Runs one engine; what is given back is what the graph answers, by tensor name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from fashioncrop.errors import ModelFileError

CHOICE = "two_stage_choice"
"""Which image tokens a detector chose, int64 [batch, queries], where a runner can tell."""


class Runner(Protocol):
    """An engine that is loaded."""

    def __call__(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs for the inputs."""


class OnnxRunner:
    """A graph in ONNX Runtime on the CPU.

    Args:
        path: the graph.
        tell_choice: also answer `CHOICE`, the indices of the graph's one TopK node.

    Raises:
        ModelFileError: ONNX Runtime cannot load it.
    """

    def __init__(self, path: Path, *, tell_choice: bool = False) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # warnings say what was folded
        options.enable_cpu_mem_arena = False  # every photo size would leave its own blocks
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the original runs in between
        try:
            model = _with_choice(path) if tell_choice else str(path)
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # neither library's exceptions share a base class
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ModelFileError(
                f"{path} is not a graph that ONNX Runtime {onnxruntime.__version__} can load: {reason}"
            ) from error
        self._outputs = [output.name for output in self._session.get_outputs()]

    def __call__(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs for the inputs."""
        answers = self._session.run(None, {name: np.ascontiguousarray(value) for name, value in feed.items()})
        return dict(zip(self._outputs, answers, strict=True))


def _with_choice(path: Path) -> bytes:
    model = onnx.load(str(path))
    (node,) = (node for node in model.graph.node if node.op_type == "TopK")
    model.graph.node.append(onnx.helper.make_node("Identity", [node.output[1]], [CHOICE]))
    model.graph.output.append(onnx.helper.make_tensor_value_info(CHOICE, onnx.TensorProto.INT64, None))
    serialised: bytes = model.SerializeToString()
    return serialised
