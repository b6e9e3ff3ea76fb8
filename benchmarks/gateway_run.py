"""From settings to the document of `gateway.py`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp

from documents import Findings, Surroundings, Table, Target, document, write_document
from fashioncrop import AnalyzeOptions, AsyncClient
from fashioncrop.errors import ServerFaultError
from load import Ask, Run, closed_loop
from model_identities import identities
from processes import busy_share
from recorded_server import recorded
from run_options import Asked
from sample_photos import SamplePhoto, about
from serving import OnWords, exported, repository_name, running
from summaries import Spread, spread

PACKAGES = ("fashioncrop", "aiohttp", "fastapi", "grpcio", "h11", "pydantic", "starlette", "tritonclient", "uvicorn")
_MOST_ADDED_MS = 10.0
_MOST_BLOCKED_MS = 50.0
_MOST_GROWTH = 0.05
_PROCESS = Path(__file__).with_name("gateway_process.py")
_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Settings:
    """What to measure; see the command's options."""

    models: str
    clients: int
    answer_ms: float
    rounds: int
    least_s: float
    requests: int
    asked: Asked


@dataclass(frozen=True)
class Held:
    """What held the gateway's loop up, and its memory; see `gateway_process.Watch`."""

    callbacks: int
    longest_wall_ms: float
    longest_cpu_ms: float
    resident_bytes: int


@dataclass(frozen=True)
class Measured:
    """Everything.

    Attributes:
        direct: the client's runs, one a round.
        through: the gateway's.
        held: over the gateway's runs.
        grown: before and after `Settings.requests` more; empty where none were asked.
        passed_on: requests that the real server had to answer while it was measured.
    """

    direct: tuple[Run, ...]
    through: tuple[Run, ...]
    held: tuple[Held, ...]
    grown: tuple[Held, ...]
    passed_on: int


def compare(
    settings: Settings, photos: Sequence[SamplePhoto], out: Path, name: str | None, words: OnWords
) -> dict[str, Any]:
    """Measure, and write what was found.

    Args:
        settings: see `Settings`.
        photos: to ask about.
        out: the folder for the document.
        name: of the file; None for the usual one.
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
        measured = asyncio.run(_measured(server.grpc_url, settings, photos, words))
    findings = Findings(
        question="What the gateway adds to the client's time, and what holds its event loop up",
        settings={**asdict(settings), "photos": [photo.name for photo in photos]},
        conditions=_conditions(settings, photos),
        measured={
            "direct": [asdict(run.latencies) | {"per_second": run.per_second} for run in measured.direct],
            "through": [asdict(run.latencies) | {"per_second": run.per_second} for run in measured.through],
            "held": [asdict(one) for one in measured.held],
            "grown": [asdict(one) for one in measured.grown],
        },
        table=_table(measured),
        targets=_targets(settings, measured),
        warnings=_warnings(measured),
        models=identities(repository),
    )
    content = document("gateway", findings, surroundings, time.monotonic() - start_s)
    write_document(out, name or f"gateway-{repository_name(settings.models)}", content)
    return content


async def _measured(real_url: str, settings: Settings, photos: Sequence[SamplePhoto], words: OnWords) -> Measured:
    async with (
        recorded(real_url) as (server, url),
        AsyncClient(url, timeout_s=_TIMEOUT_S) as client,
        _gateway(url) as (gateway, session, address),
    ):
        direct, through = _direct(client, settings, photos), _through(session, address, settings, photos)
        words("Recording the answers ...")
        for index in range(len(photos)):
            await direct(index)
        recorded_of = server.passed_on
        for index in range(len(photos)):
            await through(index)  # the same questions, so that the same answers are known
        server.answer_s = settings.answer_ms / 1000

        async def looped(ask: Ask) -> Run:
            server.scatter(settings.clients)
            return await closed_loop(ask, settings.clients, least_s=settings.least_s)

        for ask in (direct, through):
            await closed_loop(ask, settings.clients, least_s=2.0)
        runs: tuple[list[Run], list[Run]] = ([], [])
        held = []
        for number in range(settings.rounds):
            words(f"Round {number + 1} of {settings.rounds}, {settings.clients} clients ...")
            runs[0].append(await looped(direct))
            await gateway.report()
            runs[1].append(await looped(through))
            held.append(await gateway.report())
        grown: list[Held] = []
        if settings.requests:
            words(f"{settings.requests} more requests, to see whether memory grows ...")
            server.answer_s = 0.0
            grown.append(await gateway.report())
            least_each = -(-settings.requests // settings.clients)
            await closed_loop(through, settings.clients, least_s=0.0, least_each=least_each)
            grown.append(await gateway.report())
        passed_on = server.passed_on - recorded_of
    return Measured(tuple(runs[0]), tuple(runs[1]), tuple(held), tuple(grown), passed_on)


def _direct(client: AsyncClient, settings: Settings, photos: Sequence[SamplePhoto]) -> Ask:
    options = AnalyzeOptions(
        score_threshold=settings.asked.score_threshold,
        max_garments=settings.asked.max_garments,
        crops=False,
        embeddings=False,
    )

    async def ask(index: int) -> None:
        await client.analyze(photos[index % len(photos)].data, **options)

    return ask


def _through(session: aiohttp.ClientSession, address: str, settings: Settings, photos: Sequence[SamplePhoto]) -> Ask:
    async def ask(index: int) -> None:
        form = aiohttp.FormData()
        form.add_field("image", photos[index % len(photos)].data, filename="photo.jpg")
        form.add_field("threshold", repr(settings.asked.score_threshold))
        form.add_field("max_garments", str(settings.asked.max_garments))
        async with session.post(f"{address}/v1/analyze", data=form) as response:
            body = await response.read()
            if response.status != 200:  # noqa: PLR2004 - HTTP's
                raise ServerFaultError(f"The gateway answered {response.status}: {body[:300].decode(errors='replace')}")

    return ask


class _Gateway:
    """The gateway's process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> dict[str, Any]:
        """What it says next."""
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        line = await self._process.stdout.readline()
        if not line:
            raise ServerFaultError("The gateway's process ended.")
        said: dict[str, Any] = json.loads(line)
        return said

    async def report(self) -> Held:
        """What held its loop up since the last report."""
        assert self._process.stdin is not None  # noqa: S101 - as above
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()
        return Held(**await self.line())


