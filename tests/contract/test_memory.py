"""Photos of many sizes leave no memory behind in the server's process, by the parameters of the configurations."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import psutil
import pytest
from google.protobuf.json_format import MessageToDict

from fashioncrop._embedded import control
from fashioncrop.model_repository import Role, read_config, shipped_repository

pytestmark = pytest.mark.export  # onnx is of that extra

MIB = 2**20
SIDES = (2200, 3000, 2500, 4000, 3500, 5000, 2700)
"""The largest takes 100 MB."""


@pytest.fixture(scope="module")
def settings() -> Any:  # noqa: ANN401 - a module
    """The backend's own reading of a configuration."""
    path = Path(control.__file__).parent / "backends" / "onnxruntime" / "session_settings.py"
    spec = importlib.util.spec_from_file_location("settings_of_backend", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A free size in, one number out, and its square in between."""
    import onnx  # noqa: PLC0415 - see pytestmark
    from onnx import TensorProto, helper  # noqa: PLC0415

    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["column"]),
        helper.make_node("Add", ["x", "column"], ["square"]),
        helper.make_node("Sin", ["square"], ["waves"]),
        helper.make_node("ReduceSum", ["waves"], ["y"], keepdims=0),
    ]
    graph_ = helper.make_graph(
        nodes,
        "sizes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["side"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        [onnx.numpy_helper.from_array(np.asarray([1]), "axis")],
    )
    path = tmp_path_factory.mktemp("memory") / "model.onnx"
    onnx.save(helper.make_model(graph_, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


def growth_bytes(graph: Path, options: onnxruntime.SessionOptions, run_options: onnxruntime.RunOptions) -> int:
    """What the process holds after all sizes, over what it held when the session was there."""
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    process = psutil.Process(os.getpid())
    session.run(None, {"x": np.zeros(10, np.float32)}, run_options)
    before = process.memory_info().rss
    for side in SIDES:
        session.run(None, {"x": np.arange(side, dtype=np.float32)}, run_options)
    return int(process.memory_info().rss - before)


def config_of(role: Role, name: str) -> dict[str, Any]:
    return MessageToDict(read_config(shipped_repository(), role, name), preserving_proto_field_name=True)


@pytest.mark.parametrize("name", ["", "int8"])
@pytest.mark.parametrize("role", [Role.GARMENT_DETECTOR, Role.DEPTH_ESTIMATOR])
def test_nothing_stays_after_many_sizes(graph: Path, settings: Any, role: Role, name: str) -> None:  # noqa: ANN401
    config = config_of(role, name)
    assert growth_bytes(graph, settings.session_options(config), settings.run_options(config)) < 30 * MIB


def test_without_these_parameters_the_largest_size_stays(graph: Path, settings: Any) -> None:  # noqa: ANN401
    options = settings.session_options(config_of(Role.GARMENT_DETECTOR, ""))
    assert growth_bytes(graph, options, onnxruntime.RunOptions()) > 90 * MIB
