"""How long and how fast each model is trained; nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True)
class Recipe:
    """How long and how fast.

    Attributes:
        steps: batches until the rate has fallen.
        tail_steps: batches after that, at a low rate, in which the detector's scores become probabilities.
        decay_share: the last part of the steps, over which the rate falls.
        rate: learning rate of AdamW at its highest.
        weight_decay: of matrices; vectors have none.
        average: decay of the exponential moving average of the weights, which is what is kept.
        seed: of everything.
        report_steps: a line in the log this often.
        evaluate_steps: figures and a saved state this often.
        half: bfloat16 where autocast allows it.
    """

    steps: int
    tail_steps: int = 0
    decay_share: float = 0.35
    rate: float = 7e-4
    weight_decay: float = 0.02
    average: float = 0.998
    seed: int = 0
    report_steps: int = 50
    evaluate_steps: int = 1000
    half: bool = True

    @property
    def total_steps(self) -> int:
        """Batches in all."""
        return self.steps + self.tail_steps


class Model(StrEnum):
    """The three that are trained."""

    DETECTOR = "detector"
    CLIP = "clip"
    DEPTH = "depth"


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        model: which of the three.
        folder: where its scenes, state, log and checkpoint are; an interrupted run goes on there.
        recipe: how long and how fast.
        scenes: how many different scenes are drawn.
        batch: samples a step, over all processes.
        small_steps: this many first steps of the detector see smaller pictures.
        workers: processes; 1 on a GPU.
        device: "cpu" or "cuda".
    """

    model: Model
    folder: Path
    recipe: Recipe
    scenes: int
    batch: int
    small_steps: int = 0
    workers: int = 2
    device: str = "cpu"


RUNS = {
    Model.DETECTOR: Run(
        Model.DETECTOR,
        Path(),
        Recipe(steps=4000, tail_steps=800, evaluate_steps=500),
        scenes=16_000,
        batch=12,
        small_steps=2000,
    ),
    Model.CLIP: Run(Model.CLIP, Path(), Recipe(steps=1000, rate=1e-3, evaluate_steps=250), scenes=6000, batch=256),
    Model.DEPTH: Run(Model.DEPTH, Path(), Recipe(steps=3000, rate=1e-3, evaluate_steps=500), scenes=16_000, batch=16),
}
"""What the shipped checkpoints were trained by."""
