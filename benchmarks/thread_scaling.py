"""What more threads buy, by Amdahl's law, and how to share cores out between instances of the models.

A photo takes `serial_s + parallel_s / threads`. Two or more measured thread counts give both; anything beyond the
largest of them is an extrapolation and has to be called one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_GOOD_ENOUGH = 0.9
"""Fewer instances are chosen where they do this share of the most: each costs the models' memory again."""


@dataclass(frozen=True)
class Scaling:
    """Seconds of a photo.

    Attributes:
        serial_s: that no thread makes shorter.
        parallel_s: of one thread, shared by all there are.
        most_threads: up to where this was measured.
    """

    serial_s: float
    parallel_s: float
    most_threads: int

    def seconds(self, threads: float) -> float:
        """How long a photo takes."""
        return self.serial_s + self.parallel_s / threads

    @property
    def serial_share(self) -> float:
        """Part of a photo's time on one thread that no thread makes shorter, 0 to 1."""
        return self.serial_s / self.seconds(1)


@dataclass(frozen=True)
class Split:
    """How to share out the cores.

    Attributes:
        instances: of each vision model.
        threads: of each instance.
        per_second: photos a second that this promises.
        seconds: of one photo.
    """

    instances: int
    threads: int
    per_second: float
    seconds: float


def fit(seconds_by_threads: Mapping[int, float]) -> Scaling:
    """Serial and parallel part with the least squared error; neither is below 0.

    Raises:
        ValueError: there are not two thread counts, or a time is not above 0.
    """
    if len(seconds_by_threads) < 2:  # noqa: PLR2004 - two unknowns
        raise ValueError("scaling needs times of at least two thread counts")
    if min(seconds_by_threads.values()) <= 0 or min(seconds_by_threads) < 1:
        raise ValueError("thread counts and times must be above 0")
    from scipy.optimize import nnls  # noqa: PLC0415 - slow to import

    threads = np.asarray(list(seconds_by_threads), np.float64)
    times = np.asarray(list(seconds_by_threads.values()), np.float64)
    (serial, parallel), _ = nnls(np.stack([np.ones_like(threads), 1 / threads], axis=1), times)
    return Scaling(float(serial), float(parallel), int(threads.max()))


def best_split(scaling: Scaling, cores: int) -> Split:
    """The fewest instances that do nearly the most photos a second, each with an equal share of so many cores."""
    splits = []
    instances = 1
    while instances <= cores:
        threads = cores // instances
        seconds = scaling.seconds(threads)
        splits.append(Split(instances, threads, instances / seconds, seconds))
        instances *= 2
    most = max(split.per_second for split in splits)
    return next(split for split in splits if split.per_second >= _GOOD_ENOUGH * most)
