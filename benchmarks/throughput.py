"""Photos per second and latencies of all contenders, in turn within one run, and what follows for the promises."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from contender_answers import Answer, Tolerance, agreement
from contender_servers import COMPILED, DOCUMENTED, OURS, USUAL, Contender
from documents import Table, Target
from fashioncrop import FashionCropError
from figures import Line
from load import Run, closed_loop
from run_options import Asked
from sample_photos import SamplePhoto
from serving import OnWords
from summaries import Spread, latencies, ratios, spread

_MS = 1000
_MB = 1e6
_TAIL_CLIENTS = 8
_MOST_TAIL = 2.0
_CROWD = 16
_TIMES_USUAL = {"full": 1.9, "small": 2.5}
_TIMES_USUAL_INT8 = 3.0
_TIMES_DOCUMENTED = 5.0


class DisagreementError(FashionCropError):
    """A contender's answers are not the same as this project's, so that comparing speed would mean nothing."""


@dataclass(frozen=True)
class Schedule:
    """How the contenders are measured.

    Attributes:
        clients: how many ask at a time, one level after the other.
        rounds: how often.
        least_s: how long a run lasts at least.
        least_each: answers that each client of a run has at least.
        compile_within_s: a contender that is not warm by then is left out.
    """

    clients: Sequence[int]
    rounds: int
    least_s: float
    least_each: int
    compile_within_s: float


@dataclass(frozen=True)
class Measured:
    """All runs.

    Attributes:
        runs: by contender and clients, one a round.
        memory_mb: by contender, when all was done.
        agreements: by contender, what `Agreement.told` says.
        left_out: by contender, why.
        garments: mean of a photo.
    """

    runs: Mapping[str, Mapping[int, Sequence[Run]]]
    memory_mb: Mapping[str, float]
    agreements: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, str]
    garments: float

    def per_second(self, contender: str, clients: int) -> Spread:
        """Photos a second."""
        return spread([run.per_second for run in self.runs[contender][clients]])

    def ratio(self, contender: str, clients: int) -> Spread:
        """How many times as many photos `ours` answers."""
        pairs = zip(self.runs[OURS][clients], self.runs[contender][clients], strict=True)
        ours, theirs = zip(*((one.per_second, other.per_second) for one, other in pairs), strict=True)
        return ratios(ours, theirs)

    def told(self) -> dict[str, Any]:
        """As JSON values."""
        contenders = {
            name: {
                str(clients): {
                    "per_second": asdict(self.per_second(name, clients)),
                    "per_second_by_round": [run.per_second for run in runs],
                    "latencies": asdict(pooled(runs)),
                    "times_faster_is_ours": None if name == OURS else asdict(self.ratio(name, clients)),
                }
                for clients, runs in levels.items()
            }
            for name, levels in self.runs.items()
        }
        return {
            "contenders": contenders,
            "memory_mb": dict(self.memory_mb),
            "agreement_with_ours": dict(self.agreements),
            "left_out": dict(self.left_out),
            "garments_of_a_photo": self.garments,
        }


def pooled(runs: Sequence[Run]) -> Any:  # noqa: ANN401 - Latencies
    """Latencies over all rounds."""
    return latencies([one.latency_s for one in chain.from_iterable(run.answered for run in runs)])


async def measure(
    contenders: Sequence[Contender],
    photos: Sequence[SamplePhoto],
    asked: Asked,
    schedule: Schedule,
    tolerances: Mapping[str, Tolerance],
    words: OnWords,
) -> Measured:
    """Warm every contender up, check that all answer the same, then measure them in turn.

    Args:
        contenders: that run; the first is `ours`.
        photos: asked about in turn.
        asked: what every request asks.
        schedule: see `Schedule`.
        tolerances: by contender, how far its answers may be from ours.
        words: told what goes on.

    Raises:
        DisagreementError: one answers something else.
        FashionCropError: one does not answer.
    """
    answers: dict[str, list[Answer]] = {}
    left_out: dict[str, str] = {}
    for contender in contenders:
        words(f"Warming up: {contender.name} ...")
        try:
            async with asyncio.timeout(schedule.compile_within_s if contender.name == COMPILED else None):
                for _ in range(contender.warm_ups):
                    answers[contender.name] = [await contender.client.ask(photo.data) for photo in photos]
        except TimeoutError:
            answers.pop(contender.name, None)
            left_out[contender.name] = f"not compiled within {schedule.compile_within_s:.0f} s"
            contender.stop.close()  # or it would go on compiling beside the others
    agreements = {}
    for name in [name for name in answers if name != OURS]:
        tolerance = tolerances[name]
        found = agreement(answers[OURS], answers[name], asked, tolerance)
        problems = found.problems(tolerance)
        if problems:
            raise DisagreementError(
                f"{name} does not answer as ours does, so nothing was measured: {'; '.join(problems)}."
            )
        agreements[name] = found.told(tolerance)
    running = [contender for contender in contenders if contender.name not in left_out]
    runs = await _all_runs(running, photos, schedule, words)
    memory_mb = {
        contender.name: contender.memory_bytes() / _MB for contender in running if contender.name != DOCUMENTED
    }
    garments = sum(len(answer.scores) for answer in answers[OURS]) / len(photos)
    return Measured(runs, memory_mb, agreements, left_out, garments)


async def _all_runs(
    contenders: Sequence[Contender], photos: Sequence[SamplePhoto], schedule: Schedule, words: OnWords
) -> dict[str, dict[int, list[Run]]]:
    runs: dict[str, dict[int, list[Run]]] = {one.name: {n: [] for n in schedule.clients} for one in contenders}
    for number in range(schedule.rounds):
        for clients in schedule.clients:
            # Another begins in each round, so that none always follows the same one.
            for contender in [*contenders[number % len(contenders) :], *contenders[: number % len(contenders)]]:

                async def ask(index: int, client: Any = contender.client) -> None:  # noqa: ANN401 - Asks
                    await client.ask(photos[index % len(photos)].data)

                run = await closed_loop(ask, clients, least_s=schedule.least_s, least_each=schedule.least_each)
                runs[contender.name][clients].append(run)
                words(
                    f"round {number + 1} of {schedule.rounds}, {clients} clients, {contender.name}: "
                    f"{run.per_second:.3g} photos a second"
                )
    return runs


def table_of(measured: Measured) -> Table:
    """One section for each number of clients, one row for each contender."""
    sections = []
    for clients in measured.runs[OURS]:
        rows = []
        for name, levels in measured.runs.items():
            times = pooled(levels[clients])
            ratio = "" if name == OURS else str(measured.ratio(name, clients))
            rows.append(
                (
                    name,
                    clients,
                    str(measured.per_second(name, clients)),
                    times.p50_ms,
                    times.p95_ms,
                    times.p99_ms,
                    ratio,
                )
            )
        sections.append(tuple(rows))
    columns = ("contender", "clients", "photos a second", "p50 ms", "p95 ms", "p99 ms", "ours to it")
    return Table(columns, tuple(sections))


def targets_of(measured: Measured, size: str, int8: str | None) -> list[Target]:
    """The promises that these contenders can judge.

    Args:
        measured: all runs.
        size: `full` or `small`.
        int8: the contender that serves int8 models, if any.
    """
    levels = list(measured.runs[OURS])
    targets = []
    if USUAL in measured.runs:
        targets.append(
            _at_least(
                f"against the {USUAL}, at every number of clients",
                _TIMES_USUAL[size],
                {clients: measured.ratio(USUAL, clients).median for clients in levels},
            )
        )
    if USUAL in measured.runs and int8 is not None and int8 in measured.runs and size == "full":
        by_clients = {
            clients: measured.per_second(int8, clients).median / measured.per_second(USUAL, clients).median
            for clients in levels
        }
        targets.append(
            _at_least(f"int8 against the {USUAL}, at every number of clients", _TIMES_USUAL_INT8, by_clients)
        )
    if DOCUMENTED in measured.runs and _CROWD in levels and size == "small":
        by_clients = {_CROWD: measured.ratio(DOCUMENTED, _CROWD).median}
        targets.append(_at_least(f"against {DOCUMENTED} at {_CROWD} clients", _TIMES_DOCUMENTED, by_clients))
    if _TAIL_CLIENTS in levels:
        times = pooled(measured.runs[OURS][_TAIL_CLIENTS])
        tail = times.p99_ms / times.p50_ms
        targets.append(
            Target(
                f"p99 to p50 at {_TAIL_CLIENTS} clients", f"at most {_MOST_TAIL:g}", f"{tail:.2f}", tail <= _MOST_TAIL
            )
        )
    return targets


def _at_least(says: str, times: float, by_clients: Mapping[int, float]) -> Target:
    clients, least = min(by_clients.items(), key=lambda item: item[1])
    got = f"{least:.2f} times, at {clients} clients" if len(by_clients) > 1 else f"{least:.2f} times"
    return Target(f"photos a second {says}", f"at least {times:g} times", got, least >= times)


def losses_of(measured: Measured) -> list[str]:
    """Where another contender does better."""
    sentences = []
    for name in [name for name in measured.runs if not name.startswith(OURS)]:
        for clients in measured.runs[OURS]:
            ratio = measured.ratio(name, clients).median
            if ratio < 1:
                sentences.append(
                    f"At {clients} clients the {name} answers {1 / ratio:.2f} times as many photos as ours."
                )
            ours, theirs = (pooled(measured.runs[one][clients]).p99_ms for one in (OURS, name))
            if theirs < ours:
                sentences.append(f"At {clients} clients the {name}'s p99 is {theirs:.0f} ms, ours {ours:.0f} ms.")
        memory = measured.memory_mb
        if name in memory and memory[name] < memory[OURS]:
            sentences.append(f"The {name} takes {memory[name]:.0f} MB of memory, ours {memory[OURS]:.0f} MB.")
    return sentences


def lines_of(measured: Measured) -> dict[str, Line]:
    """Photos a second by clients, one line for each contender."""
    lines = {}
    for name, levels in measured.runs.items():
        spreads = [measured.per_second(name, clients) for clients in levels]
        lines[name] = Line(
            [float(clients) for clients in levels],
            [one.median for one in spreads],
            [one.least for one in spreads],
            [one.most for one in spreads],
        )
    return lines
