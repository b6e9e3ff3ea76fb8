"""What is needed to turn one model into a graph and to prove that the graph is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from fashioncrop.model_repository import Role

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]
# A name is a free (symbolic) axis, a number a fixed one.
Axes: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Tolerance:
    """How far a graph's values may be from the original's.

    Attributes:
        relative: largest difference as a share of the largest magnitude the original computes (of values that are not
            masked); exact types (integers, booleans) must be equal.
    """

    relative: float


@dataclass(frozen=True)
class Case:
    """One input that the graph was not traced with.

    Attributes:
        name: what is special about it, for the report: shape, batch, text.
        feed: the graph's inputs by name.
        hidden: what only the original needs (token ids instead of text features, for one).
    """

    name: str
    feed: Arrays
    hidden: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Pin:
    """A choice inside the graph that the original is made to repeat, so that near-ties cannot decide a comparison.

    The choice itself is compared by what the original thinks of it: besides the outputs the reference returns the
    scores of what it was made to choose (`PINNED_SCORES`) and of what it would have chosen (`OWN_SCORES`).

    Attributes:
        op_type: the one node of this type in the graph.
        output: which of its outputs holds the choice.
        tolerance: how far the two may differ.
    """

    op_type: str
    output: int
    tolerance: Tolerance


PINNED_SCORES = "pinned_scores"
OWN_SCORES = "own_scores"


# The case and, where the plan has a pin, the graph's own choice (otherwise None): the original's outputs by name.
Reference: TypeAlias = Callable[[Case, Array | None], Arrays]


@dataclass(frozen=True)
class Quantisation:
    """How the model's int8 variant is made and held against the original.

    Attributes:
        exact: modules that keep their precision; see `quantisation.quantise`.
        tolerance: of every output, and of a pinned choice. Wide, because random weights amplify: it tells a model that
            is broken from one that is coarse. How coarse is what `fashioncrop-export verify` measures on photos.
    """

    tolerance: Tolerance
    exact: frozenset[str] = frozenset()


@dataclass(frozen=True)
class GraphPlan:
    """One model, ready to be exported and compared.

    Attributes:
        role: which of the repository's models this is.
        module: computes the outputs, in the order of `outputs`, from the inputs in the order of `example`.
        example: the inputs that are traced.
        inputs: every axis of every input.
        outputs: every axis of every output.
        cases: inputs to compare on; none has the traced shapes.
        reference: the original model, untouched.
        tolerances: by output name.
        pin: see `Pin`.
        masked: by output name, the value that stands where the original has minus infinity.
        forbidden_ops: operators the graph must not contain, beside control flow.
        quantisation: see `Quantisation`; None where the model has no int8 variant.
        preprocessing: what has to happen before the graph, for `model.json`.
    """

    role: Role
    module: nn.Module
    example: Mapping[str, Tensor]
    inputs: Mapping[str, Axes]
    outputs: Mapping[str, Axes]
    cases: tuple[Case, ...]
    reference: Reference
    tolerances: Mapping[str, Tolerance]
    pin: Pin | None = None
    masked: Mapping[str, float] = field(default_factory=dict)
    forbidden_ops: frozenset[str] = frozenset()
    quantisation: Quantisation | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)

    def quantised(self) -> GraphPlan:
        """The same plan with the tolerance of the int8 variant.

        Raises:
            ValueError: there is none.
        """
        if self.quantisation is None:
            raise ValueError(f"{self.role} has no int8 variant.")
        tolerance = self.quantisation.tolerance
        pin = None if self.pin is None else replace(self.pin, tolerance=tolerance)
        return replace(self, tolerances=dict.fromkeys(self.outputs, tolerance), pin=pin)


def noise_image(shape_bhw: tuple[int, int, int], *, seed: int) -> NDArray[np.uint8]:
    """Coloured blocks with noise on them, uint8 [batch, height, width, 3]: edges at many scales."""
    batch, height, width = shape_bhw
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 200, (batch, height // 16 + 1, width // 16 + 1, 3))
    image = np.kron(blocks, np.ones((1, 16, 16, 1), dtype=np.int64))[:, :height, :width]
    noisy: NDArray[np.uint8] = (image + generator.integers(0, 56, image.shape)).astype(np.uint8)
    return noisy