@asynccontextmanager
async def _gateway(url: str) -> AsyncIterator[tuple[_Gateway, aiohttp.ClientSession, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(_PROCESS),
        url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    gateway = _Gateway(process)
    try:
        told = await gateway.line()
        headers = {"Authorization": f"Bearer {told['key']}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
            yield gateway, session, str(told["url"])
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


def _added(measured: Measured) -> Spread:
    pairs = zip(measured.through, measured.direct, strict=True)
    return spread([one.latencies.p50_ms - other.latencies.p50_ms for one, other in pairs])


def _table(measured: Measured) -> Table:
    def row(name: str, runs: Sequence[Run]) -> tuple[Any, ...]:
        latencies = [run.latencies for run in runs]
        columns = [spread([getattr(one, field) for one in latencies]) for field in ("p50_ms", "p95_ms", "p99_ms")]
        return (name, *map(str, columns), str(spread([run.per_second for run in runs])))

    return Table(
        ("asked", "p50 ms", "p95 ms", "p99 ms", "a second"),
        (
            (row("directly, by the client", measured.direct), row("through the gateway", measured.through)),
            (("added by the gateway", str(_added(measured)), None, None, None),),
        ),
    )


def _targets(settings: Settings, measured: Measured) -> list[Target]:
    added = _added(measured).median
    blocked = max(one.longest_cpu_ms for one in measured.held)
    wall = max(one.longest_wall_ms for one in measured.held)
    targets = [
        Target(
            f"median added at {settings.clients} clients",
            f"at most {_MOST_ADDED_MS:g} ms",
            f"{added:.1f} ms",
            added <= _MOST_ADDED_MS,
        ),
        Target(
            "longest hold of the event loop",
            f"at most {_MOST_BLOCKED_MS:g} ms",
            f"{blocked:.1f} ms of its own processor time, {wall:.1f} ms on the clock",
            max(blocked, wall) <= _MOST_BLOCKED_MS,
        ),
    ]
    if measured.grown:
        before, after = (one.resident_bytes for one in measured.grown)
        growth = after / before - 1
        targets.append(
            Target(
                f"memory over {settings.requests} requests",
                f"no more than {_MOST_GROWTH:.0%} growth",
                f"{before / 2**20:.0f} to {after / 2**20:.0f} MiB",
                growth <= _MOST_GROWTH,
            )
        )
    return targets


def _warnings(measured: Measured) -> list[str]:
    if not measured.passed_on:
        return []
    return [
        (
            f"The real server answered {measured.passed_on} requests while it was measured: client and gateway do not "
            "ask alike, so their times are not of the same answers."
        )
    ]


def _conditions(settings: Settings, photos: Sequence[SamplePhoto]) -> list[str]:
    return [
        about(photos) + f" At most {settings.asked.max_garments} garments of each; no crops, no embeddings.",
        (
            f"{settings.clients} clients, each asks again when it is answered. The server's answers were recorded and "
            f"come after {settings.answer_ms:g} ms, so that its speed is the same for both; each client's first answer "
            "comes later by a time of its own, so that they do not all ask at once."
        ),
        (
            "The gateway is a process of its own with keys, limits, log and metrics, without a cache; photos go there "
            "as forms over HTTP on loopback. What the asking side takes to write a form and read an answer is in what "
            "is added."
        ),
        (
            "The loop's longest hold is the longest single callback: its own processor time, and its time on the "
            "clock, in which other threads and other processes of this machine may have been in its way."
        ),
    ]
