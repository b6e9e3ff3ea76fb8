"""The settings of a server that are worth trying, one thing changed at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from changed_repository import Change
from fashioncrop.model_repository import PIPELINE, Role

_THREADS = "intra_op_thread_count"
_VISION = (Role.GARMENT_DETECTOR, Role.DEPTH_ESTIMATOR, Role.IMAGE_EMBEDDER)


class Group(StrEnum):
    """What is changed."""

    THREADS = "threads"
    INSTANCES = "instances"
    WORKERS = "workers"
    DELAY = "delay"
    BATCH = "batch"


@dataclass(frozen=True)
class Variation:
    """One setting of the server.

    Attributes:
        name: what tables call it.
        group: what it belongs to; None for the server as it comes.
        changes: by model.
        threads: that every model may use, where the variation is about that; 0 elsewhere.
    """

    name: str
    group: Group | None
    changes: Mapping[str, Change] = field(default_factory=dict)
    threads: int = 0


AS_SHIPPED = Variation("as shipped", None)


def variations(cores: int, groups: frozenset[Group]) -> list[Variation]:
    """The server as it comes, and every setting of the wanted groups that makes sense on so many cores."""
    every = [AS_SHIPPED, *_threads(cores), *_instances(cores), *_workers(), *_delays()]
    return [one for one in every if one.group is None or one.group in groups]


def _threads(cores: int) -> list[Variation]:
    counts = sorted({1, *(2**power for power in range(1, 8) if 2**power < cores), cores})
    everywhere = [
        Variation(
            f"every model with {_threads_in_words(count)}",
            Group.THREADS,
            {str(role): _with_threads(count) for role in Role},
            threads=count,
        )
        for count in counts
    ]
    if cores == 1:
        return everywhere
    beside: dict[str, Change] = {
        Role.GARMENT_DETECTOR: _with_threads(cores - 1),
        Role.DEPTH_ESTIMATOR: _with_threads(1),
    }
    name = f"detector with {_threads_in_words(cores - 1)}, depth with 1 thread"
    return [*everywhere, Variation(name, Group.THREADS, beside)]


def _instances(cores: int) -> list[Variation]:
    split = max(cores // 2, 1)
    two = [
        Variation(
            f"2 instances of {role}, {_threads_in_words(split)} each",
            Group.INSTANCES,
            {role: Change(instances=2, parameters={_THREADS: str(split)})},
        )
        for role in _VISION
    ]
    all_of_them = {str(role): Change(instances=2, parameters={_THREADS: str(split)}) for role in _VISION}
    return [
        *two,
        Variation(f"2 instances of all three, {_threads_in_words(split)} each", Group.INSTANCES, all_of_them),
        Variation(f"2 instances of {PIPELINE}", Group.INSTANCES, {PIPELINE: Change(instances=2)}),
    ]


def _workers() -> list[Variation]:
    return [
        Variation(f"{count} workers", Group.WORKERS, {PIPELINE: Change(parameters={"workers": str(count)})})
        for count in (2, 4, 16)
    ]


def _delays() -> list[Variation]:
    return [
        Variation(
            f"{Role.IMAGE_EMBEDDER} waits {delay_ms} ms for company",
            Group.DELAY,
            {Role.IMAGE_EMBEDDER: Change(queue_delay_us=delay_ms * 1000)},
        )
        for delay_ms in (1, 5)
    ]


def _with_threads(count: int) -> Change:
    return Change(parameters={_THREADS: str(count)})


def _threads_in_words(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
