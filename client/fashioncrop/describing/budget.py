"""A limit on dollars that cannot be passed: a call's worst case is put aside before it is made."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import TracebackType
from typing import Self

from fashioncrop.errors import BudgetError, OptionError

_MOST_DOLLARS = 1_000_000_000


class Budget:
    """What paid calls may cost together. For any number of calls at a time of one event loop.

    A call whose worst case would only fit after others have ended waits for them; one that cannot fit any more is
    refused before it is made.
    """

    def __init__(self, max_dollars: float | None = None) -> None:
        """Nothing is spent yet.

        Args:
            max_dollars: the limit; None counts without one.

        Raises:
            OptionError: it is below 0, above a milliard or no number.
        """
        if max_dollars is not None and not 0 <= max_dollars <= _MOST_DOLLARS:
            raise OptionError(f"The limit on dollars must be from 0 to {_MOST_DOLLARS:,}; got {max_dollars}.")
        self._max = None if max_dollars is None else _exact(max_dollars)
        self._spent = Decimal(0)
        self._uncertain = Decimal(0)
        self._reserved = Decimal(0)
        self._changed = asyncio.Event()

    @property
    def max_dollars(self) -> float | None:
        """The limit; None where there is none."""
        return None if self._max is None else float(self._max)

    @property
    def spent_dollars(self) -> float:
        """All that was counted, `uncertain_dollars` included; calls in flight are not."""
        return float(self._spent)

    @property
    def uncertain_dollars(self) -> float:
        """The worst case of calls that were sent but of which nobody knows what they took."""
        return float(self._uncertain)

    async def reserve(self, worst_dollars: float | None) -> Reservation:
        """Put the worst case of a call aside; the call is made inside `with` on what is returned.

        Args:
            worst_dollars: the most that the call can cost; None where nobody knows.

        Raises:
            BudgetError: the limit might be passed, whatever the calls in flight come to.
            OptionError: there is a limit, and nobody knows what the call may cost.
        """
        if worst_dollars is None:
            if self._max is not None:
                raise OptionError(
                    "A limit on dollars needs the model's price, and the price table has none. Give a price file."
                )
            return Reservation(self, None)
        worst = _exact(worst_dollars)
        while self._max is not None and self._spent + self._reserved + worst > self._max:
            if self._spent + worst > self._max:
                left = max(self._max - self._spent, Decimal(0))
                raise BudgetError(
                    f"The next call might cost up to {_shown(worst)}, and {_shown(left)} is left of the limit of "
                    f"{_shown(self._max)}. It was not made. Raise the limit to go on."
                )
            await self._changed.wait()
        self._reserved += worst
        return Reservation(self, worst)

    def _settle(self, worst: Decimal | None, dollars: Decimal | None) -> None:
        if worst is not None:
            self._reserved -= worst
            if dollars is None:
                self._uncertain += worst
            self._spent += worst if dollars is None else dollars
        elif dollars is not None:
            self._spent += dollars
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Reservation:
    """Dollars put aside for one call; unless `settle` says what it took, all of them are counted when it ends."""

    def __init__(self, budget: Budget, worst: Decimal | None) -> None:
        self._budget = budget
        self._worst = worst
        self._dollars: Decimal | None = None

    def settle(self, dollars: float) -> None:
        """Say what the call took: 0 where it certainly took nothing."""
        self._dollars = _exact(dollars)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget._settle(self._worst, self._dollars)  # noqa: SLF001 - the other half of one thing


def _exact(dollars: float) -> Decimal:
    """Counted in units of 1e-12 dollars, so that the sum of thousands of calls is not off by one of them."""
    return Decimal(repr(float(dollars))).quantize(Decimal("1e-12"))


def _shown(dollars: Decimal) -> str:
    text = f"{dollars:.6f}".rstrip("0")
    return "$" + text + "0" * max(0, len("0.00") - len(text))
