"""Optimisation profiles: for which shapes an engine is built, from what the configuration declares and export found.

An axis has a smallest, a usual and a largest length. What is free in `config.pbtxt` is bounded here by the model's own
preprocessing (how photos are resized, how many tokens a text may have), and the batch by `max_batch_size`. A shape
outside is refused by the engine with an error; ONNX Runtime, whose graphs take any, serves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from tritonclient.grpc import model_config_pb2

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import Role

Lengths = tuple[int, int, int]
"""Smallest, usual and largest."""
# A photo that is thinner than this on the detector's scale is not what anybody's garment is in.
_THINNEST_PX = 64
_USUAL_TOKENS = 80  # the default vocabulary
_MOST_TOKENS = 256  # `max_text_len` of every GroundingDINO
_SHORTEST_TEXT = 3  # [CLS] . [SEP]
_USUAL_SENTENCE = 16
_SHORTEST_SENTENCE = 2
_USUAL_ASPECT = 4 / 3
# `resizing.MAX_DEPTH_ASPECT` in the pipeline.
_LONGEST_DEPTH = 4


@dataclass(frozen=True)
class Profile:
    """One range of shapes.

    Attributes:
        shapes: by input: smallest, usual and largest shape, batch first.
    """

    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]

    def to_json(self) -> dict[str, list[list[int]]]:
        """For the fingerprint."""
        return {name: [list(shape) for shape in three] for name, three in self.shapes.items()}


def profiles_of(
    model: onnx.ModelProto, role: Role, config: model_config_pb2.ModelConfig, preprocessing: Mapping[str, Any]
) -> list[Profile]:
    """The profiles to build for.

    Args:
        model: the graph; its inputs name their free axes.
        role: what it is.
        config: its configuration.
        preprocessing: of its `model.json`.

    Raises:
        ModelFileError: graph and configuration name different inputs, or an axis has no known bounds.
    """
    declared = {entry.name: list(entry.dims) for entry in config.input}
    axes = {value.name: _axes(value) for value in model.graph.input}
    if set(declared) != set(axes) or any(len(axes[name]) != len(dims) + 1 for name, dims in declared.items()):
        raise ModelFileError(
            f"{role}: the graph's inputs {sorted(axes)} are not those of its configuration, {sorted(declared)}. Run: "
            "fashioncrop-export --force"
        )
    return [_profile(role, axes, lengths) for lengths in _lengths(role, config.max_batch_size, preprocessing)]


def _axes(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_param or int(dim.dim_value) for dim in value.type.tensor_type.shape.dim]


def _profile(role: Role, axes: Mapping[str, Sequence[str | int]], lengths: Mapping[str, Lengths]) -> Profile:
    shapes = {}
    for name, of_input in axes.items():
        unknown = [axis for axis in of_input if isinstance(axis, str) and axis not in lengths]
        if unknown:
            raise ModelFileError(f"{role}.{name}: nobody knows how long its free axes {', '.join(unknown)} may be.")
        three = [lengths[axis] if isinstance(axis, str) else (axis, axis, axis) for axis in of_input]
        low, usual, high = (tuple(length[place] for length in three) for place in range(3))
        shapes[name] = (low, usual, high)
    return Profile(shapes)


def _lengths(role: Role, max_batch: int, preprocessing: Mapping[str, Any]) -> list[dict[str, Lengths]]:
    """Bounds of the free axes, a dictionary a profile.

    Photos lie or stand: one profile for both would have to be built for squares of the longest side, which no photo
    is resized to, with several times the memory.
    """
    batch = {"batch": (1, 1, max_batch)}
    if role is Role.VOCABULARY_ENCODER:
        longest = int(preprocessing["max_tokens"])
        return [{**batch, "tokens": (_SHORTEST_TEXT, min(_USUAL_TOKENS, longest), longest)}]
    if role is Role.TEXT_EMBEDDER:
        longest = int(preprocessing["max_tokens"])
        return [{**batch, "tokens": (_SHORTEST_SENTENCE, min(_USUAL_SENTENCE, longest), longest)}]
    if role is Role.IMAGE_EMBEDDER:
        # A photo's garments come as one stacked request.
        return [{"batch": (1, max(1, max_batch // 2), max_batch)}]
    if role is Role.GARMENT_DETECTOR:
        short, long = int(preprocessing["shortest_edge"]), int(preprocessing["longest_edge"])
        shorter = (min(_THINNEST_PX, short), short, short)
        longer = (min(_THINNEST_PX, short), min(round(short * _USUAL_ASPECT), long), long)
        tokens = {"tokens": (_SHORTEST_TEXT, _USUAL_TOKENS, _MOST_TOKENS)}
        return [{**batch, **tokens, **sides} for sides in _lying_and_standing(shorter, longer)]
    step, side = int(preprocessing["multiple_of"]), max(int(preprocessing["height"]), int(preprocessing["width"]))
    shorter = (step, side, side)
    longer = (step, round(side * _USUAL_ASPECT / step) * step, _LONGEST_DEPTH * side // step * step)
    return [{**batch, **sides} for sides in _lying_and_standing(shorter, longer)]


def _lying_and_standing(shorter: Lengths, longer: Lengths) -> list[dict[str, Lengths]]:
    return [{"height": shorter, "width": longer}, {"height": longer, "width": shorter}]
