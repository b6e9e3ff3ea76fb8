"""From settings to the document of `scale.py`."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from changed_repository import change, linked_repository
from documents import Cell, Findings, Surroundings, Table, document, write_document
from fashioncrop import AnalyzeOptions, AsyncClient, EmbeddedServer
from fashioncrop.errors import OptionError
from fashioncrop.model_repository import PIPELINE, Role, read_config
from figures import Axes, draw_bars
from load import Run, closed_loop
from model_identities import identities
from model_inputs import Asked as AsksModels
from model_inputs import model_inputs
from processes import SERVER, busy_share, server_pid, server_processes, shared_memory_bytes, summed_by_name
from recommended import Costs, recommendations
from run_options import Asked
from sample_photos import SamplePhoto, about
from serving import OnWords, exported, repository_name, running
from summaries import Spread, percentile, spread
from variations import AS_SHIPPED, Group, Variation, variations

PACKAGES = (
    "fashioncrop",
    "numpy",
    "nvidia-pytriton",
    "onnxruntime",
    "opencv-python-headless",
    "pillow",
    "tritonclient",
)
_TIMEOUT_S = 600.0
_MB = 1e6
BATCHES = (1, 2, 4, 8, 16)
"""Items in one request."""
_BATCHED = (Role.IMAGE_EMBEDDER, Role.DEPTH_ESTIMATOR, Role.GARMENT_DETECTOR)


@dataclass(frozen=True)
class Settings:
    """What to try; see the command's options."""

    models: str
    groups: frozenset[Group]
    clients: int
    rounds: int
    least_s: float
    asked: Asked


@dataclass(frozen=True)
class Tried:
    """One variation in one round.

    Attributes:
        alone: one client.
        full: as many clients as fill the server.
        memory_mb: of each process's name.
        shared_mb: in /dev/shm.
        cpu_ms: processor time of each process's name, a photo, under full load.
    """

    alone: Run
    full: Run
    memory_mb: Mapping[str, float]
    shared_mb: float
    cpu_ms: Mapping[str, float]


@dataclass
class Found:
    """Everything that was measured.

    Attributes:
        tried: by variation's name, one a round.
        items_per_second: by model and batch size, one a round.
    """

    tried: dict[str, list[Tried]] = field(default_factory=dict)
    items_per_second: dict[tuple[str, int], list[float]] = field(default_factory=dict)

    def per_second(self, name: str) -> Spread:
        """Photos a second of a full server."""
        return spread([one.full.per_second for one in self.tried[name]])

    def alone_ms(self, name: str) -> float:
        """A photo's time with one client, median of the rounds' medians."""
        return spread([one.alone.latencies.p50_ms for one in self.tried[name]]).median

    def memory_mb(self, name: str) -> float:
        """Memory of all processes."""
        return spread([sum(one.memory_mb.values()) for one in self.tried[name]]).median


def groups_of(text: str) -> frozenset[Group]:
    """Groups from `threads,batch`.

    Raises:
        OptionError: one is not known.
    """
    unknown = sorted(set(text.split(",")) - set(Group))
    if unknown:
        raise OptionError(f"--groups takes {', '.join(Group)}, with commas between them; got {', '.join(unknown)}.")
    return frozenset(Group(word) for word in text.split(","))


def try_all(
    settings: Settings, photos: Sequence[SamplePhoto], out: Path, name: str | None, words: OnWords
) -> dict[str, Any]:
    """Try every variation, and write what was found.

    Args:
        settings: see `Settings`.
        photos: to ask about.
        out: the folder for document and figure.
        name: of the files; None for the usual one.
        words: told what goes on.

    Returns:
        The document.

    Raises:
        FashionCropError: a server does not start or does not answer.
    """
    start_s = time.monotonic()
    surroundings = Surroundings(PACKAGES, busy_share())
    source = exported(settings.models, words)
    cores = len(os.sched_getaffinity(0))
    chosen = variations(cores, settings.groups)
    found = Found({one.name: [] for one in chosen})
    for number in range(settings.rounds):
        turn = number % len(chosen)
        for variation in [*chosen[turn:], *chosen[:turn]]:
            words(f"round {number + 1} of {settings.rounds}: {variation.name} ...")
            _try(variation, source, settings, photos, found)
    findings = Findings(
        question="What instances, threads, batches and waiting buy and cost",
        settings={**asdict(settings), "groups": sorted(settings.groups), "photos": [photo.name for photo in photos]},
        conditions=_conditions(settings, photos, cores),
        measured=_told(found),
        table=_table(found, chosen, settings),
        losses=_losses(found),
        recommendations=recommendations(_costs(found, chosen), cores),
        models=identities(source),
    )
    content = document("scale", findings, surroundings, time.monotonic() - start_s)
    file = name or f"scale-{repository_name(settings.models)}"
    write_document(out, file, content)
    bars = {name: found.per_second(name).median for name in found.tried}
    axes = Axes(f"Photos a second, {settings.clients} clients ({settings.models})", "photos a second", "")
    draw_bars(out / f"{file}.svg", axes, bars)
    return content


def _try(variation: Variation, source: Path, settings: Settings, photos: Sequence[SamplePhoto], found: Found) -> None:
    with tempfile.TemporaryDirectory(prefix="fashioncrop-benchmark-") as folder:
        repository = linked_repository(source, Path(folder) / "models")
        for model, wanted in variation.changes.items():
            change(repository, model, wanted)
        with running(repository, lambda _: None) as server:
            found.tried[variation.name].append(asyncio.run(_measured(server, settings, photos)))
            if variation is AS_SHIPPED and Group.BATCH in settings.groups:
                _try_batches(repository, server, settings, photos[0], found)


