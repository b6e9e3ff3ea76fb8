"""What the calls for one photo took together."""

from __future__ import annotations

from fashioncrop.describing.endpoint import ChatAnswer
from fashioncrop.results import Usage


class Meter:
    """Adds answered calls up."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._answers: list[ChatAnswer] = []

    def add(self, answer: ChatAnswer) -> None:
        """Count one answered call."""
        self._answers.append(answer)

    def usage(self) -> Usage:
        """The sum; its dollars are None where one call's are, and a call that does not say its tokens adds none."""
        tokens = [answer.tokens for answer in self._answers if answer.tokens is not None]
        dollars = [answer.dollars for answer in self._answers]
        known = [amount for amount in dollars if amount is not None]
        return Usage(
            model=self._model,
            calls=len(self._answers),
            input_tokens=sum(one.input for one in tokens),
            cached_input_tokens=sum(one.cached for one in tokens),
            output_tokens=sum(one.output for one in tokens),
            dollars=sum(known) if len(known) == len(dollars) else None,
        )
