"""Each `config.pbtxt` says everything itself, and the exported graph is what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tritonclient.grpc import model_config_pb2

from fashioncrop.model_repository import PIPELINE, Role, engine_folder, read_config, shipped_repository

WIDTHS = {"text_features": 256, "embedding": 512, "embeddings": 512, "boxes_cxcywh": 4, "image": 3}


KIND_CPU = model_config_pb2.ModelInstanceGroup.KIND_CPU


def config_of(role: Role) -> model_config_pb2.ModelConfig:
    return read_config(shipped_repository(), role)


@pytest.mark.parametrize("role", Role)
def test_a_configuration_leaves_nothing_for_a_server_to_fill_in(role: Role) -> None:
    config = config_of(role)
    assert config.name == role.value
    assert config.backend == "onnxruntime"
    assert config.platform == ""
    assert config.default_model_filename == "model.onnx"
    assert config.max_batch_size > 0
    assert [(group.count, group.kind) for group in config.instance_group] == [(1, 0)]  # one, KIND_AUTO
    for tensor in (*config.input, *config.output):
        assert tensor.name
        assert tensor.data_type != 0  # TYPE_INVALID
        assert tensor.dims
        assert all(dim == -1 or dim > 0 for dim in tensor.dims)
    assert config.input
    assert config.output


@pytest.mark.parametrize("role", Role)
def test_threads_are_set_so_that_servers_agree(role: Role) -> None:
    parameters = {key: value.string_value for key, value in config_of(role).parameters.items()}
    assert parameters["intra_op_thread_count"] == "0"
    assert parameters["inter_op_thread_count"] == "1"


def test_the_detector_is_never_batched_by_the_server() -> None:
    # Another batch size swaps near-ties in the two-stage top-k: a photo's answer would depend on who else asks.
    assert not config_of(Role.GARMENT_DETECTOR).HasField("dynamic_batching")


@pytest.mark.parametrize("role", [*Role, PIPELINE])
def test_widths_that_several_models_share_are_the_same_everywhere(role: str) -> None:
    config = read_config(shipped_repository(), role)
    seen = {tensor.name: tensor.dims[-1] for tensor in (*config.input, *config.output) if tensor.name in WIDTHS}
    if role == PIPELINE:
        seen.pop("image")  # the file as it was uploaded
    assert seen == {name: WIDTHS[name] for name in seen}
    assert seen


def test_the_detector_takes_what_the_vocabulary_encoder_gives() -> None:
    given = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in config_of(Role.VOCABULARY_ENCODER).output}
    taken = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in config_of(Role.GARMENT_DETECTOR).input}
    assert taken.pop("image")
    assert taken == given


INT8_ROLES = [role for role in Role if (shipped_repository() / role / "configs" / "int8.pbtxt").is_file()]


@pytest.mark.parametrize("role", INT8_ROLES)
def test_the_int8_configuration_differs_in_its_engine_and_stays_off_the_gpu(role: Role) -> None:
    usual, int8 = config_of(role), read_config(shipped_repository(), role, "int8")
    assert int8.default_model_filename == "model.int8.onnx"
    assert [(group.count, group.kind) for group in int8.instance_group] == [(1, KIND_CPU)]
    int8.default_model_filename = usual.default_model_filename
    int8.instance_group[0].kind = usual.instance_group[0].kind
    assert int8 == usual


def test_the_text_of_a_detector_is_encoded_in_full_precision() -> None:
    # Once for a vocabulary, not for a photo: nothing is gained.
    assert set(INT8_ROLES) == set(Role) - {Role.VOCABULARY_ENCODER}


@pytest.mark.export
@pytest.mark.parametrize("role", Role)
def test_the_exported_graph_is_what_the_configuration_declares(tiny_repository: Path, role: Role) -> None:
    import onnxruntime  # noqa: PLC0415 - comes with the extra `export`

    from fashioncrop_export.interface import interface_differences  # noqa: PLC0415

    path = engine_folder(tiny_repository, role) / "model.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert interface_differences(session, config_of(role)) == []
    # The same rule can see a difference.
    changed = config_of(role)
    changed.output[0].dims[-1] = 7
    assert interface_differences(session, changed) != []
