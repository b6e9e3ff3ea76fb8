"""Work that threads of a pool may take off somebody's hands, and that nobody waits for before it has begun."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import partial
from typing import Generic, TypeVar

_T = TypeVar("_T")
_Item = TypeVar("_Item")


class Errand(Generic[_T]):
    """Work handed to a pool. Whoever wants its result before a thread was free for it does it himself.

    Args:
        pool: does it, sooner or later.
        work: done once at most.
    """

    def __init__(self, pool: Executor, work: Callable[[], _T]) -> None:
        self._work = work
        self._future = pool.submit(work)

    def result(self) -> _T:
        """What the work gave; raises what it raised. To be asked for once."""
        return self._work() if self._future.cancel() else self._future.result()

    def drop(self) -> None:
        """Nobody wants it any more; what has begun goes on."""
        self._future.cancel()


def shared(pool: Executor, work: Callable[[_Item], _T], items: Iterable[_Item]) -> list[_T]:
    """`work` of each item, in their order: the caller begins with the first, free threads of the pool with the last."""
    errands = [Errand(pool, partial(work, item)) for item in reversed([*items])]
    try:
        return [errand.result() for errand in reversed(errands)]
    finally:
        for errand in errands:  # one failed, which is enough
            errand.drop()
