"""Photos through an analyser, a few at a time, each one's row written as soon as it is known."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

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


class Patience:
    """Ends a run when failures that are no photo's fault come one after the other; see `MOST_IN_A_ROW`."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def answered(self) -> None:
        """A photo was answered: whoever is asked is there."""
        self._in_a_row = 0

    def failed(self, error: FashionCropError) -> None:
        """A photo failed.

        Raises:
            TryAgainError, DeploymentError: `error`, where it is one too many.
        """
        if not isinstance(error, TryAgainError | DeploymentError):
            self._in_a_row = 0
            return
        self._in_a_row += 1
        if self._in_a_row >= MOST_IN_A_ROW:
            raise error


class _Run:
    """Writes each photo's row; failures that are no photo's fault end the run when there are too many in a row."""

    def __init__(self, analyze: Analyze, journal: Journal, on_progress: Callable[[Tally], None]) -> None:
        self._analyze, self._journal, self._on_progress = analyze, journal, on_progress
        self._patience = Patience()
        self.tally = Tally()

    def is_new(self, item: Item) -> bool:
        if item.key not in self._journal.done and item.key not in self._journal.failed:
            return True
        self.tally.skipped += 1
        self._on_progress(self.tally)
        return False

    async def one(self, item: Item) -> None:
        try:
            analysis = await self._analyze(item)
        except (OutputError, BudgetError):
            raise
        except FashionCropError as error:
            self._patience.failed(error)
            self._journal.append(Row.of_error(item.key, error))
            self.tally.failed += 1
        else:
            self._patience.answered()
            self._journal.append(Row(source=item.key, analysis=analysis))
            self.tally.analysed += 1
            self.tally.garments += len(analysis.garments)
            self.tally.dollars += (analysis.cost.dollars or 0.0) if analysis.cost else 0.0
        self._on_progress(self.tally)


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
    await run_each((item for item in items if run.is_new(item)), run.one, concurrency=concurrency)
    return run.tally


async def run_each(
    items: Iterable[Item], one: Callable[[Item], Coroutine[Any, Any, None]], *, concurrency: int
) -> None:
    """Do something with each photo, so many at a time; an error ends it all, and what is under way is cancelled.

    Args:
        items: the photos, taken one by one.
        one: what to do.
        concurrency: photos in flight at a time.
    """
    in_flight: set[asyncio.Task[None]] = set()
    try:
        for item in items:
            if len(in_flight) >= concurrency:
                in_flight = await _first_done(in_flight)
            in_flight.add(asyncio.create_task(one(item)))
        while in_flight:
            in_flight = await _first_done(in_flight)
    finally:
        for task in in_flight:
            task.cancel()
        await asyncio.gather(*in_flight, return_exceptions=True)


async def _first_done(tasks: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Wait until one has ended; its error, if it is one that ends the run, is raised."""
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    return pending
