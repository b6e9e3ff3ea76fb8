"""From a model's config.pbtxt to ONNX Runtime's session, by the names that Triton's native backend knows.

The names, values and defaults are those of triton-inference-server/onnxruntime_backend (README, "Other Optimization
Options with ONNX Runtime"), so that one config.pbtxt means the same to both. One name is beyond it, which the native
backend skips: `session.intra_op.allow_spinning`, without which threads that wait take the cores from the other models.
It changes no answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import onnxruntime as ort

_TRUE, _FALSE = {"1", "true"}, {"0", "false"}
_GRAPH_LEVELS = {
    "-1": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "0": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "1": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "2": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_EXECUTION_MODES = {"0": ort.ExecutionMode.ORT_SEQUENTIAL, "1": ort.ExecutionMode.ORT_PARALLEL}
_ONLY_ON_GPU = {
    "cudnn_conv_algo_search",
    "gpu_mem_limit",
    "arena_extend_strategy",
    "do_copy_in_default_stream",
}
_SPINNING = "session.intra_op.allow_spinning"
_KNOWN = {
    "intra_op_thread_count",
    "inter_op_thread_count",
    "execution_mode",
    "enable_mem_arena",
    "enable_mem_pattern",
    "session.use_device_allocator_for_initializers",
    "memory.enable_memory_arena_shrinkage",
    _SPINNING,
}
_GPU_ACCELERATORS = {"cuda", "tensorrt"}
_TENSORRT, _CUDA = "TensorrtExecutionProvider", "CUDAExecutionProvider"
_TENSORRT_NAMES = {"max_workspace_size_bytes": "trt_max_workspace_size"}
_CUDA_CHOICES = {
    "cudnn_conv_algo_search": {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"},
    "arena_extend_strategy": {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"},
}
Provider: TypeAlias = str | tuple[str, dict[str, str]]


def session_options(config: Mapping[str, Any]) -> ort.SessionOptions:
    """Threads, memory and optimisation of a session.

    Args:
        config: the model configuration as Triton hands it over (JSON names of the protobuf).

    Raises:
        ValueError: a parameter is unknown or its value is not one that the native backend takes.
    """
    values = _parameters(config)
    options = ort.SessionOptions()
    options.intra_op_num_threads = _count(values, "intra_op_thread_count")
    options.inter_op_num_threads = _count(values, "inter_op_thread_count")
    options.execution_mode = _choice(values, "execution_mode", "0", _EXECUTION_MODES)
    options.enable_cpu_mem_arena = _word(values, "enable_mem_arena", default=True)
    options.enable_mem_pattern = _word(values, "enable_mem_pattern", default=True)
    if _word(values, "session.use_device_allocator_for_initializers", default=False):
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    options.add_session_config_entry(_SPINNING, str(int(_word(values, _SPINNING, default=True))))
    optimization = config.get("optimization", {})
    level = str(optimization.get("graph", {}).get("level", 0))
    if level not in _GRAPH_LEVELS:
        raise ValueError(f"optimization.graph.level is {level}; it must be one of {', '.join(_GRAPH_LEVELS)}")
    options.graph_optimization_level = _GRAPH_LEVELS[level]
    for library in config.get("model_operations", {}).get("op_library_filename", []):
        options.register_custom_ops_library(library)
    return options


def run_options(config: Mapping[str, Any]) -> ort.RunOptions:
    """What each run is told: which arenas to shrink afterwards."""
    options = ort.RunOptions()
    devices = _parameters(config).get("memory.enable_memory_arena_shrinkage")
    if devices:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", devices)
    return options


def providers(config: Mapping[str, Any], kind: str = "CPU", device: int = 0) -> list[Provider]:
    """Execution providers in order, the CPU last.

    Args:
        config: as for `session_options`.
        kind: `GPU` or `CPU`: where Triton has placed the instance. GPU accelerators count on a GPU only, as in the
            native backend; there CUDA is used where the installed onnxruntime has it.
        device: which GPU.

    Raises:
        ValueError: an accelerator that the native backend would refuse, or that the installed onnxruntime lacks.
    """
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    on_gpu: list[tuple[str, dict[str, str]]] = []
    for accelerator in accelerators.get("gpu_execution_accelerator", []):
        if accelerator["name"] not in _GPU_ACCELERATORS:
            raise ValueError(
                f"the GPU accelerator {accelerator['name']} is unknown; it must be one of {sorted(_GPU_ACCELERATORS)}"
            )
        if kind == "GPU" and accelerator["name"] == "tensorrt":
            on_gpu.append((_TENSORRT, _tensorrt_options(accelerator.get("parameters", {}), device)))
    if kind == "GPU" and (_CUDA in ort.get_available_providers() or accelerators.get("gpu_execution_accelerator")):
        on_gpu.append((_CUDA, _cuda_options(_parameters(config), device)))
    missing = [name for name, _ in on_gpu if name not in ort.get_available_providers()]
    if missing:
        raise ValueError(f"{' and '.join(missing)} need the package onnxruntime-gpu in place of onnxruntime")
    result: list[Provider] = [*on_gpu]
    for accelerator in accelerators.get("cpu_execution_accelerator", []):
        if accelerator["name"] != "openvino":
            raise ValueError(f"the CPU accelerator {accelerator['name']} is unknown; it must be openvino")
        if "OpenVINOExecutionProvider" not in ort.get_available_providers():
            raise ValueError(
                "the CPU accelerator openvino needs the package onnxruntime-openvino in place of onnxruntime"
            )
        result.append("OpenVINOExecutionProvider")
    return [*result, "CPUExecutionProvider"]


def _tensorrt_options(values: Mapping[str, str], device: int) -> dict[str, str]:
    """Options of ONNX Runtime's TensorRT provider, which the native backend passes on by their own names."""
    unknown = [name for name in values if not name.startswith("trt_") and name not in _TENSORRT_NAMES]
    if unknown:
        raise ValueError(f"the parameters {', '.join(sorted(unknown))} of the accelerator tensorrt are unknown")
    return {"device_id": str(device), **{_TENSORRT_NAMES.get(name, name): value for name, value in values.items()}}


