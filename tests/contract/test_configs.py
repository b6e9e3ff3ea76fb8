"""Code beside the configurations asks for what they declare: the pipeline, its options, the probes, the backend."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import model_config_pb2

import options
from fashioncrop import AnalyzeOptions, _client
from fashioncrop._embedded import control
from fashioncrop.model_repository import PIPELINE, Role, read_config, shipped_repository
from fashioncrop.settings import Settings
from pipeline import EMBED_BATCH, FashionPipeline

REPOSITORY = shipped_repository()
PIPELINE_CODE = REPOSITORY / PIPELINE / "1"
BACKENDS = Path(control.__file__).parent / "backends"
FOLDERS = sorted(path.parent.name for path in REPOSITORY.glob("*/config.pbtxt"))
NO_OPTIONS = {"image", "texts"}
"""Inputs that are no option of an analysis: what a request is about."""
DEFAULTS = {
    "score_threshold": options.DEFAULT_SCORE_THRESHOLD,
    "iou_threshold": options.DEFAULT_IOU_THRESHOLD,
    "crop_padding": options.DEFAULT_CROP_PADDING,
    "max_garments": options.DEFAULT_MAX_GARMENTS,
}


def datatype(data_type: int) -> str:
    """As it is called in a request."""
    name: str = model_config_pb2.DataType.Name(data_type).removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name


def load_session_settings() -> Any:  # noqa: ANN401 - a module
    spec = importlib.util.spec_from_file_location("settings_of_backend", BACKENDS / "onnxruntime/session_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_triton_hands_it_over(model: str) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - comes with tritonclient

    return MessageToDict(read_config(REPOSITORY, model), preserving_proto_field_name=True)


def test_the_repository_holds_the_models_that_the_package_knows_and_no_other() -> None:
    assert sorted([*Role, PIPELINE]) == FOLDERS
    assert sorted(path.name for path in REPOSITORY.iterdir() if path.is_dir()) == FOLDERS


@pytest.mark.parametrize("model", FOLDERS)
def test_every_tensor_is_declared_once_and_completely(model: str) -> None:
    config = read_config(REPOSITORY, model)
    assert config.name == model
    assert config.default_model_filename
    for declared in (config.input, config.output):
        names = [tensor.name for tensor in declared]
        assert len(set(names)) == len(names) > 0
        for tensor in declared:
            assert datatype(tensor.data_type) != "INVALID"
            assert tensor.dims
            assert all(dim == -1 or dim > 0 for dim in tensor.dims)


def test_the_pipeline_is_one_process_without_a_gpu_and_takes_one_photo_a_request() -> None:
    config = read_config(REPOSITORY, PIPELINE)
    assert config.backend == "python"
    assert (PIPELINE_CODE / config.default_model_filename).is_file()
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    (group,) = config.instance_group
    assert (group.count, group.kind) == (1, model_config_pb2.ModelInstanceGroup.KIND_CPU)
    assert all(tensor.optional for tensor in config.input), "a photo or texts, and every option has a default"


def test_the_pipelines_parameters_are_those_that_it_reads() -> None:
    tree = ast.parse((PIPELINE_CODE / "model.py").read_text(encoding="utf-8"))
    read = {
        node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "parameters"
        and isinstance(node.slice, ast.Constant)
    }
    parameters = read_config(REPOSITORY, PIPELINE).parameters
    assert read == set(parameters)
    assert all(int(parameters[name].string_value) > 0 for name in parameters)
    assert int(parameters["max_in_flight"].string_value) >= int(parameters["workers"].string_value)


@pytest.mark.parametrize("role", Role)
def test_the_python_based_backend_takes_every_parameter(role: Role) -> None:
    settings = load_session_settings()
    config = as_triton_hands_it_over(role)
    assert config["parameters"]
    options = settings.session_options(config)
    assert options.intra_op_num_threads == 0
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0", "models share the cores"
    settings.run_options(config)
    assert settings.providers(config)[-1] == "CPUExecutionProvider"


@pytest.mark.parametrize("role", Role)
def test_models_of_one_backend_have_a_folder_for_it(role: Role) -> None:
    assert (BACKENDS / read_config(REPOSITORY, role).backend / "model.py").is_file()


@pytest.mark.parametrize("role", [Role.GARMENT_DETECTOR, Role.DEPTH_ESTIMATOR])
def test_models_of_free_sizes_keep_no_memory_for_each(role: Role) -> None:
    settings, config = load_session_settings(), as_triton_hands_it_over(role)
    assert settings.session_options(config).enable_cpu_mem_arena
    assert not settings.session_options(config).enable_mem_pattern
    shrunk = settings.run_options(config).get_run_config_entry("memory.enable_memory_arena_shrinkage")
    assert shrunk == "cpu:0"


@pytest.mark.parametrize("role", [Role.IMAGE_EMBEDDER, Role.TEXT_EMBEDDER])
def test_a_stack_of_crops_or_texts_is_what_the_embedder_takes(role: Role) -> None:
    assert read_config(REPOSITORY, role).max_batch_size == EMBED_BATCH


def test_the_pipelines_embeddings_are_as_wide_as_the_embedders() -> None:
    widths = {
        role: {tensor.name: list(tensor.dims) for tensor in read_config(REPOSITORY, role).output}
        for role in (PIPELINE, Role.IMAGE_EMBEDDER, Role.TEXT_EMBEDDER)
    }
    assert widths[Role.IMAGE_EMBEDDER]["embedding"] == widths[Role.TEXT_EMBEDDER]["embedding"]
    for name in ("embeddings", "text_embeddings"):
        assert widths[PIPELINE][name] == [-1, *widths[Role.IMAGE_EMBEDDER]["embedding"]]


def test_the_pipeline_asks_models_for_tensors_that_they_have() -> None:
    calls = []
    for node in ast.walk(ast.parse(inspect.getsource(inspect.getmodule(FashionPipeline)))):  # type: ignore[arg-type]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_call":
            model, inputs, outputs = node.args
            assert isinstance(model, ast.Constant)
            assert isinstance(inputs, ast.Dict)
            calls.append(str(model.value))
            config = read_config(REPOSITORY, str(model.value))
            sent = {key.value for key in inputs.keys if isinstance(key, ast.Constant)}
            asked = {each.value for each in ast.walk(outputs) if isinstance(each, ast.Constant)}
            assert sent, model.value
            assert sent <= {tensor.name for tensor in config.input}, model.value
            assert asked <= {tensor.name for tensor in config.output}, model.value
    assert sorted(calls) == sorted(Role)


def test_the_client_has_an_option_for_every_other_input() -> None:
    config = read_config(REPOSITORY, PIPELINE)
    about_outputs = {"crops", "embeddings"}
    assert about_outputs <= {tensor.name for tensor in config.output}
    assert set(AnalyzeOptions.__annotations__) - about_outputs == {tensor.name for tensor in config.input} - NO_OPTIONS


def test_the_client_sends_the_types_that_the_pipeline_takes() -> None:
    from tritonclient.utils import np_to_triton_dtype  # noqa: PLC0415 - beside the only test that needs it

    declared = {tensor.name: datatype(tensor.data_type) for tensor in read_config(REPOSITORY, PIPELINE).input}
    tensors = _client._option_tensors(
        {
            "vocabulary": ["hat"],
            "boxes_xyxy": [[0, 0, 1, 1]],
            "box_phrases": ["hat"],
            "box_scores": [1],
            "score_threshold": 1,
            "iou_threshold": 1,
            "crop_padding": 1,
            "max_garments": 1,
        }
    )
    assert {name: np_to_triton_dtype(array.dtype) for name, array in tensors.items()} == {
        name: declared[name] for name in declared if name not in NO_OPTIONS
    }


def test_defaults_are_told_as_they_are() -> None:
    text = (REPOSITORY / PIPELINE / "config.pbtxt").read_text(encoding="utf-8")
    for name, default in DEFAULTS.items():
        (comment,) = re.findall(rf'((?:\s*#.*\n)+)\s*name: "{name}"\n', text)
        assert f"Without it: {default:g}" in re.sub(r"\s*#\s*", " ", comment), name
        (words,) = re.findall(rf"^ +{name}: (.*)$", str(AnalyzeOptions.__doc__), re.MULTILINE)
        assert words.endswith(f"; {default:g}."), name
        parameter = "threshold" if name == "score_threshold" else name
        assert str(Settings.model_fields[parameter].description).endswith(f"the server's own, {default:g}."), name
    assert f"1 to {options.MOST_GARMENTS}" in text


@pytest.mark.parametrize("model", [*Role, PIPELINE])
def test_a_probe_is_a_request_that_the_model_takes(model: str) -> None:
    config = read_config(REPOSITORY, model)
    declared = {tensor.name: tensor for tensor in config.input}
    inputs, outputs = control._PROBES[model]()
    names = [tensor.name() for tensor in inputs]
    assert len(set(names)) == len(names)
    assert {tensor.name for tensor in config.input if not tensor.optional} <= set(names) <= set(declared)
    for tensor in inputs:
        entry, shape = declared[tensor.name()], list(tensor.shape())
        assert tensor.datatype() == datatype(entry.data_type), tensor.name()
        if config.max_batch_size:
            assert shape.pop(0) == 1, tensor.name()
        assert len(shape) == len(entry.dims), tensor.name()
        assert all(dim in (-1, side) for dim, side in zip(entry.dims, shape, strict=True)), tensor.name()
    assert {output.name() for output in outputs} <= {tensor.name for tensor in config.output}
    assert len(outputs) == 1


def test_every_model_has_a_probe() -> None:
    assert set(control._PROBES) == {*Role, PIPELINE}
