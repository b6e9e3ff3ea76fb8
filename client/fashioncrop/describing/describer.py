"""Crops in, descriptions out: one call a photo, repaired once, and nobody left without a description or a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from fashioncrop.describing.budget import Budget
from fashioncrop.describing.dialect import ChatRequest
from fashioncrop.describing.endpoint import Endpoint
from fashioncrop.describing.estimates import output_limit
from fashioncrop.describing.naming import NamedGarments, name_garments
from fashioncrop.describing.prices import PriceTable
from fashioncrop.describing.prompts import DESCRIBE_SYSTEM, describe_text
from fashioncrop.describing.schema import GARMENTS_SCHEMA, GARMENTS_SCHEMA_NAME, Parsed, parse_garments
from fashioncrop.describing.settings import DescriberSettings
from fashioncrop.describing.sheet import Picture, Sheet, make_sheet, share_out
from fashioncrop.describing.telling import Told, tell
from fashioncrop.describing.usage import Meter
from fashioncrop.errors import FashionCropError, OptionError
from fashioncrop.results import Description, Usage

_UNREADABLE = "The crop cannot be read as an image, so it was not described."


@dataclass(frozen=True)
class CropToDescribe:
    """One garment.

    Attributes:
        id: the caller's, different for each crop of a photo.
        phrase: what it was detected as; a hint for the model, which may contradict it.
        jpeg: the encoded crop.
    """

    id: int
    phrase: str
    jpeg: bytes = field(repr=False)


@dataclass(frozen=True)
class Described:
    """What became of the crops of one photo. Every id is in `descriptions` or in `problems`, and none in both.

    Attributes:
        descriptions: by id.
        problems: a sentence why there is no description, by id.
        usage: what was asked of the model.
    """

    descriptions: dict[int, Description]
    problems: dict[int, str]
    usage: Usage


@dataclass
class _SheetOutcome:
    descriptions: dict[int, Description] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    error: FashionCropError | None = None
    """Why the sheet was never answered."""


class Describer:
    """Describes garments by one model, any number of photos at a time of one event loop.

    >>> async with Describer(DescriberSettings(api_key=SecretStr("..."))) as describer:  # doctest: +SKIP
    ...     described = await describer.describe([CropToDescribe(0, "shirt", jpeg)])
    """

    def __init__(
        self,
        settings: DescriberSettings | None = None,
        *,
        prices: PriceTable | None = None,
        budget: Budget | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            settings: which model of which endpoint.
            prices: what it costs; by default the shipped table.
            budget: the limit on dollars, which several describers may share; by default none.

        Raises:
            OptionError: the extra `describe` is not installed, or there is a limit on dollars but no price.
            CredentialError: OpenAI's endpoint is asked without a key.
        """
        self.settings = settings or DescriberSettings()
        self.prices = prices or PriceTable.load()
        self.budget = budget or Budget()
        self._endpoint = Endpoint(self.settings, self.prices, self.budget)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoint.close()

    async def describe(self, crops: Sequence[CropToDescribe]) -> Described:
        """Describe the garments of one photo, all on one sheet, or on several beyond 16.

        One bad garment never raises, nor does a part of several sheets; an error means that nothing was described.

        Args:
            crops: in any order; none is an answer without a call.

        Raises:
            OptionError: an id is there twice, or the endpoint does not have the model or does not take the request.
            CredentialError: the key is missing or refused, or its account is exhausted.
            BudgetError: the limit on dollars might be passed.
            OverloadedError: the endpoint takes no more at the moment.
            ServerUnavailableError: it cannot be reached or fails.
            DeadlineError: it is too slow.
            ServerFaultError: it answers with something else than a chat completion.
        """
        if len({crop.id for crop in crops}) < len(crops):
            raise OptionError("Each crop to be described needs an id of its own.")
        meter = Meter(self.settings.model)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._describe_sheet(part, meter)) for part in share_out(crops)]
        outcomes = [task.result() for task in tasks]
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        if errors and len(errors) == len(outcomes):
            raise errors[0]
        return Described(
            {id_: one for outcome in outcomes for id_, one in sorted(outcome.descriptions.items())},
            {id_: one for outcome in outcomes for id_, one in sorted(outcome.problems.items())},
            meter.usage(),
        )

    async def name_garments(self, photo: bytes) -> NamedGarments:
        """What is worn in a photo, as phrases for a detector; see `naming.name_garments`."""
        return await name_garments(self._endpoint, self.settings, photo)

    async def tell(self, picture: bytes, prompt: str) -> Told:
        """What a prompt asks about a picture, in words; see `telling.tell`."""
        return await tell(self._endpoint, self.settings, picture, prompt)

    async def _describe_sheet(self, crops: Sequence[CropToDescribe], meter: Meter) -> _SheetOutcome:
        numbered = dict(enumerate(crops, start=1))
        outcome = _SheetOutcome()
        sheet = await self._draw(numbered, numbered)
        outcome.problems.update({numbered[number].id: _UNREADABLE for number in sheet.unreadable})
        if sheet.picture is None:
            return outcome
        shown = {number: numbered[number] for number in sheet.numbers}
        try:
            parsed = await self._ask(shown, sheet.picture, meter)
        except FashionCropError as error:
            outcome.error = error
            outcome.problems.update({crop.id: str(error) for crop in shown.values()})
            return outcome
        descriptions, problems = await self._repaired(shown, sheet.picture, parsed, meter)
        outcome.descriptions = {numbered[number].id: one for number, one in descriptions.items()}
        outcome.problems.update({numbered[number].id: why for number, why in problems.items()})
        return outcome

    async def _repaired(
        self, shown: Mapping[int, CropToDescribe], picture: Picture, first: Parsed, meter: Meter
    ) -> tuple[dict[int, Description], dict[int, str]]:
        """Ask once more about what is wrong with an answer, and only about that."""
        wrong = dict.fromkeys(shown, first.doubt) if first.doubt is not None else dict(first.problems)
        if not wrong:
            return first.descriptions, {}
        asked = {number: shown[number] for number in wrong}
        reasons = {number: first.problems.get(number) or str(why) for number, why in wrong.items()}
        try:
            if len(asked) < len(shown):
                # Fewer crops are larger on a sheet of their own. They have been read once already.
                picture = (await self._draw(shown, asked)).picture or picture
            second = await self._ask(asked, picture, meter, problems=reasons)
        except FashionCropError as error:
            problems = {
                number: f"{_no_use(why)} Asking again failed: {error}" for number, why in first.problems.items()
            }
            return first.descriptions, problems
        # What was only doubted stays where the second answer has nothing better.
        descriptions = {**first.descriptions, **second.descriptions}
        problems = {
            number: f"{_no_use(why)} It was asked twice."
            for number, why in second.problems.items()
            if number not in descriptions
        }
        return descriptions, problems

    async def _ask(
        self,
        shown: Mapping[int, CropToDescribe],
        picture: Picture,
        meter: Meter,
        *,
        problems: Mapping[int, str] | None = None,
    ) -> Parsed:
        phrases = {number: crop.phrase for number, crop in shown.items()}
        request = ChatRequest(
            system=DESCRIBE_SYSTEM,
            text=describe_text(phrases, language=self.settings.language, problems=problems),
            picture=picture,
            schema=GARMENTS_SCHEMA,
            schema_name=GARMENTS_SCHEMA_NAME,
            max_output_tokens=output_limit(len(shown), self.settings),
        )
        answer = await self._endpoint.ask(request)
        meter.add(answer)
        return parse_garments(answer.answer, shown)

    async def _draw(self, crops: Mapping[int, CropToDescribe], numbers: Iterable[int]) -> Sheet:
        """In a thread: resizing and encoding would hold up everything else in this loop."""
        return await asyncio.to_thread(make_sheet, [(n, crops[n].jpeg) for n in numbers], self.settings.detail)


def _no_use(why: str) -> str:
    return f"The model gave no usable description: {why}."
