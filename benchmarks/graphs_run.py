"""From settings to the document of `graphs.py`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from documents import Cell, Findings, Surroundings, Table, Target, document, write_document
from fashioncrop.model_repository import Role
from figures import Axes, draw_bars
from graph_contenders import EAGER, FP32, INT8, NO_ARENA, PLAIN, Contender, Sizes, Subject
from model_identities import identities, is_full_size
from processes import busy_share
from serving import OnWords, exported, repository_name
from summaries import Spread, ratios, spread

PACKAGES = ("fashioncrop", "numpy", "onnx", "onnxruntime", "tokenizers", "torch", "transformers")
_MIB = 2**20
_MS = 1000
# (ours, the other, how many times faster) at the size at which it was promised.
_PROMISED_HW = (800, 1066)
_PROMISES = ((FP32, EAGER, 2.2), (INT8, EAGER, 3.5), (FP32, PLAIN, 1.3))


@dataclass(frozen=True)
class Settings:
    """What to compare; see the command's options."""

    models: str
    only: tuple[Role, ...]
    photo_hw: tuple[int, int]
    depth_hw: tuple[int, int]
    tokens: int
    crops: int
    rounds: int
    warm_up: bool
    arena: bool


@dataclass(frozen=True)
class Measured:
    """One way to compute a model, and what it took.

    Attributes:
        contender: which.
        part_s: processor seconds by part, one for each round.
    """

    contender: Contender
    part_s: dict[str, list[float]]

    @property
    def seconds(self) -> list[float]:
        """Of all parts, one for each round."""
        return [sum(parts) for parts in zip(*self.part_s.values(), strict=True)]

    def told(self, others: Sequence[Measured]) -> dict[str, Any]:
        """As JSON values, with how many times faster it is than each other."""
        faster = {one.contender.name: asdict(ratios(one.seconds, self.seconds)) for one in others if one is not self}
        return {
            "nodes": self.contender.nodes,
            "file_bytes": self.contender.file_bytes,
            "cpu_s": asdict(spread(self.seconds)),
            "cpu_s_by_part": {name: asdict(spread(values)) for name, values in self.part_s.items()},
            "times_faster_than": faster,
        }


def compare(settings: Settings, out: Path, name: str | None, words: OnWords) -> dict[str, Any]:
    """Run everything in turn, and write what was found.

    Args:
        settings: see `Settings`.
        out: the folder for document and figure.
        name: of the files; None for the usual one.
        words: told what goes on.

    Returns:
        The document.

    Raises:
        FashionCropError: the models cannot be exported.
    """
    start_s = time.monotonic()
    file = name or f"graphs-{repository_name(settings.models)}"
    repository = exported(settings.models, words, ["int8"])
    surroundings = Surroundings(PACKAGES, busy_share())
    sizes = Sizes(settings.photo_hw, settings.depth_hw, settings.tokens, settings.crops)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found: dict[Role, list[Measured]] = {
            role: _measured(Subject(role, settings.models, repository, sizes), settings, words)
            for role in settings.only
            if role is not Role.VOCABULARY_ENCODER
        }
    finally:
        torch.set_num_threads(threads)
    findings = Findings(
        question="What the rewritten graphs gain on one thread of a processor",
        settings=asdict(settings),
        conditions=_conditions(settings),
        measured={role.value: {one.contender.name: one.told(all_) for one in all_} for role, all_ in found.items()},
        table=_table(found),
        targets=_targets(found, settings, is_full=is_full_size(repository)),
        losses=_losses(found),
        models=identities(repository, ["int8"]),
    )
    content = document("graphs", findings, surroundings, time.monotonic() - start_s)
    write_document(out, file, content)
    axes = Axes(f"Times faster than transformers, one thread ({settings.models})", "times faster", "")
    draw_bars(out / f"{file}.svg", axes, _bars(found))
    return content


def _measured(subject: Subject, settings: Settings, words: OnWords) -> list[Measured]:
    with tempfile.TemporaryDirectory(prefix="fashioncrop-benchmark-") as folder, torch.inference_mode():
        words(f"{subject.role}: loading and exporting ...")
        found = [
            Measured(contender, {part: [] for part in contender.parts})
            for contender in subject.contenders(Path(folder), with_arena=settings.arena)
        ]
        for number in range(-1 if settings.warm_up else 0, settings.rounds):
            words(f"{subject.role}: {'warming up' if number < 0 else f'round {number + 1} of {settings.rounds}'} ...")
            for one in found:
                for part, run in one.contender.parts.items():
                    before = time.process_time()
                    run()
                    if number >= 0:
                        one.part_s[part].append(time.process_time() - before)
    return found


