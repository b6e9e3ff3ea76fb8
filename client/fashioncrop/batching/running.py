"""Photos through an analyser, a few at a time, each one's row written as soon as it is known."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from fashioncrop.batching.journal import Journal, Row
from fashioncrop.batching.listing import Item
from fashioncrop.errors import (
    BudgetError,
    DeploymentError,
    FashionCropError,
    OutputError,
    TryAgainError,
)
from fashioncrop.results import Analysis

Analyze = Callable[[Item], Awaitable[Analysis]]
MOST_IN_A_ROW = 10
"""So many photos after each other that fail for no reason of their own end the run: the server is gone, or the key."""


@dataclass
class Tally:
    """How far a run is.

    Attributes:
        analysed: photos answered in this run.
        failed: photos that failed in this run, each with a row.
        skipped: photos that an earlier run did.
        garments: found in this run.
        dollars: spent in this run, as far as prices are known.
    """

    analysed: int = 0
    failed: int = 0
    skipped: int = 0
    garments: int = 0
    dollars: float = 0.0


class _Run:
    """Writes each photo's row; failures that are no photo's fault end the run when there are too many in a row."""

    def __init__(self, analyze: Analyze, journal: Journal, on_progress: Callable[[Tally], None]) -> None:
        self._analyze, self._journal, self._on_progress = analyze, journal, on_progress
        self._outages_in_a_row = 0
        self.tally = Tally()

    def skip(self) -> None:
        self.tally.skipped += 1
        self._on_progress(self.tally)

    async def one(self, item: Item) -> None:
        try:
            analysis = await self._analyze(item)
        except (OutputError, BudgetError):
            raise
        except FashionCropError as error:
            self._failed(item, error)
        else:
            self._outages_in_a_row = 0
            self._journal.append(Row(source=item.key, analysis=analysis))
            self.tally.analysed += 1
            self.tally.garments += len(analysis.garments)
            self.tally.dollars += (analysis.cost.dollars or 0.0) if analysis.cost else 0.0
        self._on_progress(self.tally)

    def _failed(self, item: Item, error: FashionCropError) -> None:
        if isinstance(error, TryAgainError | DeploymentError):
            self._outages_in_a_row += 1
            if self._outages_in_a_row >= MOST_IN_A_ROW:
                raise error
        else:
            self._outages_in_a_row = 0
        self._journal.append(Row.of_error(item.key, error))
        self.tally.failed += 1


async def run_batch(
    items: Iterable[Item],
    analyze: Analyze,
    journal: Journal,
    *,
    concurrency: int,
    on_progress: Callable[[Tally], None] = lambda _tally: None,
) -> Tally:
    """Analyse what the journal does not hold yet.

    A photo that cannot be read or is refused gets a row with its error, and the next goes on. So does a photo that
    failed because of the server, until `MOST_IN_A_ROW` did one after the other.

    Args:
        items: the photos, taken one by one.
        analyze: of one photo.
        journal: where rows go.
        concurrency: photos in flight at a time.
        on_progress: called after each photo.

    Raises:
        OutputError: a row or a crop cannot be written.
        BudgetError: the next photo might pass the limit on dollars.
        TryAgainError, DeploymentError: nothing goes on any more. What was done is kept in each case.
    """
    run = _Run(analyze, journal, on_progress)
    in_flight: set[asyncio.Task[None]] = set()
    try:
        for item in items:
            if item.key in journal.done or item.key in journal.failed:
                run.skip()
                continue
            if len(in_flight) >= concurrency:
                in_flight = await _first_done(in_flight)
            in_flight.add(asyncio.create_task(run.one(item)))
        while in_flight:
            in_flight = await _first_done(in_flight)
    finally:
        for task in in_flight:
            task.cancel()
        await asyncio.gather(*in_flight, return_exceptions=True)
    return run.tally


async def _first_done(tasks: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Wait until one has ended; its error, if it is one that ends the run, is raised."""
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    return pending