def _cuda_options(values: Mapping[str, str], device: int) -> dict[str, str]:
    options = {"device_id": str(device)}
    for name, choices in _CUDA_CHOICES.items():
        if name in values:
            options[name] = str(_choice(values, name, "", choices))
    if "gpu_mem_limit" in values:
        options["gpu_mem_limit"] = str(_count(values, "gpu_mem_limit"))
    if "do_copy_in_default_stream" in values:
        options["do_copy_in_default_stream"] = str(int(_word(values, "do_copy_in_default_stream", default=True)))
    return options


def _parameters(config: Mapping[str, Any]) -> dict[str, str]:
    values = {name: entry["string_value"] for name, entry in config.get("parameters", {}).items()}
    unknown = set(values) - _KNOWN - _ONLY_ON_GPU
    if unknown:
        raise ValueError(
            f"the parameters {', '.join(sorted(unknown))} are unknown; known are {', '.join(sorted(_KNOWN))}"
        )
    return values


def _count(values: Mapping[str, str], name: str) -> int:
    text = values.get(name, "0")
    if not text.isdigit():
        raise ValueError(
            f"the parameter {name} is {text!r}; it must be a whole number, 0 for as many as there are cores"
        )
    return int(text)


def _word(values: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = values.get(name, str(int(default))).lower()
    if text not in _TRUE | _FALSE:
        raise ValueError(f"the parameter {name} is {text!r}; it must be 1, 0, true or false")
    return text in _TRUE


def _choice(values: Mapping[str, str], name: str, default: str, choices: Mapping[str, Any]) -> Any:  # noqa: ANN401
    text = values.get(name, default)
    if text not in choices:
        raise ValueError(f"the parameter {name} is {text!r}; it must be one of {', '.join(choices)}")
    return choices[text]
