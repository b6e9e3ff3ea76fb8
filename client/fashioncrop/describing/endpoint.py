"""Calls of one endpoint: how many at a time, in which dialect, how often repeated, and what they may cost.

Repetitions are made here and not by the openai package (its `max_retries` is 0): it would repeat an exhausted account
like a busy one, while here a call gives up its place as long as it waits, holds the others back when the endpoint asks
for a pause, and puts its worst case aside in the budget each time anew.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from fashioncrop.describing.budget import Budget
from fashioncrop.describing.dialect import ChatRequest, Dialect
from fashioncrop.describing.prices import ModelPrice, PriceTable
from fashioncrop.describing.reading import ReplyReader
from fashioncrop.describing.replies import Failure, Lost, Reply, Tokens
from fashioncrop.describing.retries import pause_s
from fashioncrop.describing.schema import Answer
from fashioncrop.describing.settings import DescriberSettings
from fashioncrop.errors import CredentialError, FashionCropError, OptionError

_log = logging.getLogger("fashioncrop.describing")


@dataclass(frozen=True)
class ChatAnswer:
    """What came back.

    Attributes:
        answer: what the model said.
        tokens: None where the endpoint does not say.
        dollars: None where tokens or price are unknown.
    """

    answer: Answer
    tokens: Tokens | None
    dollars: float | None


class Endpoint:
    """One endpoint, asked by any number of tasks of one event loop."""

    def __init__(self, settings: DescriberSettings, prices: PriceTable, budget: Budget) -> None:
        """Nothing is sent yet.

        Raises:
            OptionError: the extra `describe` is not installed, or there is a limit on dollars but no price.
            CredentialError: OpenAI's endpoint is asked without a key.
        """
        try:
            from fashioncrop.describing._openai import ChatConnection  # noqa: PLC0415 - an extra, and slow to import
        except ModuleNotFoundError as error:
            raise OptionError(
                "Descriptions need the openai package. Run pip install 'fashioncrop[describe]'."
            ) from error
        if settings.is_openai() and settings.api_key is None:
            raise CredentialError(f"{settings.shown_url} needs a key, and none was given. Set api_key, or base_url.")
        self._settings = settings
        self._price: ModelPrice | None = prices.price_of(settings.model)
        self._default_effort = None if self._price is None else self._price.reasoning_effort
        self._budget = budget
        if budget.max_dollars is not None and (self._price is None or self._price.image is None):
            raise OptionError(
                f"A limit on dollars needs the price of {settings.model} and how it counts an image, and the price "
                f"table of {prices.as_of} does not have both. Give a price file, or no limit."
            )
        self._reader = ReplyReader(settings)
        self._slots = asyncio.Semaphore(settings.max_concurrency)
        self._quiet_until_s = 0.0
        self._sleep = asyncio.sleep
        # OpenAI has given the limit a new name and refuses the old one for new models; most others know the old one,
        # and some pass over the new one without a word, so that an answer would have no limit.
        self.dialect = Dialect(length_limit="max_completion_tokens" if settings.is_openai() else "max_tokens")
        self._connection = ChatConnection(settings)

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        """Ask until there is an answer or no sense in asking again.

        Raises:
            CredentialError: the key is missing or refused, or its account is exhausted.
            OptionError: the endpoint does not have the model or does not take the request.
            BudgetError: the limit on dollars might be passed.
            OverloadedError: the endpoint takes no more at the moment.
            ServerUnavailableError: it cannot be reached or fails.
            DeadlineError: it is too slow.
            ServerFaultError: it answers with something else.
        """
        repetitions = 0
        while True:
            dialect = self.dialect
            outcome = await self._attempt(request, dialect)
            if isinstance(outcome, ChatAnswer):
                return outcome
            if outcome.rejected is not None and self._adapt(outcome, dialect):
                continue
            wait_s = pause_s(repetitions, outcome.retry_after_s)
            if self._is_final(outcome, repetitions):
                raise self._error(outcome, repetitions)
            if outcome.retry_after_s is not None:
                self._quiet_until_s = max(self._quiet_until_s, asyncio.get_running_loop().time() + wait_s)
            repetitions += 1
            _log.debug("%s; asking again in %.2f s", outcome.sentence, wait_s)
            await self._sleep(wait_s)

    async def _attempt(self, request: ChatRequest, dialect: Dialect) -> ChatAnswer | Failure:
        async with self._slots:
            quiet_s = self._quiet_until_s - asyncio.get_running_loop().time()
            if quiet_s > 0:
                await self._sleep(quiet_s)
            with await self._budget.reserve(self._worst_dollars(request)) as reservation:
                read = self._reader.read(await self._send(dialect.body(request, self._settings, self._default_effort)))
                if isinstance(read, Failure):
                    if not read.may_cost:
                        reservation.settle(0.0)
                    return read
                dollars = self._dollars(read.tokens)
                if dollars is not None:
                    reservation.settle(dollars)
        return ChatAnswer(read.answer, read.tokens, dollars)

    async def _send(self, body: dict[str, Any]) -> Reply | Lost:
        """The package's own timeout starts anew with every byte; this one does not."""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._connection.send(body)
        except TimeoutError:
            return Lost("timeout")

    def _adapt(self, outcome: Failure, dialect: Dialect) -> bool:
        """Remember what the endpoint does not take; False where there is no other way to ask."""
        if outcome.rejected is None or self.dialect != dialect:  # another call has adapted already
            return self.dialect != dialect
        following = dialect.without(outcome.rejected)
        if following is None:
            return False
        _log.warning("%s From now on it is asked without: %s", outcome.sentence, outcome.rejected)
        self.dialect = following
        return True

    def _is_final(self, outcome: Failure, repetitions: int) -> bool:
        too_long = outcome.retry_after_s is not None and outcome.retry_after_s > self._settings.max_wait_s
        return not outcome.repeatable or too_long or repetitions >= self._settings.max_retries

    def _error(self, outcome: Failure, repetitions: int) -> FashionCropError:
        sentence = outcome.sentence
        if outcome.retry_after_s is not None:
            sentence += f" It asks to wait {outcome.retry_after_s:g} s."
        if repetitions:
            sentence += f" It was asked {repetitions + 1} times."
        return outcome.error(sentence)

    def _worst_dollars(self, request: ChatRequest) -> float | None:
        if self._price is None or self._price.image is None:
            return None
        image_tokens = self._price.image.tokens(request.picture.size_wh, self._settings.detail)
        return self._price.most_dollars(
            input_tokens=image_tokens + request.most_text_tokens(), output_tokens=request.max_output_tokens
        )

    def _dollars(self, tokens: Tokens | None) -> float | None:
        if self._price is None or tokens is None:
            return None
        return self._price.dollars(
            input_tokens=tokens.input, output_tokens=tokens.output, cached=tokens.cached, written=tokens.written
        )
