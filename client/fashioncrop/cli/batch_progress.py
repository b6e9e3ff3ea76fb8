"""A line that says how far a batch is, how fast it goes and how long it will take."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fashioncrop.batching.running import Tally

_PLAIN_EVERY = 100


class BatchProgress:
    """A bar on a terminal; elsewhere a line for every hundred photos.

    Args:
        total: photos in all, None where nobody knows.
        console: of standard error.
    """

    def __init__(self, total: int | None, console: Console) -> None:
        self._total, self._console = total, console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("photos", total=total, rate="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._bar.stop()

    def __call__(self, tally: Tally) -> None:
        """Show the tally."""
        done = tally.analysed + tally.failed
        if not self._console.is_terminal:
            if done and done % _PLAIN_EVERY == 0:
                of = f" of {self._total}" if self._total is not None else ""
                self._console.print(f"{done + tally.skipped}{of} photos, {tally.failed} failed", markup=False)
            return
        speed = self._bar.tasks[self._task].speed
        rate = f"{speed:.1f}/s" if speed else ""
        failed = f", {tally.failed} failed" if tally.failed else ""
        self._bar.update(self._task, completed=done + tally.skipped, rate=rate, description=f"photos{failed}")
