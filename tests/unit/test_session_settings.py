"""One config.pbtxt means the same to the Python-based backend as to Triton's native one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import onnxruntime as ort
import pytest

import fashioncrop


@pytest.fixture(scope="module")
def session_settings() -> ModuleType:
    """The backend's module, from its folder: it is Triton's layout, not a package."""
    path = Path(fashioncrop.__file__).parent / "_embedded" / "backends" / "onnxruntime" / "session_settings.py"
    spec = importlib.util.spec_from_file_location("onnxruntime_backend_session_settings", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def config(parameters: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """As Triton hands it over."""
    return {"parameters": {name: {"string_value": value} for name, value in (parameters or {}).items()}} | more


def test_without_parameters_a_session_is_as_the_native_backend_makes_it(session_settings: ModuleType) -> None:
    for empty in ({}, config()):
        options = session_settings.session_options(empty)
        assert options.intra_op_num_threads == 0
        assert options.inter_op_num_threads == 0
        assert options.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL
        assert options.enable_cpu_mem_arena
        assert options.enable_mem_pattern
        assert options.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        assert session_settings.providers(empty) == ["CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("parameter", "value", "attribute", "expected"),
    [
        ("intra_op_thread_count", "3", "intra_op_num_threads", 3),
        ("inter_op_thread_count", "2", "inter_op_num_threads", 2),
        ("execution_mode", "0", "execution_mode", ort.ExecutionMode.ORT_SEQUENTIAL),
        ("execution_mode", "1", "execution_mode", ort.ExecutionMode.ORT_PARALLEL),
        ("enable_mem_arena", "0", "enable_cpu_mem_arena", False),
        ("enable_mem_arena", "false", "enable_cpu_mem_arena", False),
        ("enable_mem_arena", "1", "enable_cpu_mem_arena", True),
        ("enable_mem_pattern", "0", "enable_mem_pattern", False),
        ("enable_mem_pattern", "True", "enable_mem_pattern", True),
    ],
)
def test_each_parameter_reaches_the_session(
    session_settings: ModuleType, parameter: str, value: str, attribute: str, expected: object
) -> None:
    assert getattr(session_settings.session_options(config({parameter: value})), attribute) == expected


def test_initializers_may_go_to_the_devices_own_allocator(session_settings: ModuleType) -> None:
    entry = "session.use_device_allocator_for_initializers"
    assert session_settings.session_options(config({entry: "1"})).get_session_config_entry(entry) == "1"
    for unset in ({}, {entry: "0"}):
        with pytest.raises(RuntimeError):
            session_settings.session_options(config(unset)).get_session_config_entry(entry)


@pytest.mark.parametrize(("value", "expected"), [(None, "1"), ("1", "1"), ("0", "0"), ("false", "0")])
def test_threads_that_wait_spin_unless_told_otherwise(
    session_settings: ModuleType, value: str | None, expected: str
) -> None:
    entry = "session.intra_op.allow_spinning"
    options = session_settings.session_options(config({} if value is None else {entry: value}))
    assert options.get_session_config_entry(entry) == expected


def test_arenas_may_be_shrunk_after_each_run(session_settings: ModuleType) -> None:
    entry = "memory.enable_memory_arena_shrinkage"
    assert session_settings.run_options(config({entry: "cpu:0"})).get_run_config_entry(entry) == "cpu:0"
    with pytest.raises(RuntimeError):
        session_settings.run_options(config()).get_run_config_entry(entry)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (-1, ort.GraphOptimizationLevel.ORT_ENABLE_BASIC),
        (0, ort.GraphOptimizationLevel.ORT_ENABLE_ALL),
        (1, ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED),
        (2, ort.GraphOptimizationLevel.ORT_DISABLE_ALL),
    ],
)
def test_graph_optimisation_has_the_native_backends_levels(
    session_settings: ModuleType, level: int, expected: ort.GraphOptimizationLevel
) -> None:
    options = session_settings.session_options(config(optimization={"graph": {"level": level}}))
    assert options.graph_optimization_level == expected


def test_a_custom_operator_library_is_loaded(session_settings: ModuleType, tmp_path: Path) -> None:
    library = tmp_path / "operators.so"
    with pytest.raises(Exception, match=r"operators\.so"):  # onnxruntime's own exception: there is no such file
        session_settings.session_options(config(model_operations={"op_library_filename": [str(library)]}))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"intra_op_threads": "2"}, "intra_op_threads are unknown; known are .*intra_op_thread_count"),
        ({"b": "1", "a": "1"}, "the parameters a, b are unknown"),
        ({"intra_op_thread_count": "two"}, "intra_op_thread_count is 'two'; it must be a whole number"),
        ({"inter_op_thread_count": "-1"}, "inter_op_thread_count is '-1'"),
        ({"inter_op_thread_count": ""}, "inter_op_thread_count is ''"),
        ({"execution_mode": "2"}, "execution_mode is '2'; it must be one of 0, 1"),
        ({"enable_mem_arena": "yes"}, "enable_mem_arena is 'yes'; it must be 1, 0, true or false"),
        ({"enable_mem_pattern": "2"}, "enable_mem_pattern is '2'"),
        ({"session.use_device_allocator_for_initializers": "x"}, "use_device_allocator_for_initializers is 'x'"),
        ({"session.intra_op.allow_spinning": "never"}, "allow_spinning is 'never'; it must be 1, 0, true or false"),
    ],
)
def test_a_parameter_that_is_not_meant_is_refused(
    session_settings: ModuleType, parameters: dict[str, str], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        session_settings.session_options(config(parameters))


def test_an_unknown_optimisation_level_is_refused(session_settings: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"optimization\.graph\.level is 3; it must be one of -1, 0, 1, 2"):
        session_settings.session_options(config(optimization={"graph": {"level": 3}}))


def test_what_only_a_gpu_needs_is_taken_and_left(session_settings: ModuleType) -> None:
    parameters = {"gpu_mem_limit": "1", "cudnn_conv_algo_search": "0", "arena_extend_strategy": "0"}
    assert session_settings.session_options(config(parameters)).intra_op_num_threads == 0
    for name in ("cuda", "tensorrt"):
        accelerators = {"gpu_execution_accelerator": [{"name": name}]}
        assert session_settings.providers(config(optimization={"execution_accelerators": accelerators})) == [
            "CPUExecutionProvider"
        ]


@pytest.mark.parametrize(
    ("accelerators", "words"),
    [
        ({"gpu_execution_accelerator": [{"name": "cuda"}, {"name": "rocm"}]}, "GPU accelerator rocm is unknown"),
        ({"cpu_execution_accelerator": [{"name": "dnnl"}]}, "CPU accelerator dnnl is unknown; it must be openvino"),
        ({"cpu_execution_accelerator": [{"name": "openvino"}]}, "openvino needs the package onnxruntime-openvino"),
    ],
)
def test_an_accelerator_that_is_not_there_is_refused(
    session_settings: ModuleType, monkeypatch: pytest.MonkeyPatch, accelerators: dict[str, Any], words: str
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ValueError, match=words):
        session_settings.providers(config(optimization={"execution_accelerators": accelerators}))


def test_openvino_comes_before_the_plain_cpu_where_it_is(
    session_settings: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["OpenVINOExecutionProvider", "CPUExecutionProvider"])
    accelerators = {"cpu_execution_accelerator": [{"name": "openvino"}]}
    assert session_settings.providers(config(optimization={"execution_accelerators": accelerators})) == [
        "OpenVINOExecutionProvider",
        "CPUExecutionProvider",
    ]


GPU_PROVIDERS = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


def test_on_a_gpu_cuda_comes_first_where_it_is_installed(
    session_settings: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = {"gpu_mem_limit": "100", "cudnn_conv_algo_search": "1", "arena_extend_strategy": "1"}
    assert session_settings.providers(config(parameters), "GPU", 1) == ["CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: GPU_PROVIDERS)
    options = {
        "device_id": "1",
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "gpu_mem_limit": "100",
    }
    assert session_settings.providers(config(parameters), "GPU", 1) == [
        ("CUDAExecutionProvider", options),
        "CPUExecutionProvider",
    ]
    assert session_settings.providers(config(parameters), "CPU") == ["CPUExecutionProvider"]


def test_tensorrt_gets_its_own_options(session_settings: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {"trt_engine_cache_enable": "true", "max_workspace_size_bytes": "7"}
    accelerators = {"gpu_execution_accelerator": [{"name": "tensorrt", "parameters": parameters}]}
    asked = config(optimization={"execution_accelerators": accelerators})
    with pytest.raises(ValueError, match="TensorrtExecutionProvider and CUDAExecutionProvider need the package onnxru"):
        session_settings.providers(asked, "GPU")
    monkeypatch.setattr(ort, "get_available_providers", lambda: GPU_PROVIDERS)
    assert session_settings.providers(asked, "GPU")[0] == (
        "TensorrtExecutionProvider",
        {"device_id": "0", "trt_engine_cache_enable": "true", "trt_max_workspace_size": "7"},
    )
    parameters["precision"] = "FP16"
    with pytest.raises(ValueError, match="parameters precision of the accelerator tensorrt are unknown"):
        session_settings.providers(asked, "GPU")
