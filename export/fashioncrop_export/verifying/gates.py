"""What each kind of engine must reach.

The bounds say what a user would not notice, not what is usual: an engine that is just inside is still sound. FP32 is
the same arithmetic in another order; int8 rounds weights to 256 levels; TensorRT computes parts in FP16 and, where a
GPU has it, the rest in TF32 (10 bits of mantissa).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from fashioncrop.model_repository import Role


class Engine(StrEnum):
    """A file that answers; the value is how the report calls it."""

    FP32 = "fp32"
    INT8 = "int8"
    MIXED = "mixed"
    TENSORRT = "tensorrt"


class Measure(StrEnum):
    """What is measured."""

    MASKS_EQUAL = "masks and positions equal"
    TEXT_COSINE = "text feature cosine, least"
    COSINE = "embedding cosine, least"
    MEAN_COSINE = "embedding cosine, mean"
    RANK_CORRELATION = "depth rank correlation, least"
    LOGITS = "logits, largest difference (pinned)"
    PINNED_FOUND = "queries found (pinned)"
    PINNED_IOU = "box IoU, least (pinned)"
    PINNED_SCORE = "score difference, largest (pinned)"
    PINNED_PHRASE = "phrase agreement (pinned)"
    FOUND = "garments found"
    SURPLUS = "garments too many"
    IOU = "box IoU, mean"
    LEAST_IOU = "box IoU, least"
    SCORE = "score difference, mean"
    PHRASE = "phrase agreement"
    AP = "AP, points"
    AP_DROP = "AP below the original, points"


@dataclass(frozen=True)
class Bound:
    """How good a value must be.

    Attributes:
        value: the limit itself is still good.
        at_least: whether larger is better.
    """

    value: float
    at_least: bool = True

    def holds(self, value: float) -> bool:
        """Whether a value is good enough; not-a-number never is."""
        return value >= self.value if self.at_least else value <= self.value

    def __str__(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.value:g}"


def _most(value: float) -> Bound:
    return Bound(value, at_least=False)


# On the original's own garments and choice of image tokens: the arithmetic alone. Also for random weights.
_PINNED: dict[Engine, dict[Measure, Bound]] = {
    Engine.FP32: {
        Measure.LOGITS: _most(1e-3),
        Measure.PINNED_FOUND: Bound(1.0),
        Measure.PINNED_IOU: Bound(0.99),
        Measure.PINNED_SCORE: _most(0.005),
        Measure.PINNED_PHRASE: Bound(0.999),
    },
    Engine.INT8: {
        Measure.PINNED_FOUND: Bound(0.9),
        Measure.PINNED_PHRASE: Bound(0.9),
    },
    Engine.MIXED: {
        Measure.LOGITS: _most(2e-2),
        Measure.PINNED_FOUND: Bound(0.98),
        Measure.PINNED_IOU: Bound(0.9),
        Measure.PINNED_SCORE: _most(0.02),
        Measure.PINNED_PHRASE: Bound(0.98),
    },
    Engine.TENSORRT: {},  # an engine does not tell its choice
}
# What the pipeline would answer, each from its own choice. Random weights are near-ties everywhere: shown, not judged.
_FREE: dict[Engine, dict[Measure, Bound]] = {
    Engine.FP32: {
        Measure.FOUND: Bound(0.99),
        Measure.SURPLUS: _most(0.01),
        Measure.IOU: Bound(0.98),
        Measure.SCORE: _most(0.01),
        Measure.PHRASE: Bound(0.99),
        Measure.AP_DROP: _most(0.1),
    },
    Engine.INT8: {
        Measure.FOUND: Bound(0.95),
        Measure.SURPLUS: _most(0.05),
        Measure.IOU: Bound(0.93),
        Measure.SCORE: _most(0.04),
        Measure.PHRASE: Bound(0.95),
        Measure.AP_DROP: _most(1.0),
    },
    Engine.MIXED: {
        Measure.FOUND: Bound(0.98),
        Measure.SURPLUS: _most(0.02),
        Measure.IOU: Bound(0.97),
        Measure.SCORE: _most(0.015),
        Measure.PHRASE: Bound(0.98),
        Measure.AP_DROP: _most(0.2),
    },
}
_FREE[Engine.TENSORRT] = _FREE[Engine.MIXED]

_OTHERS: dict[Role, dict[Engine, dict[Measure, Bound]]] = {
    Role.VOCABULARY_ENCODER: {
        Engine.FP32: {Measure.TEXT_COSINE: Bound(0.99999)},
        Engine.INT8: {Measure.TEXT_COSINE: Bound(0.995)},
        Engine.MIXED: {Measure.TEXT_COSINE: Bound(0.99999)},
        Engine.TENSORRT: {Measure.TEXT_COSINE: Bound(0.9999)},
    },
    Role.IMAGE_EMBEDDER: {
        Engine.FP32: {Measure.COSINE: Bound(0.9999)},
        Engine.INT8: {Measure.COSINE: Bound(0.98), Measure.MEAN_COSINE: Bound(0.99)},
        Engine.MIXED: {Measure.COSINE: Bound(0.9995)},
        Engine.TENSORRT: {Measure.COSINE: Bound(0.999)},
    },
    Role.DEPTH_ESTIMATOR: {
        Engine.FP32: {Measure.RANK_CORRELATION: Bound(0.9999)},
        Engine.INT8: {Measure.RANK_CORRELATION: Bound(0.99)},
        Engine.MIXED: {Measure.RANK_CORRELATION: Bound(0.999)},
        Engine.TENSORRT: {Measure.RANK_CORRELATION: Bound(0.999)},
    },
}
_OTHERS[Role.TEXT_EMBEDDER] = _OTHERS[Role.IMAGE_EMBEDDER]


def bounds(role: Role, engine: Engine, *, trained: bool) -> Mapping[Measure, Bound]:
    """The bounds that a role's engine is judged by; what has none is only shown.

    Args:
        role: the model.
        engine: the kind of engine.
        trained: whether the weights are; see `_FREE`.
    """
    if role is Role.GARMENT_DETECTOR:
        return {**_PINNED[engine], **(_FREE[engine] if trained else {})}
    exact = {Measure.MASKS_EQUAL: Bound(1.0)} if role is Role.VOCABULARY_ENCODER else {}
    return {**exact, **_OTHERS[role][engine]}
