"""The configurations for a GPU declare what config.pbtxt declares, and are what this project's exporter builds for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
from google.protobuf import text_format
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import model_config_pb2

from fashioncrop._embedded import control
from fashioncrop.model_repository import PIPELINE, Role, read_config, shipped_repository
from fashioncrop.plans import PLAN_FILE

REPOSITORY = shipped_repository()
NAMES = ("tensorrt", "onnxruntime-tensorrt")
BACKENDS = Path(control.__file__).parent / "backends"
PROVIDERS = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


def variant(role: Role, name: str) -> model_config_pb2.ModelConfig:
    path = REPOSITORY / role / "configs" / f"{name}.pbtxt"
    return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("role", Role)
def test_tensors_batches_and_batching_are_those_of_the_usual_configuration(role: Role, name: str) -> None:
    usual, other = read_config(REPOSITORY, role), variant(role, name)
    assert other.name == usual.name == role
    assert list(other.input) == list(usual.input)
    assert list(other.output) == list(usual.output)
    assert other.max_batch_size == usual.max_batch_size
    assert other.HasField("dynamic_batching") == usual.HasField("dynamic_batching")
    assert other.dynamic_batching == usual.dynamic_batching


@pytest.mark.parametrize("role", Role)
def test_an_engine_is_served_by_the_tensorrt_backend_on_a_gpu(role: Role) -> None:
    config = variant(role, "tensorrt")
    assert (config.backend, config.default_model_filename) == ("tensorrt", PLAN_FILE)
    (group,) = config.instance_group
    assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert not config.parameters, "the TensorRT backend knows none of ONNX Runtime's"


@pytest.mark.parametrize("role", Role)
def test_the_middle_way_has_the_usual_parameters_and_one_instance(role: Role) -> None:
    usual, other = read_config(REPOSITORY, role), variant(role, "onnxruntime-tensorrt")
    assert other.backend == "onnxruntime"
    assert list(other.instance_group) == list(usual.instance_group)
    differing = set(other.parameters) - set(usual.parameters)
    assert differing == {"cudnn_conv_algo_search"}
    assert all(other.parameters[key] == usual.parameters[key] for key in usual.parameters)


def test_the_pipeline_is_the_same_everywhere() -> None:
    assert not (REPOSITORY / PIPELINE / "configs").exists()


@pytest.mark.export
@pytest.mark.parametrize("role", Role)
def test_the_configurations_name_the_shapes_that_engines_are_built_for(role: Role, tiny_repository: Path) -> None:
    import onnx  # noqa: PLC0415 - of the extra `export`

    from fashioncrop_export.identity import read_identity  # noqa: PLC0415
    from fashioncrop_export.tensorrt_engines.files import GRAPH_FILE  # noqa: PLC0415
    from fashioncrop_export.tensorrt_engines.profiles import profiles_of  # noqa: PLC0415

    full_size = {"shortest_edge": 800, "longest_edge": 1333, "height": 518, "width": 518}
    folder = tiny_repository / role / "1"
    identity = read_identity(folder)
    assert identity is not None
    preprocessing = {key: full_size.get(key, value) for key, value in identity.preprocessing.items()}
    profiles = profiles_of(onnx.load(folder / "model.onnx"), role, read_config(REPOSITORY, role), preprocessing)
    (group,) = variant(role, "tensorrt").instance_group
    assert list(group.profile) == ([str(place) for place in range(len(profiles))] if len(profiles) > 1 else [])
    middle = variant(role, "onnxruntime-tensorrt")
    assert middle.default_model_filename == GRAPH_FILE
    (accelerator,) = middle.optimization.execution_accelerators.gpu_execution_accelerator
    for place, which in enumerate(("min", "opt", "max")):
        told = accelerator.parameters[f"trt_profile_{which}_shapes"].split(",")
        shapes = {
            name: tuple(map(int, shape.split("x"))) for name, _, shape in (entry.partition(":") for entry in told)
        }
        for name, three in profiles[0].shapes.items():
            if which == "max" and name == "image" and len(profiles) > 1:
                continue  # lies and stands at once there, so it is square
            assert shapes[name] == three[place], (which, name)
        assert set(shapes) == set(profiles[0].shapes)


@pytest.mark.server
@pytest.mark.parametrize("role", Role)
def test_the_embedded_backend_knows_the_middle_way(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    path = BACKENDS / "onnxruntime" / "session_settings.py"
    spec = importlib.util.spec_from_file_location("settings_of_backend", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = MessageToDict(variant(role, "onnxruntime-tensorrt"), preserving_proto_field_name=True)
    module.session_options(config)
    assert module.providers(config, "CPU") == ["CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: PROVIDERS)
    names = [one if isinstance(one, str) else one[0] for one in module.providers(config, "GPU")]
    assert names == PROVIDERS
