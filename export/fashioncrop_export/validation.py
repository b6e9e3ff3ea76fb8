"""Compares a finished graph with its configuration and with the original model, and reports every difference."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from tritonclient.grpc import model_config_pb2

from fashioncrop_export.errors import Difference, ParityError
from fashioncrop_export.graph_plan import OWN_SCORES, PINNED_SCORES, Array, Case, GraphPlan, Pin
from fashioncrop_export.interface import interface_differences, tensor_names_match


@dataclass(frozen=True)
class ParityFigure:
    """How close one output was in one case.

    Attributes:
        case: the case's name.
        tensor: the output.
        max_abs: largest difference.
        relative: `max_abs` as a share of the largest magnitude that the original computes.
        tolerance: what `relative` may be.
        scale: that largest magnitude.
        agreement: with a pinned choice, the share of rows (queries) that agree within the tolerance when graph and
            original each make their own choice; None elsewhere.
    """

    case: str
    tensor: str
    max_abs: float
    relative: float
    tolerance: float
    scale: float
    agreement: float | None = None

    def to_json(self) -> dict[str, Any]:
        """For `model.json`, without what does not apply."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def validate(plan: GraphPlan, path: Path, config: model_config_pb2.ModelConfig) -> list[ParityFigure]:
    """Check names, axes, shapes and types against the configuration, then values against the original.

    Raises:
        ParityError: with all differences.
    """
    session = _session(str(path))
    differences = interface_differences(session, config)
    figures: list[ParityFigure] = []
    # With a tensor missing nothing can be run; every other difference leaves the values comparable.
    if tensor_names_match(plan, session):
        if plan.pin is not None:
            session = session_with_pin(path, plan.pin)
        for case in plan.cases:
            case_figures, case_differences = _compare(plan, session, case)
            figures.extend(case_figures)
            differences.extend(case_differences)
    if differences:
        raise ParityError(differences)
    return figures


def _session(model: str | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warnings say which initialisers were unused or folded
    # Threads that spin while they wait take the cores from the original that runs in between.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


_PINNED = "pinned_choice"


def session_with_pin(path: Path, pin: Pin) -> onnxruntime.InferenceSession:
    """The same graph with the pinned node's choice as one more output."""
    model = onnx.load(str(path))
    (node,) = (node for node in model.graph.node if node.op_type == pin.op_type)
    model.graph.node.append(onnx.helper.make_node("Identity", [node.output[pin.output]], [_PINNED]))
    model.graph.output.append(onnx.helper.make_tensor_value_info(_PINNED, onnx.TensorProto.INT64, None))
    return _session(model.SerializeToString())


def _compare(
    plan: GraphPlan, session: onnxruntime.InferenceSession, case: Case
) -> tuple[list[ParityFigure], list[Difference]]:
    answers: dict[str, Array] = dict(
        zip([output.name for output in session.get_outputs()], session.run(None, dict(case.feed)), strict=True)
    )
    pinned = answers.get(_PINNED)
    expected = plan.reference(case, pinned)
    figures, differences = [], []
    for name in plan.outputs:
        want, got = expected[name], answers[name]
        if want.shape != got.shape or want.dtype != got.dtype:
            wanted, found = f"{want.dtype}{list(want.shape)}", f"{got.dtype}{list(got.shape)}"
            differences.append(Difference(plan.role.value, name, wanted, found))
            continue
        tolerance = plan.tolerances[name].relative if name in plan.tolerances else 0.0
        figures.append(_figure(case, name, want, got, tolerance, masked=plan.masked.get(name)))
    if plan.pin is not None and pinned is not None:
        free = plan.reference(case, None)
        figures = [_with_agreement(figure, free[figure.tensor], answers[figure.tensor]) for figure in figures]
        own, chosen = expected[OWN_SCORES], expected[PINNED_SCORES]
        figures.append(_figure(case, f"{plan.pin.op_type} scores", own, chosen, plan.pin.tolerance.relative))
    # A NaN is not within any tolerance either.
    beyond = [figure for figure in figures if not figure.relative <= figure.tolerance]
    differences.extend(
        Difference(
            plan.role.value,
            figure.tensor,
            f"values within {figure.tolerance:g} of the original's ({figure.case})",
            f"a difference of {figure.relative:.2g} ({figure.max_abs:.3g} absolute)",
        )
        for figure in beyond
    )
    return figures, differences


def _figure(
    case: Case, name: str, want: Array, got: Array, tolerance: float, *, masked: float | None = None
) -> ParityFigure:
    want64, got64 = want.astype(np.float64), got.astype(np.float64)
    magnitudes = np.abs(want64) if masked is None else np.abs(want64[want != masked])
    max_abs, scale = float(np.abs(want64 - got64).max()), float(magnitudes.max(initial=0.0))
    return ParityFigure(case.name, name, max_abs, max_abs / scale if scale else max_abs, tolerance, scale)


def _with_agreement(figure: ParityFigure, want: Array, got: Array) -> ParityFigure:
    """Add the share of rows (all axes but the last) whose values are all within the tolerance."""
    within = np.abs(want.astype(np.float64) - got) <= figure.tolerance * figure.scale
    return replace(figure, agreement=float(within.all(axis=-1).mean()))
