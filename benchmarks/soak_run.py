"""From settings to the document of `soak.py`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from documents import Cell, Findings, Surroundings, Table, Target, document, write_document
from fashioncrop import AsyncClient, EmbeddedServer
from fashioncrop.errors import OptionError
from figures import Axes, Line, draw_lines
from load import Run, closed_loop, open_loop, poisson_arrivals
from mixed_requests import Kind, Verdict, drawn, judged, kinds, outcome_of
from model_identities import identities
from processes import busy_share, server_pid, server_processes, shared_memory_bytes
from sample_photos import SamplePhoto, about, drawn_photos
from serving import OnWords, exported, repository_name, running
from summaries import growth, latencies, percentile

PACKAGES = (
    "fashioncrop",
    "numpy",
    "nvidia-pytriton",
    "onnxruntime",
    "opencv-python-headless",
    "pillow",
    "tritonclient",
)
_TIMEOUT_S = 120.0
_PATIENCE_S = 0.1
"""Of callers who give up."""
_SAMPLES = 240
_LEAST_PAUSE_S = 0.25
_WINDOWS = 5
_MB = 1e6
_MOST_SHOWN = 5
_SMALLER = (2, 3)
"""The other photos have this part of the wanted size."""


@dataclass(frozen=True)
class Settings:
    """What to do; see the command's options."""

    models: str
    seconds: float
    warm_up_s: float
    load: float
    most_growth: float
    size_wh: tuple[int, int]
    clients: int
    find_s: float
    seed: int


@dataclass(frozen=True)
class Sample:
    """The server at one moment.

    Attributes:
        at_s: since the requests began.
        memory_bytes: resident memory of all its processes.
        shared_bytes: in /dev/shm.
        open_files: file handles of all its processes.
    """

    at_s: float
    memory_bytes: int
    shared_bytes: int
    open_files: int


