"""The loop that trains any of the models: a rate that falls at the end, averaged weights, and stops that do no harm.

Several single-threaded processes on one batch train small models faster than one process with as many threads. What a
step sees depends on the seed, the step and the process alone, so a run that was stopped ends like one that was not.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, distributed, nn

from fashioncrop_paperdoll.training.recipes import Recipe

_WARM_UP_STEPS = 200
_FINAL_RATE = 0.02
_TAIL_RATE = 0.1
_LONGEST_GRADIENT = 1.0


class Task(Protocol):
    """A model and how to train it."""

    modules: nn.ModuleDict
    """`model`, which is kept, and whatever helps it to learn."""

    def loss(self, rng: np.random.Generator, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of one batch, and its parts for the log."""
        ...

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Figures of a model on scenes that are never trained on."""
        ...

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write the checkpoint."""
        ...


class Workers:
    """This process among those that train together.

    Args:
        rank: 0 for the one that reports and saves.
        count: how many there are.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    def average(self, parameters: list[nn.Parameter]) -> float:
        """Make all processes' gradients their mean, no longer than allowed; returns the mean's length."""
        flat = torch.cat(
            [
                (parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)).flatten()
                for parameter in parameters
            ]
        )
        if self.count > 1:
            distributed.all_reduce(flat)
            flat /= self.count
        length = float(flat.norm())
        flat *= min(1.0, _LONGEST_GRADIENT / (length + 1e-6))
        start = 0
        for parameter in parameters:
            parameter.grad = flat[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()
        return length


def train(task: Task, recipe: Recipe, folder: Path, workers: Workers) -> None:
    """Train until the recipe's last step, going on where an earlier run in this folder stopped.

    Writes `state.pt`, `log.jsonl` and, at the end, the checkpoint in `checkpoint/`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parameters = [parameter for parameter in task.modules.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(_groups(task.modules, recipe), lr=recipe.rate, betas=(0.9, 0.98))
    averaged = copy.deepcopy(task.modules["model"]).eval().requires_grad_(requires_grad=False)
    state_file = folder / "state.pt"
    step, spent = 0, dict[str, float]()
    if state_file.exists():
        state = torch.load(state_file, map_location=parameters[0].device, weights_only=True)
        task.modules.load_state_dict(state["modules"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
        spent = state["spent"]
    device = parameters[0].device.type
    log = _Log(folder / "log.jsonl", spent, writes=workers.rank == 0)
    while step < recipe.total_steps:
        task.modules.train()
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * rate_share(step, recipe) * group["share"]
        rng = np.random.default_rng([recipe.seed, step, workers.rank])
        torch.manual_seed(int(rng.integers(2**62)))
        with torch.autocast(device, torch.bfloat16) if recipe.half else contextlib.nullcontext():
            loss, parts = task.loss(rng, step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        length = workers.average(parameters)
        if not math.isfinite(length):
            raise FloatingPointError(f"The gradient of step {step} is not finite; lower the learning rate.")
        optimizer.step()
        step += 1
        _follow(averaged, task.modules["model"], min(recipe.average, (1 + step) / (10 + step)))
        log.add({"loss": float(loss.detach()), "gradient": length, **parts})
        if step % recipe.report_steps == 0:
            log.report(step, recipe.rate * rate_share(step - 1, recipe))
        if step % recipe.evaluate_steps == 0 or step == recipe.total_steps:
            if workers.rank == 0:
                log.write({"step": step, **task.evaluate(averaged)})
                state = {
                    "modules": task.modules.state_dict(),
                    "averaged": averaged.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step,
                    "spent": log.spent,
                }
                torch.save(state, state_file.with_suffix(".part"))
                state_file.with_suffix(".part").replace(state_file)
            if workers.count > 1:
                distributed.barrier()
    if workers.rank == 0:
        task.save(averaged, folder / "checkpoint")


def rate_share(step: int, recipe: Recipe) -> float:
    """Share of the highest learning rate at this step: a short rise, a plateau, a cosine down; then a low one."""
    if step >= recipe.steps:
        return _TAIL_RATE * 0.5 * (1 + math.cos(math.pi * (step - recipe.steps) / recipe.tail_steps))
    warm = min(1.0, (step + 1) / _WARM_UP_STEPS)
    decay_steps = recipe.steps * recipe.decay_share
    late = max(0.0, (step - (recipe.steps - decay_steps)) / decay_steps)
    return warm * (_FINAL_RATE + (1 - _FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * late)))


def _groups(modules: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Matrices decay, vectors do not; where to sample is learnt slowly (Deformable DETR, appendix A.4)."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in modules.named_parameters():
        if parameter.requires_grad:
            is_offset = "sampling_offsets" in name
            decay = recipe.weight_decay if parameter.ndim > 1 and not is_offset else 0.0
            groups.setdefault((0.1 if is_offset else 1.0, decay), []).append(parameter)
    return [
        {"params": parameters, "share": share, "weight_decay": decay} for (share, decay), parameters in groups.items()
    ]


@torch.no_grad()
def _follow(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    own: list[Tensor] = list(averaged.parameters())
    new: list[Tensor] = list(model.parameters())
    torch._foreach_lerp_(own, new, 1 - decay)
    for kept, buffer in zip(averaged.buffers(), model.buffers(), strict=True):
        kept.copy_(buffer)


class _Log:
    """One JSON object a line, each with the time spent until then, by interrupted runs too."""

    def __init__(self, path: Path, spent: Mapping[str, float], *, writes: bool) -> None:
        self._path, self._before, self._writes = path, dict(spent), writes
        self._sums: dict[str, float] = {}
        self._count = 0
        self._begin = time.monotonic()
        self._cpu = time.process_time()

    def add(self, parts: dict[str, float]) -> None:
        for name, value in parts.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def report(self, step: int, rate: float) -> None:
        means = {name: round(total / self._count, 4) for name, total in self._sums.items()}
        self.write({"step": step, "rate": round(rate, 7), **means})
        self._sums.clear()
        self._count = 0

    def write(self, entry: dict[str, float]) -> None:
        if not self._writes:
            return
        spent = {name: round(value) for name, value in self.spent.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**entry, **spent}) + "\n")

    @property
    def spent(self) -> dict[str, float]:
        """Seconds on the clock and of one process."""
        return {
            "seconds": self._before.get("seconds", 0.0) + time.monotonic() - self._begin,
            "cpu_seconds": self._before.get("cpu_seconds", 0.0) + time.process_time() - self._cpu,
        }
