"""From settings to the document of `overhead.py`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from answer_stages import Stages, Summary, is_alone, stages_of, summary_of
from documents import Cell, Findings, Surroundings, Table, Target, document, write_document
from fashioncrop import AnalyzeOptions, AsyncClient, EmbeddedServer
from fashioncrop.errors import DeploymentError
from fashioncrop.model_repository import PIPELINE
from figures import Axes, draw_bars
from load import Run, closed_loop
from model_identities import identities, is_full_size
from own_work import Boxes, own_work_ms
from processes import SERVER, busy_share, server_pid, server_processes, summed_by_name
from run_options import Asked
from sample_photos import SamplePhoto, about
from serving import OnWords, exported, repository_name, running
from summaries import Spread
from triton_statistics import Statistics, difference

PACKAGES = (
    "fashioncrop",
    "numpy",
    "nvidia-pytriton",
    "onnxruntime",
    "opencv-python-headless",
    "pillow",
    "tritonclient",
)
_MOST_SHARE = 0.05
_MOST_MS = 15.0
_TIMEOUT_S = 600.0
_MS = 1000
_ATTEMPTS = 3
_EMBED_BATCH = 16
"""Crops that the pipeline sends in one request."""


@dataclass(frozen=True)
class Settings:
    """What to measure; see the command's options."""

    models: str
    requests: int
    clients: int
    least_s: float
    asked: Asked


@dataclass(frozen=True)
class Loaded:
    """What several clients at a time cost.

    Attributes:
        run: the answers.
        cpu_ms: processor time of each process, a photo.
    """

    run: Run
    cpu_ms: Mapping[str, float]


def take_apart(
    settings: Settings, photos: Sequence[SamplePhoto], out: Path, name: str | None, words: OnWords
) -> dict[str, Any]:
    """Measure, and write what was found.

    Args:
        settings: see `Settings`.
        photos: to ask about.
        out: the folder for document and figure.
        name: of the files; None for the usual one.
        words: told what goes on.

    Returns:
        The document.

    Raises:
        FashionCropError: the server does not start or does not answer.
    """
    start_s = time.monotonic()
    surroundings = Surroundings(PACKAGES, busy_share())
    repository = exported(settings.models, words)
    with running(repository, words) as server:
        summary, loaded, found = asyncio.run(_measured(server, settings, photos, words))
    words("The pipeline's own work, part by part ...")
    own_work = own_work_ms(repository, list(zip([photo.data for photo in photos], found, strict=True)))
    findings = Findings(
        question="How much of an answer's time is not spent inside the models",
        settings={**asdict(settings), "photos": [photo.name for photo in photos]},
        conditions=_conditions(settings, photos),
        measured={
            **asdict(summary),
            "under_load": {
                "clients": settings.clients,
                "per_second": loaded.run.per_second,
                "latencies": asdict(loaded.run.latencies),
                "cpu_ms_a_photo": dict(loaded.cpu_ms),
            },
            "own_work_cpu_ms": {part: asdict(one) for part, one in own_work.items()},
            "garments": [len(boxes) for boxes in found],
        },
        table=_table(summary, loaded, own_work, settings.clients),
        targets=_targets(summary, is_full=is_full_size(repository)),
        models=identities(repository),
    )
    content = document("overhead", findings, surroundings, time.monotonic() - start_s)
    file = name or f"overhead-{repository_name(settings.models)}"
    write_document(out, file, content)
    bars = {stage: one.median for stage, one in summary.outside.items()}
    draw_bars(out / f"{file}.svg", Axes(f"Outside the models ({settings.models})", "ms of an answer", ""), bars)
    return content


async def _measured(
    server: EmbeddedServer, settings: Settings, photos: Sequence[SamplePhoto], words: OnWords
) -> tuple[Summary, Loaded, list[Boxes]]:
    """Also the garments of each photo."""
    asked = AnalyzeOptions(score_threshold=settings.asked.score_threshold, max_garments=settings.asked.max_garments)
    statistics = Statistics(server.grpc_url)
    try:
        async with AsyncClient(server.grpc_url, timeout_s=_TIMEOUT_S) as client:
            words("Warming up ...")
            found: list[Boxes] = [
                [garment.box_xyxy for garment in (await client.analyze(photo.data, **asked)).garments]
                for photo in photos
            ]
            answers = await _one_by_one(client, statistics, settings, photos, asked)
            words(f"{len(answers)} answers taken apart; {settings.clients} clients at a time ...")
            loaded = await _under_load(client, server, settings, photos, asked)
    finally:
        await statistics.close()
    return summary_of(answers), loaded, found


