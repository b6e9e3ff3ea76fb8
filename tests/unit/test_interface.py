"""What differs between a graph and its config.pbtxt is told at load, by the native backend's rules."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import fashioncrop


@dataclass
class Tensor:
    """What is used of onnxruntime's `NodeArg`."""

    name: str
    type: str
    shape: list[int | str | None]


@dataclass
class Differences:
    """`differences` for a model of one input and one output, of which a test changes one thing."""

    function: Callable[[dict[str, Any], list[Tensor], list[Tensor]], list[str]]

    def __call__(
        self,
        kind: str,
        declared: dict[str, Any] | None = None,
        graph: Tensor | None = None,
        max_batch_size: int = 4,
    ) -> list[str]:
        batch: list[int | str | None] = ["batch"] if max_batch_size else []
        config: dict[str, Any] = {"max_batch_size": max_batch_size}
        tensors = {}
        for one in ("input", "output"):
            config[one] = [entry(one) | ((declared or {}) if one == kind else {})]
            tensors[one] = [Tensor(f"the_{one}", "tensor(float)", [*batch, "height", 3])]
        if graph is not None:
            tensors[kind] = [graph]
        return self.function(config, tensors["input"], tensors["output"])


def entry(kind: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"name": f"the_{kind}", "data_type": "TYPE_FP32", "dims": ["-1", "3"]} | changes


@pytest.fixture(scope="module")
def differences() -> Differences:
    """The backend's module, from its folder: it is Triton's layout, not a package."""
    path = Path(fashioncrop.__file__).parent / "_embedded" / "backends" / "onnxruntime" / "interface.py"
    spec = importlib.util.spec_from_file_location("onnxruntime_backend_interface", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Differences(module.differences)


KINDS = pytest.mark.parametrize("kind", ["input", "output"])


@KINDS
@pytest.mark.parametrize("max_batch_size", [0, 1, 4])
def test_a_graph_that_is_as_declared_has_no_difference(
    differences: Differences, kind: str, max_batch_size: int
) -> None:
    assert differences(kind, max_batch_size=max_batch_size) == []


@KINDS
def test_a_tensor_of_another_name_is_told_with_those_there_are(differences: Differences, kind: str) -> None:
    first, *rest = differences(kind, {"name": "pixels"})
    assert first == f"{kind} pixels is declared, but the graph has the_{kind}"
    # Every input must be fed; an output may be left out.
    assert rest == (["input the_input of the graph is not declared"] if kind == "input" else [])


@KINDS
def test_another_type_is_told(differences: Differences, kind: str) -> None:
    graph = Tensor(f"the_{kind}", "tensor(float16)", ["batch", "height", 3])
    assert differences(kind, graph=graph) == [
        f"{kind} the_{kind} is declared TYPE_FP32, but the graph has tensor(float16)"
    ]
    assert differences(kind, {"data_type": "TYPE_FP16"}, graph) == []
    assert differences(kind, {"data_type": "TYPE_BF16"}, graph), "a type that is in no table"


@pytest.mark.parametrize(
    ("declared", "graph"),
    [
        ("BOOL", "bool"),
        ("UINT8", "uint8"),
        ("INT32", "int32"),
        ("INT64", "int64"),
        ("FP64", "double"),
        ("STRING", "string"),
    ],
)
def test_types_have_two_names(differences: Differences, declared: str, graph: str) -> None:
    tensor = Tensor("the_input", f"tensor({graph})", ["batch", "height", 3])
    assert differences("input", {"data_type": f"TYPE_{declared}"}, tensor) == []


@KINDS
@pytest.mark.parametrize("shape", [["batch", 3], ["batch", "height", 3, 1], ["batch"]])
def test_another_rank_is_told(differences: Differences, kind: str, shape: list[int | str | None]) -> None:
    (words,) = differences(kind, graph=Tensor(f"the_{kind}", "tensor(float)", shape))
    assert "is declared [-1, -1, 3], but the graph has [-1" in words


@KINDS
def test_a_dimension_that_the_graph_fixes_must_be_declared_so(differences: Differences, kind: str) -> None:
    fixed = Tensor(f"the_{kind}", "tensor(float)", ["batch", 7, 3])
    assert differences(kind, {"dims": ["7", "3"]}, fixed) == []
    assert differences(kind, {"dims": ["8", "3"]}, fixed) == [
        f"{kind} the_{kind} is declared [-1, 8, 3], but the graph has [-1, 7, 3]"
    ]
    assert differences(kind, {"dims": ["-1", "3"]}, fixed), "free is not fixed"


def test_an_input_may_be_declared_narrower_than_the_graph_but_an_output_not(differences: Differences) -> None:
    assert differences("input", {"dims": ["7", "3"]}) == []
    assert differences("output", {"dims": ["7", "3"]}) == [
        "output the_output is declared [-1, 7, 3], but the graph has [-1, -1, 3]"
    ]


@KINDS
@pytest.mark.parametrize("shape", [[1, "height", 3], [], [4, "height", 3]])
def test_a_batch_needs_a_free_first_axis(differences: Differences, kind: str, shape: list[int | str | None]) -> None:
    (words,) = differences(kind, graph=Tensor(f"the_{kind}", "tensor(float)", shape))
    assert words.startswith(f"{kind} the_{kind} must begin with a free batch axis")
    assert words.endswith(str([-1 if side == "height" else side for side in shape]))


@KINDS
def test_an_axis_without_a_name_is_free_too(differences: Differences, kind: str) -> None:
    assert differences(kind, graph=Tensor(f"the_{kind}", "tensor(float)", [None, None, 3])) == []


@KINDS
def test_without_batching_dims_are_the_whole_shape(differences: Differences, kind: str) -> None:
    whole = Tensor(f"the_{kind}", "tensor(float)", [1, "height", 3])
    assert differences(kind, {"dims": ["1", "-1", "3"]}, whole, max_batch_size=0) == []
    assert differences(kind, {"dims": ["-1", "3"]}, whole, max_batch_size=0) == [
        f"{kind} the_{kind} is declared [-1, 3], but the graph has [1, -1, 3]"
    ]


@KINDS
def test_a_reshape_is_what_the_graph_must_have(differences: Differences, kind: str) -> None:
    reshaped = {"dims": ["1"], "reshape": {"shape": []}}
    assert differences(kind, reshaped, Tensor(f"the_{kind}", "tensor(float)", ["batch"])) == []
    assert differences(kind, reshaped, Tensor(f"the_{kind}", "tensor(float)", ["batch", 1]))


def test_an_undeclared_output_is_nobodys_concern_but_an_undeclared_input_is(differences: Differences) -> None:
    config = {"max_batch_size": 0, "input": [], "output": []}
    graph = [Tensor("mask", "tensor(bool)", ["tokens"]), Tensor("ids", "tensor(int64)", ["tokens"])]
    assert differences.function(config, graph, graph) == [
        "input ids of the graph is not declared",
        "input mask of the graph is not declared",
    ]
    assert differences.function(config, [], graph) == []


def test_all_differences_are_told_at_once(differences: Differences) -> None:
    config = {
        "max_batch_size": 0,
        "input": [entry("input"), entry("input", name="second", data_type="TYPE_BOOL")],
        "output": [entry("output", dims=["9"])],
    }
    found = differences.function(
        config, [Tensor("second", "tensor(float)", ["n", 3])], [Tensor("the_output", "tensor(float)", ["n"])]
    )
    assert [words.split(" is ")[0] for words in found] == ["input the_input", "input second", "output the_output"]
