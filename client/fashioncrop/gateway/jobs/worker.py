"""A worker as a process: takes jobs until told to stop, then finishes what it has begun."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from fashioncrop.gateway.access import Gatekeeper, Limiter
from fashioncrop.gateway.jobs.book import open_book
from fashioncrop.gateway.jobs.working import Runner, keep_tidy
from fashioncrop.gateway.serving import opened
from fashioncrop.gateway.telling import Figures, start_logging
from fashioncrop.gateway.tracing import open_tracing
from fashioncrop.gateway.work import Workshop
from fashioncrop.settings import Settings

_log = logging.getLogger("fashioncrop.gateway.jobs")

_GRACE_S = 60.0


def work(settings: Settings, *, concurrency: int, silent_for_s: float, on_ready: Callable[[str], None]) -> None:
    """Run jobs until told to stop.

    Args:
        settings: see `Settings`.
        concurrency: jobs at a time.
        silent_for_s: a worker that says nothing for so long is taken for dead, and its jobs go to others.
        on_ready: is told where the jobs are.

    Raises:
        OptionError, QueueError, EmbeddedDatabaseError: the jobs' database cannot be used.
        FashionCropError: as `open_parts`.
    """
    start_logging()
    asyncio.run(_work(settings, concurrency=concurrency, silent_for_s=silent_for_s, on_ready=on_ready))


async def _work(settings: Settings, *, concurrency: int, silent_for_s: float, on_ready: Callable[[str], None]) -> None:
    with open_tracing(settings.traces_url) as tracing:
        async with opened(settings, tracing.headers) as parts, open_book(settings) as book:
            workshop = Workshop(parts, settings, Gatekeeper(None, Limiter(settings.rate_limit)), Figures(), book)
            book.database.on_job(Runner(book, workshop).run)
            every_s = silent_for_s / 3
            tidying = asyncio.create_task(keep_tidy(book, every_s=every_s, silent_for_s=silent_for_s))
            on_ready(book.database.shown)
            try:
                await book.database.work(concurrency=concurrency, heartbeat_s=every_s, grace_s=_GRACE_S)
            finally:
                tidying.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await tidying