def _with_text_kept(all_: Sequence[Measured]) -> list[Measured]:
    """The detector's ways as the pipeline runs them on the second photo: the vocabulary's features are there."""
    return [
        Measured(replace(one.contender, name=f"{one.contender.name}, its text kept"), {part: one.part_s[part]})
        for one in all_
        for part in one.part_s
        if part == Role.GARMENT_DETECTOR and len(one.part_s) > 1
    ]


def _of(found: Sequence[Measured], name: str) -> Measured | None:
    return next((one for one in found if one.contender.name == name), None)


def _faster(found: Sequence[Measured], ours: str, other: str) -> Spread | None:
    """How many times faster `ours` is, round by round; None where one was not measured."""
    one, two = _of(found, ours), _of(found, other)
    return ratios(two.seconds, one.seconds) if one is not None and two is not None else None


def _table(found: dict[Role, list[Measured]]) -> Table:
    sections = []
    for role, all_ in found.items():
        rows: list[tuple[Cell, ...]] = []
        for one in (*all_, *_with_text_kept(all_)):
            taken = spread([value * _MS for value in one.seconds])
            name = one.contender.name
            against = [_faster([*all_, one], name, other) if name != other else None for other in (EAGER, PLAIN)]
            size = one.contender.file_bytes
            rows.append(
                (
                    f"{role}: {name}",
                    one.contender.nodes,
                    None if size is None else size / _MIB,
                    str(taken),
                    *(None if ratio is None else str(ratio) for ratio in against),
                )
            )
        sections.append(tuple(rows))
    columns = ("graph", "nodes", "MiB", "processor time, ms", "times faster than eager", "than the plain export")
    return Table(columns, tuple(sections))


def _bars(found: dict[Role, list[Measured]]) -> dict[str, float]:
    bars = {}
    for role, all_ in found.items():
        for name in (PLAIN, FP32, INT8):
            ratio = _faster(all_, name, EAGER)
            if ratio is not None:
                bars[f"{role}: {name}"] = ratio.median
    return bars


def _targets(found: dict[Role, list[Measured]], settings: Settings, *, is_full: bool) -> list[Target]:
    """What was promised of the detector, at the size at which it was promised."""
    if not is_full or settings.photo_hw != _PROMISED_HW or Role.GARMENT_DETECTOR not in found:
        return []
    targets = []
    for ours, other, times in _PROMISES:
        ratio = _faster(found[Role.GARMENT_DETECTOR], ours, other)
        if ratio is not None:
            height, width = _PROMISED_HW
            says = f"the detector with its text at {height}x{width}, {ours}, against {other}"
            wanted = f"at least {times:g} times faster"
            targets.append(Target(says, wanted, f"{ratio} times faster", ratio.median >= times))
    return targets


def _losses(found: dict[Role, list[Measured]]) -> list[str]:
    """Where a plain export or transformers is faster."""
    losses = []
    for role, all_ in found.items():
        for ours in (FP32, INT8):
            for other in (EAGER, PLAIN):
                ratio = _faster(all_, ours, other)
                if ratio is not None and ratio.median < 1:
                    losses.append(f"{role}: {ours} takes {1 / ratio.median:.2f} times as long as {other}.")
    return losses


def _conditions(settings: Settings) -> list[str]:
    (height, width), (depth_height, depth_width) = settings.photo_hw, settings.depth_hw
    sentences = [
        f"One thread, the process's own processor time; {settings.rounds} rounds in turn, ratios within each round.",
        (
            f"The detector: {height}x{width} and {settings.tokens} tokens of text. Its encoder of text, which the "
            "pipeline runs once for a vocabulary, is counted every time and stays in fp32."
        ),
        f"image_embedder: {settings.crops} crops. depth_estimator: {depth_height}x{depth_width}.",
        (
            f"The {PLAIN} is torch.onnx.export of transformers' own forward at exactly these sizes; this project's "
            "graphs take any. Both run with the memory settings of config.pbtxt."
        ),
    ]
    if settings.arena:
        sentences.append(f"'{NO_ARENA}': ONNX Runtime asks the system for every tensor's memory.")
    return sentences
