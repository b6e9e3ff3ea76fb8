"""What to set, for this machine and for others, as it follows from what was measured on this one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from summaries import Spread, shown
from thread_scaling import Scaling, best_split, fit

MACHINES = (2, 8, 32)
"""Cores of the machines that are spoken of."""
_PYTHON_CORE = 0.7
"""Share of a core that one Python process is planned with: its interpreter is one thread at a time."""


@dataclass(frozen=True)
class Costs:
    """What was measured.

    Attributes:
        alone_s_by_threads: a photo's time with one client, by threads of every model.
        shipped: photos a second of the full server as it comes.
        others: the same of every other setting, by name.
        pipeline_cpu_s: processor time of the pipeline's process, a photo.
        server_cpu_s: processor time of the server's own process, a photo.
        memory_mb: of all processes of the server as it comes.
        instance_mb: what one more instance of every vision model takes; None where it was not measured.
    """

    alone_s_by_threads: Mapping[int, float]
    shipped: Spread
    others: Mapping[str, Spread]
    pipeline_cpu_s: float
    server_cpu_s: float
    memory_mb: float
    instance_mb: float | None


def recommendations(costs: Costs, cores: int) -> list[str]:
    """A sentence for each machine: this one as measured, others and a GPU extrapolated.

    Args:
        costs: what was measured.
        cores: of this machine.
    """
    sentences = [_for_this(costs, cores)]
    if len(costs.alone_s_by_threads) > 1:
        scaling = fit(costs.alone_s_by_threads)
        sentences += [_for_cores(costs, scaling, count) for count in MACHINES if count != cores]
    else:
        sentences.append(
            "Other machines: not worked out, because times with different thread counts were not measured (group "
            "threads)."
        )
    return [*sentences, _for_gpu(costs)]


def _for_this(costs: Costs, cores: int) -> str:
    better = {name: one for name, one in costs.others.items() if one.least > costs.shipped.most}
    if not better:
        return f"{cores} cores (measured here): the settings as shipped; no other was faster in every round."
    best = max(better, key=lambda name: better[name].median)
    times = better[best].median / costs.shipped.median
    return f"{cores} cores (measured here): {best}, {times:.2f} times the settings as shipped in photos a second."


def _for_cores(costs: Costs, scaling: Scaling, cores: int) -> str:
    split = best_split(scaling, cores)
    pipelines = max(math.ceil(split.per_second * costs.pipeline_cpu_s / _PYTHON_CORE), 1)
    memory = ""
    if costs.instance_mb is not None:
        total = costs.memory_mb + (split.instances - 1) * costs.instance_mb
        memory = f", about {total:.0f} MB of memory"
    known = "interpolated" if cores <= scaling.most_threads else "extrapolated"
    return (
        f"{cores} cores ({known} by Amdahl's law from 1 to {scaling.most_threads} threads here, where "
        f"{scaling.serial_share:.0%} of a photo's time gets no shorter with threads): "
        f"{_instances(split.instances)} of each vision model with intra_op_thread_count {split.threads}, "
        f"{_instances(pipelines)} of the pipeline{memory}; about {shown(split.per_second)} photos a second, "
        f"{shown(split.seconds * 1000)} ms each when alone."
    )


def _for_gpu(costs: Costs) -> str:
    beside_s = costs.pipeline_cpu_s + costs.server_cpu_s
    if beside_s <= 0:
        return "One GPU: not worked out, because no processor time was measured."
    return (
        "One GPU (extrapolated; no GPU was measured): one instance of each model on it. What stays on the processors "
        f"is {shown(beside_s * 1000)} ms a photo, so that one core prepares at most {shown(1 / beside_s)} photos a "
        f"second, and one instance of the pipeline about {shown(_PYTHON_CORE / max(costs.pipeline_cpu_s, 1e-9))}: give "
        "the pipeline as many instances as the GPU's photos a second need."
    )


def _instances(count: int) -> str:
    return "1 instance" if count == 1 else f"{count} instances"