@dataclass
class Seen:
    """What became of all requests.

    Attributes:
        outcomes: how many by kind and outcome.
        verdicts: how many by verdict.
        wrong: words of the first that nobody foresaw.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note(self, kind: Kind, error: Exception | None) -> None:
        """One more."""
        outcome = outcome_of(error)
        verdict = judged(kind, outcome, error)
        self.outcomes[kind.name, outcome] += 1
        self.verdicts[verdict] += 1
        if verdict is Verdict.WRONG and len(self.wrong) < _MOST_SHOWN:
            self.wrong.append(f"{kind.name}: {outcome}{f': {error}' if error is not None else ''}")


@dataclass(frozen=True)
class Soaked:
    """Everything that was measured.

    Attributes:
        most_per_second: answers a second of a full server.
        run: the requests of the long run.
        kinds: of each of them.
        seen: what became of them.
        samples: of the server meanwhile.
        repairs: of the server by its supervisor, meanwhile.
    """

    most_per_second: float
    run: Run
    kinds: Sequence[Kind]
    seen: Seen
    samples: Sequence[Sample]
    repairs: int

    def photo_latencies(self, warm_up_s: float) -> list[tuple[float, float]]:
        """When each plain photo was due after the warm-up, and how long it took, in seconds; in the order of time."""
        return sorted(
            (one.due_s, one.latency_s)
            for one in self.run.answered
            if self.kinds[one.index].name == "photo" and one.due_s >= warm_up_s
        )

    def grown(self, warm_up_s: float) -> dict[str, float]:
        """By what share each thing grew after the warm-up."""
        after = [sample for sample in self.samples if sample.at_s >= warm_up_s]
        return {
            "memory": growth([sample.memory_bytes for sample in after]),
            "shared memory": growth([sample.shared_bytes for sample in after]),
            "open files": growth([sample.open_files for sample in after]),
        }


def soak(settings: Settings, out: Path, name: str | None, words: OnWords) -> dict[str, Any]:
    """Keep a server busy, and write what was found.

    Args:
        settings: see `Settings`.
        out: the folder for document and figure.
        name: of the files; None for the usual one.
        words: told what goes on.

    Returns:
        The document; it says whether its targets are met.

    Raises:
        OptionError: the warm-up leaves nothing to look at.
        FashionCropError: the server does not start, or ended for good.
    """
    if settings.warm_up_s > settings.seconds / 2:
        raise OptionError(
            f"--warm-up {settings.warm_up_s:g} leaves less than half of --seconds {settings.seconds:g} to look at. "
            "Choose a shorter warm-up, or more time."
        )
    start_s = time.monotonic()
    surroundings = Surroundings(PACKAGES, busy_share())
    repository = exported(settings.models, words)
    photos = _photos(settings.size_wh)
    with running(repository, words) as server:
        soaked = asyncio.run(_soaked(server, settings, photos, words))
    if (count := sum(sample.at_s >= settings.warm_up_s for sample in soaked.samples)) < _WINDOWS:
        raise OptionError(f"The server could be looked at only {count} times after the warm-up. Give --seconds more.")
    grown = soaked.grown(settings.warm_up_s)
    findings = Findings(
        question=f"Does the server stay as it is, over {_in_words(settings.seconds)} of good and bad requests",
        settings=asdict(settings),
        conditions=_conditions(settings, photos, soaked),
        measured=_told(soaked, grown, settings),
        table=_table(soaked, grown, settings),
        targets=_targets(soaked, grown, settings),
        losses=_losses(soaked),
        models=identities(repository),
    )
    content = document("soak", findings, surroundings, time.monotonic() - start_s)
    file = name or f"soak-{repository_name(settings.models)}"
    write_document(out, file, content)
    axes = Axes(f"The server over time ({settings.models})", "minutes", "times the value after warm-up")
    draw_lines(out / f"{file}.svg", axes, _lines(soaked, settings))
    return content


def _photos(size_wh: tuple[int, int]) -> list[SamplePhoto]:
    """Of three sizes, and upright as well as lying."""
    width, height = size_wh
    photos = drawn_photos(3, size_wh)
    for divisor in _SMALLER:
        photos += drawn_photos(2, (max(height // divisor, 32), max(width // divisor, 32)))
    return photos


async def _soaked(server: EmbeddedServer, settings: Settings, photos: Sequence[SamplePhoto], words: OnWords) -> Soaked:
    of = kinds(photos)
    async with (
        AsyncClient(server.grpc_url, timeout_s=_TIMEOUT_S) as client,
        AsyncClient(server.grpc_url, timeout_s=_PATIENCE_S) as impatient,
    ):

        async def send(kind: Kind, number: int, seen: Seen) -> None:
            request = kind.make(number)
            error: Exception | None = None
            try:
                await (impatient if request.is_abandoned else client).analyze(request.data, **request.options)
            except Exception as raised:  # noqa: BLE001 - whatever comes is counted
                error = raised
            seen.note(kind, error)

        for photo in photos:
            await client.analyze(photo.data)
        words(f"Looking for the most it can do, {settings.clients} clients for {settings.find_s:g} s ...")
        mixed = drawn(of, 10_000, settings.seed + 1)
        full = await closed_loop(
            lambda index: send(mixed[index % len(mixed)], index, Seen()), settings.clients, least_s=settings.find_s
        )
        rate = settings.load * full.per_second
        words(f"{full.per_second:.3g} requests a second; {rate:.3g} a second for {_in_words(settings.seconds)} ...")
        due_s = poisson_arrivals(rate, settings.seconds, settings.seed)
        chosen, seen = drawn(of, len(due_s), settings.seed), Seen()
        samples: list[Sample] = []
        sampling = asyncio.create_task(_sample(server, samples, settings))
        try:
            begin_s = time.monotonic()
            run = await open_loop(lambda index: send(chosen[index], index, seen), due_s)
            # Few requests may end early; the server is looked at for as long as was said.
            await asyncio.sleep(begin_s + settings.seconds - time.monotonic())
        finally:
            sampling.cancel()
            await asyncio.gather(sampling, return_exceptions=True)
    if sampling.done() and not sampling.cancelled() and (problem := sampling.exception()) is not None:
        raise problem
    state = server.state
    return Soaked(full.per_second, run, chosen, seen, samples, state.repairs if state is not None else 0)


async def _sample(server: EmbeddedServer, samples: list[Sample], settings: Settings) -> None:
    start_s = time.monotonic()
    pause_s = max(settings.seconds / _SAMPLES, _LEAST_PAUSE_S)
    while True:
        samples.append(await asyncio.to_thread(_one_sample, server, time.monotonic() - start_s))
        await asyncio.sleep(pause_s)


def _one_sample(server: EmbeddedServer, at_s: float) -> Sample:
    pid = server_pid(server)
    processes = server_processes(pid)
    return Sample(
        at_s,
        sum(one.resident_bytes for one in processes),
        shared_memory_bytes(pid),
        sum(one.open_files for one in processes),
    )


def _told(soaked: Soaked, grown: dict[str, float], settings: Settings) -> dict[str, Any]:
    photo = soaked.photo_latencies(settings.warm_up_s)
    return {
        "most_per_second": soaked.most_per_second,
        "offered_per_second": settings.load * soaked.most_per_second,
        "requests": len(soaked.run.answered),
        "seconds": soaked.run.seconds,
        "most_late_ms": soaked.run.most_late_s * 1000,
        "photo_latencies": asdict(latencies([latency for _, latency in photo])) if photo else None,
        "photo_latency_growth": growth([latency for _, latency in photo]) if len(photo) >= _WINDOWS else None,
        "grown": grown,
        "outcomes": [
            {"kind": kind, "outcome": outcome, "requests": count}
            for (kind, outcome), count in sorted(soaked.seen.outcomes.items())
        ],
        "verdicts": {verdict: soaked.seen.verdicts[verdict] for verdict in Verdict},
        "wrong": soaked.seen.wrong,
        "repairs": soaked.repairs,
        "samples": [asdict(sample) for sample in soaked.samples],
    }


def _table(soaked: Soaked, grown: dict[str, float], settings: Settings) -> Table:
    after = [sample for sample in soaked.samples if sample.at_s >= settings.warm_up_s]
    rows: list[tuple[Cell, ...]] = [
        ("memory, MB", after[0].memory_bytes / _MB, after[-1].memory_bytes / _MB, f"{grown['memory']:+.2%}"),
        (
            "shared memory, MB",
            after[0].shared_bytes / _MB,
            after[-1].shared_bytes / _MB,
            f"{grown['shared memory']:+.2%}",
        ),
        ("open files", after[0].open_files, after[-1].open_files, f"{grown['open files']:+.2%}"),
    ]
    photo = [latency for _, latency in soaked.photo_latencies(settings.warm_up_s)]
    if len(photo) >= _WINDOWS:
        window = len(photo) // _WINDOWS
        for share in (0.5, 0.95):
            first, last = (percentile(part, share) * 1000 for part in (photo[:window], photo[-window:]))
            name = f"p{share * 100:.0f} of a photo, ms (first and last fifth)"
            rows.append((name, first, last, f"{last / first - 1:+.1%}"))
    counts: list[tuple[Cell, ...]] = [
        (f"{kind}: {outcome}", None, count, None) for (kind, outcome), count in sorted(soaked.seen.outcomes.items())
    ]
    return Table(("over time", "after warm-up", "at the end", "growth"), (tuple(rows), tuple(counts)))


def _targets(soaked: Soaked, grown: dict[str, float], settings: Settings) -> list[Target]:
    limit = settings.most_growth
    targets = [
        Target(f"growth of {name} after warm-up", f"at most {limit:.0%}", f"{share:+.2%}", share <= limit)
        for name, share in grown.items()
    ]
    wrong = soaked.seen.verdicts[Verdict.WRONG]
    targets.append(
        Target(
            "errors without a name, and answers to what is bad",
            "none",
            f"{wrong}" + (f" ({'; '.join(soaked.seen.wrong)})" if wrong else ""),
            wrong == 0,
        )
    )
    targets.append(Target("repairs by the supervisor", "none", str(soaked.repairs), soaked.repairs == 0))
    return targets


def _losses(soaked: Soaked) -> list[str]:
    named = soaked.seen.verdicts[Verdict.NAMED]
    if not named:
        return []
    return [f"{named} of {len(soaked.run.answered)} requests got a named error where an answer was due."]


def _lines(soaked: Soaked, settings: Settings) -> dict[str, Line]:
    after = [sample for sample in soaked.samples if sample.at_s >= settings.warm_up_s]
    minutes = [sample.at_s / 60 for sample in after]
    values = {
        "memory": [float(sample.memory_bytes) for sample in after],
        "shared memory": [float(sample.shared_bytes) for sample in after],
        "open files": [float(sample.open_files) for sample in after],
    }
    return {name: _relative(minutes, series) for name, series in values.items()}


def _relative(minutes: list[float], series: list[float]) -> Line:
    times = [value / series[0] for value in series]
    return Line(minutes, times, times, times)


def _conditions(settings: Settings, photos: Sequence[SamplePhoto], soaked: Soaked) -> list[str]:
    return [
        about(photos) + " As JPEG, some as PNG and WebP; with the default and with other vocabularies.",
        (
            f"{settings.load:.0%} of what {settings.clients} clients got answered ({soaked.most_per_second:.3g} "
            "requests a second); requests come at random distances, and latencies count from when each was due. The "
            f"sender was late by at most {soaked.run.most_late_s * 1000:.0f} ms."
        ),
        (
            f"What was read in the first {_in_words(settings.warm_up_s)} does not count. Growth compares the medians "
            "of the first and the last fifth of what follows."
        ),
        "About one request in five is bad, or its caller gives up; `answered` and each error are counted by kind.",
    ]


def _in_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"  # noqa: PLR2004 - two minutes