async def _one_by_one(
    client: AsyncClient,
    statistics: Statistics,
    settings: Settings,
    photos: Sequence[SamplePhoto],
    asked: AnalyzeOptions,
) -> list[Stages]:
    answers: list[Stages] = []
    most_embedded = -(-settings.asked.max_garments // _EMBED_BATCH)
    for number in range(_ATTEMPTS * settings.requests):
        before = await statistics.read()
        analysis = await client.analyze(photos[number % len(photos)].data, **asked)
        models = difference(await statistics.read(), before)
        if is_alone(models, most_embedded):
            answers.append(stages_of(analysis.timings_ms, models))
        if len(answers) == settings.requests:
            return answers
    raise DeploymentError(
        f"Somebody else asked the server during {_ATTEMPTS * settings.requests - len(answers)} of the requests, so "
        "that its statistics say nothing of one answer. Leave it alone, and measure again."
    )


async def _under_load(
    client: AsyncClient,
    server: EmbeddedServer,
    settings: Settings,
    photos: Sequence[SamplePhoto],
    asked: AnalyzeOptions,
) -> Loaded:
    async def ask(index: int) -> None:
        await client.analyze(photos[index % len(photos)].data, **asked)

    pid = server_pid(server)
    before = summed_by_name(server_processes(pid))
    run = await closed_loop(ask, settings.clients, least_s=settings.least_s)
    after = summed_by_name(server_processes(pid))
    photos_done = len(run.answered)
    cpu_ms = {
        name: (one.cpu_s - before[name].cpu_s) / photos_done * _MS for name, one in after.items() if name in before
    }
    return Loaded(run, cpu_ms)


def _table(summary: Summary, loaded: Loaded, own_work: Mapping[str, Spread], clients: int) -> Table:
    def row(name: str, one: Any) -> tuple[Cell, ...]:  # noqa: ANN401 - Spread
        return (name, one.median, one.least, one.most, f"{one.median / summary.request.median:.1%}")

    inside = [row(f"inside {name}", one) for name, one in summary.inside.items()]
    inside.append(
        (
            "inside depth_estimator, beside detection",
            summary.beside.median,
            summary.beside.least,
            summary.beside.most,
            None,
        )
    )
    outside = [row(name, one) for name, one in summary.outside.items()]
    outside.append(row("outside the models, all", summary.outside_ms))
    whole = [row("the answer, as the caller sees it", summary.request)]
    models = {name: ms for name, ms in loaded.cpu_ms.items() if name not in {SERVER, PIPELINE}}
    total = sum(loaded.cpu_ms.values())
    cpu = [
        (f"processor time at {clients} clients: {name}", ms, None, None, f"{ms / total:.1%} of all" if total else None)
        for name, ms in (
            (SERVER, loaded.cpu_ms.get(SERVER, 0.0)),
            (PIPELINE, loaded.cpu_ms.get(PIPELINE, 0.0)),
            ("the models", sum(models.values())),
        )
    ]
    own = [
        (f"processor time of its own work: {part}", one.median, one.least, one.most, None)
        for part, one in own_work.items()
    ]
    return Table(
        ("of one answer", "ms, median", "least", "most", "share of the answer"),
        (tuple(inside), tuple(outside), tuple(whole), tuple(cpu), tuple(own)),
    )


def _targets(summary: Summary, *, is_full: bool) -> list[Target]:
    if is_full:
        share = summary.outside_share.median
        return [
            Target(
                "time outside the models",
                f"at most {_MOST_SHARE:.0%} of the answer",
                f"{share:.1%}",
                share <= _MOST_SHARE,
            )
        ]
    ms = summary.outside_ms.median
    return [Target("time outside the models", f"at most {_MOST_MS:g} ms a photo", f"{ms:.1f} ms", ms <= _MOST_MS)]


def _conditions(settings: Settings, photos: Sequence[SamplePhoto]) -> list[str]:
    return [
        about(photos) + f" At most {settings.asked.max_garments} garments of each.",
        (
            f"{settings.requests} answers, one client, one photo after the other; medians, with the least and the "
            "most. Medians of stages do not add up exactly."
        ),
        (
            "Time inside a model is what Triton counts as its run (compute_infer). For the Python-based ONNX Runtime "
            "backend of the embedded server that includes handing the tensors to the model's process and back, about "
            "0.3 ms a megabyte."
        ),
        (
            "Depth is estimated beside detection and counts only where the answer waited for it; on few cores it slows "
            "detection meanwhile, which counts as time inside the detector."
        ),
        (
            f"Processor time is read over {settings.clients} clients that ask for at least {settings.least_s:g} s; the "
            "supervisor's own questions to the models, one round in 15 s, are in it."
        ),
        (
            "The pipeline's own work is done again by its own code, one part at a time in one thread, for the garments "
            "that were found; depth is read from a map of noise. What the machine did beside it does not count."
        ),
    ]