async def _measured(server: EmbeddedServer, settings: Settings, photos: Sequence[SamplePhoto]) -> Tried:
    asked = AnalyzeOptions(score_threshold=settings.asked.score_threshold, max_garments=settings.asked.max_garments)
    pid = server_pid(server)
    async with AsyncClient(server.grpc_url, timeout_s=_TIMEOUT_S) as client:

        async def ask(index: int) -> None:
            await client.analyze(photos[index % len(photos)].data, **asked)

        for index in range(len(photos)):
            await ask(index)
        alone = await closed_loop(ask, 1, least_s=settings.least_s)
        before = summed_by_name(server_processes(pid))
        full = await closed_loop(ask, settings.clients, least_s=settings.least_s)
    after = summed_by_name(server_processes(pid))
    return Tried(
        alone,
        full,
        {name: one.own_bytes / _MB for name, one in after.items()},
        shared_memory_bytes(pid) / _MB,
        {name: (one.cpu_s - before[name].cpu_s) * 1000 / len(full.answered) for name, one in after.items()},
    )


def _try_batches(
    repository: Path, server: EmbeddedServer, settings: Settings, photo: SamplePhoto, found: Found
) -> None:
    models = AsksModels(server.grpc_url)
    try:
        for role, inputs in model_inputs(repository, photo, models).items():
            most = read_config(repository, role).max_batch_size
            for size in [size for size in BATCHES if role in _BATCHED and size <= most]:
                stacked = {name: np.concatenate([array] * size) for name, array in inputs.items()}
                models.ask(role, stacked)
                done, start_s = 0, time.perf_counter()
                while done == 0 or time.perf_counter() - start_s < settings.least_s / len(BATCHES):
                    models.ask(role, stacked)
                    done += size
                found.items_per_second.setdefault((role, size), []).append(done / (time.perf_counter() - start_s))
    finally:
        models.close()


def _costs(found: Found, chosen: Sequence[Variation]) -> Costs:
    shipped = found.tried[AS_SHIPPED.name]
    twice = [one for one in chosen if one.group is Group.INSTANCES and set(_BATCHED) <= set(one.changes)]
    more = [found.memory_mb(one.name) - found.memory_mb(AS_SHIPPED.name) for one in twice]
    return Costs(
        alone_s_by_threads={one.threads: found.alone_ms(one.name) / 1000 for one in chosen if one.threads},
        shipped=found.per_second(AS_SHIPPED.name),
        others={one.name: found.per_second(one.name) for one in chosen if one is not AS_SHIPPED},
        pipeline_cpu_s=spread([one.cpu_ms.get(PIPELINE, 0.0) / 1000 for one in shipped]).median,
        server_cpu_s=spread([one.cpu_ms.get(SERVER, 0.0) / 1000 for one in shipped]).median,
        memory_mb=found.memory_mb(AS_SHIPPED.name),
        instance_mb=max(more[0], 0.0) if more else None,
    )


def _told(found: Found) -> dict[str, Any]:
    return {
        "tried": {
            name: {
                "per_second": asdict(found.per_second(name)),
                "full": asdict(rounds[0].full.latencies),
                "alone_p50_ms": found.alone_ms(name),
                "memory_mb_by_process": [dict(one.memory_mb) for one in rounds],
                "shared_memory_mb": [one.shared_mb for one in rounds],
                "cpu_ms_a_photo": [dict(one.cpu_ms) for one in rounds],
            }
            for name, rounds in found.tried.items()
        },
        "items_per_second_by_batch": [
            {"model": model, "batch": size, **asdict(spread(values))}
            for (model, size), values in found.items_per_second.items()
        ],
    }


def _table(found: Found, chosen: Sequence[Variation], settings: Settings) -> Table:
    sections: dict[Any, list[tuple[Cell, ...]]] = {}
    for one in chosen:
        rounds = found.tried[one.name]
        latencies = [answer.latency_s for tried in rounds for answer in tried.full.answered]
        sections.setdefault(one.group, []).append(
            (
                one.name,
                str(found.per_second(one.name)),
                percentile(latencies, 0.95) * 1000,
                found.alone_ms(one.name),
                found.memory_mb(one.name),
                spread([tried.shared_mb for tried in rounds]).median,
            )
        )
    for (model, size), values in found.items_per_second.items():
        row = (f"{model}, {size} at a time", f"{spread(values)} items", None, None, None, None)
        sections.setdefault(model, []).append(row)
    columns = ("setting", f"a second, {settings.clients} clients", "p95 ms", "p50 ms, 1 client", "memory MB")
    return Table((*columns, "shared memory MB"), tuple(tuple(rows) for rows in sections.values()))


def _losses(found: Found) -> list[str]:
    shipped = found.per_second(AS_SHIPPED.name)
    return [
        f"{name} does {found.per_second(name).median / shipped.median:.2f} times as many photos a second as the server "
        "as it comes, in every round."
        for name in found.tried
        if name != AS_SHIPPED.name and found.per_second(name).least > shipped.most
    ]


def _conditions(settings: Settings, photos: Sequence[SamplePhoto], cores: int) -> list[str]:
    return [
        about(photos) + f" At most {settings.asked.max_garments} garments of each.",
        (
            f"{cores} cores. Every setting has a server of its own, one after the other, in {settings.rounds} rounds; "
            f"runs of at least {settings.least_s:g} s, with 1 client and with {settings.clients}. Medians of the "
            "rounds, in brackets the least and the most."
        ),
        (
            "Memory is that of all the server's processes under load, what they share counted once; shared memory is "
            "what it has in /dev/shm, which never shrinks."
        ),
        "Items at a time: one client sends so many stacked in one request, straight to the model.",
    ]
