"""Every kind of difference between a graph and what it should be is found, and all of them are told at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from google.protobuf import text_format
from torch import Tensor, nn
from tritonclient.grpc import model_config_pb2

from fashioncrop.model_repository import Role
from fashioncrop_export.errors import Difference, ParityError
from fashioncrop_export.graph_plan import Array, Arrays, Case, GraphPlan, Tolerance
from fashioncrop_export.onnx_graph import clean, opset_of, trace
from fashioncrop_export.validation import validate

pytestmark = pytest.mark.export

CONFIG = """
name: "text_embedder" backend: "onnxruntime" max_batch_size: 4
input [ { name: "values" data_type: TYPE_FP32 dims: [ -1, 3 ] } ]
output [
  { name: "doubled" data_type: TYPE_FP32 dims: [ -1, 3 ] },
  { name: "is_positive" data_type: TYPE_BOOL dims: [ -1, 3 ] }
]
"""


class Doubler(nn.Module):
    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return values * 2, values > 0


def reference(case: Case, _pinned: Array | None) -> Arrays:
    values = case.feed["values"]
    return {"doubled": values * 2, "is_positive": values > 0}


def make_plan() -> GraphPlan:
    axes = ("batch", "rows", 3)
    values = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    return GraphPlan(
        role=Role.TEXT_EMBEDDER,
        module=Doubler(),
        example={"values": torch.zeros(1, 4, 3)},
        inputs={"values": axes},
        outputs={"doubled": axes, "is_positive": axes},
        cases=(Case("two rows of five", {"values": values}),),
        reference=reference,
        tolerances={"doubled": Tolerance(relative=1e-6)},
    )


def written(plan: GraphPlan, folder: Path) -> Path:
    model = trace(plan)
    clean(plan, model)
    path = folder / "model.onnx"
    onnx.save(model, str(path))
    return path


def parsed(config: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(config, model_config_pb2.ModelConfig())


def differences(plan: GraphPlan, folder: Path, config: str = CONFIG) -> list[Difference]:
    with pytest.raises(ParityError) as caught:
        validate(plan, written(plan, folder), parsed(config))
    return list(caught.value.differences)


def test_a_right_graph_passes_and_its_figures_are_told(tmp_path: Path) -> None:
    plan = make_plan()
    figures = validate(plan, written(plan, tmp_path), parsed(CONFIG))
    assert [(figure.case, figure.tensor, figure.relative) for figure in figures] == [
        ("two rows of five", "doubled", 0.0),
        ("two rows of five", "is_positive", 0.0),
    ]


CONFIG_FAULTS = {
    "output name": (
        ('"doubled"', '"twice"'),
        [
            Difference("text_embedder", "twice", "a tensor of this name", "none"),
            Difference("text_embedder", "doubled", "no such tensor", "one"),
        ],
    ),
    "input name": (
        ('"values"', '"numbers"'),
        [
            Difference("text_embedder", "numbers", "a tensor of this name", "none"),
            Difference("text_embedder", "values", "no such tensor", "one"),
        ],
    ),
    "type": (
        ("TYPE_BOOL", "TYPE_INT64"),
        [Difference("text_embedder", "is_positive", "TYPE_INT64", "TYPE_BOOL")],
    ),
    "free where fixed": (
        ('"doubled" data_type: TYPE_FP32 dims: [ -1, 3 ]', '"doubled" data_type: TYPE_FP32 dims: [ 5, 3 ]'),
        [Difference("text_embedder", "doubled", "axis 1 fixed at 5", "free (rows)")],
    ),
    "fixed where free": (
        ('"doubled" data_type: TYPE_FP32 dims: [ -1, 3 ]', '"doubled" data_type: TYPE_FP32 dims: [ -1, -1 ]'),
        [Difference("text_embedder", "doubled", "axis 2 free", "fixed at 3")],
    ),
    "size": (
        ('"doubled" data_type: TYPE_FP32 dims: [ -1, 3 ]', '"doubled" data_type: TYPE_FP32 dims: [ -1, 4 ]'),
        [Difference("text_embedder", "doubled", "axis 2 of 4", "3")],
    ),
    "rank": (
        ('"doubled" data_type: TYPE_FP32 dims: [ -1, 3 ]', '"doubled" data_type: TYPE_FP32 dims: [ 3 ]'),
        [Difference("text_embedder", "doubled", "2 axes [-1, 3]", "3 axes ['batch', 'rows', 3]")],
    ),
}


@pytest.mark.parametrize("fault", CONFIG_FAULTS)
def test_each_fault_of_a_configuration_is_named(tmp_path: Path, fault: str) -> None:
    (old, new), expected = CONFIG_FAULTS[fault]
    assert old in CONFIG
    assert differences(make_plan(), tmp_path, CONFIG.replace(old, new)) == expected


def test_a_fixed_batch_is_named(tmp_path: Path) -> None:
    axes = (1, "rows", 3)
    plan = replace(make_plan(), inputs={"values": axes}, outputs={"doubled": axes, "is_positive": axes})
    plan = replace(plan, cases=(Case("one", {"values": np.ones((1, 2, 3), np.float32)}),))
    wanted = ["values", "doubled", "is_positive"]
    assert differences(plan, tmp_path) == [
        Difference("text_embedder", name, "a free batch axis", "fixed at 1") for name in wanted
    ]


def value_faults() -> dict[str, Callable[[Arrays], Arrays]]:
    return {
        "value": lambda arrays: {**arrays, "doubled": arrays["doubled"] * 1.001},
        "nan": lambda arrays: {**arrays, "doubled": arrays["doubled"] * np.float32("nan")},
        "flag": lambda arrays: {**arrays, "is_positive": ~arrays["is_positive"]},
        "shape": lambda arrays: {**arrays, "doubled": arrays["doubled"][:1]},
        "dtype": lambda arrays: {**arrays, "doubled": arrays["doubled"].astype(np.float64)},
    }


@pytest.mark.parametrize("fault", value_faults())
def test_each_fault_of_a_value_is_named(tmp_path: Path, fault: str) -> None:
    change = value_faults()[fault]
    plan = replace(make_plan(), reference=lambda case, pinned: change(reference(case, pinned)))
    (difference,) = differences(plan, tmp_path)
    assert difference.model == "text_embedder"
    assert difference.tensor == ("is_positive" if fault == "flag" else "doubled")


def test_all_differences_are_told_together_and_in_order(tmp_path: Path) -> None:
    config = CONFIG.replace("TYPE_BOOL", "TYPE_UINT8").replace(
        "TYPE_FP32 dims: [ -1, 3 ] },\n  {", "TYPE_FP32 dims: [ -1, 4 ] },\n  {"
    )
    plan = replace(make_plan(), reference=lambda case, pinned: value_faults()["value"](reference(case, pinned)))
    found = differences(plan, tmp_path, config)
    assert [difference.expected.split(" of ")[0] for difference in found] == [
        "axis 2",
        "TYPE_UINT8",
        "values within 1e-06",
    ]
    lines = str(ParityError(found)).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("text_embedder.") for line in lines)


class Finder(nn.Module):
    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return values.nonzero(), values > 0


def test_forbidden_operators_are_refused() -> None:
    plan = replace(make_plan(), module=Finder())
    with pytest.raises(ParityError, match="expected no NonZero operator, got 1"):
        clean(plan, trace(plan))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: setattr(model, "ir_version", 11), "IR version at most 10, got 11"),
        (lambda model: setattr(model.opset_import[0], "version", 22), "opset at most 21, got 22"),
    ],
)
def test_formats_that_older_servers_cannot_read_are_refused(
    change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    plan = make_plan()
    model = trace(plan)
    change(model)
    with pytest.raises(ParityError, match=message):
        clean(plan, model)


def test_where_a_graph_was_made_is_not_in_the_file() -> None:
    plan = make_plan()
    model = trace(plan)
    for holder in (model, model.graph, model.graph.node[0], model.graph.input[0]):
        holder.doc_string = "/home/somebody/model.py"
    for properties in (model.metadata_props, model.graph.node[0].metadata_props):
        properties.add(key="stack_trace", value="/home/somebody/model.py")
    assert b"somebody" in model.SerializeToString()
    clean(plan, model)
    assert b"somebody" not in model.SerializeToString()
    assert (opset_of(model), model.ir_version) == (20, 9)
