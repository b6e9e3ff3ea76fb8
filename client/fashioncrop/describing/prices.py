"""What a call costs: a dated table of list prices, how each model counts an image, and the user's own table over it.

Four garments at the list prices of gpt-4o-mini, on one low-detail sheet: 2833 tokens for the image and about 800 for
the texts at $0.15 a million, about 500 tokens of answer at $0.60 a million: $0.0008. `estimates.estimate` sums it up.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import math
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fashioncrop.describing.settings import Detail, ReasoningEffort
from fashioncrop.errors import OptionError
from fashioncrop.results import Usage

Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]
SizeWh = tuple[int, int]

_MILLION = 1_000_000
# https://developers.openai.com/api/docs/guides/images-vision, "Calculating costs".
_TILE_PX = 512
_TILES_FIT_PX = 2048
_TILES_SHORT_SIDE_PX = 768
_PATCH_PX = 32
_MAX_PATCHES = 1536
_MAX_FILE_BYTES = 1_000_000
_NOTICE = dt.timedelta(days=90)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tiles(_Strict):
    """An image counted in squares of 512 pixels; at low detail only the base counts.

    Attributes:
        counted_in: `tiles`.
        base: tokens of every image.
        tile: tokens of each square, at high detail.
    """

    counted_in: Literal["tiles"]
    base: Annotated[int, Field(ge=0)]
    tile: Annotated[int, Field(ge=0)]

    def tokens(self, size_wh: SizeWh, detail: Detail) -> int:
        """Tokens of an image of `size_wh` pixels."""
        if detail == "low":
            return self.base
        width, height = size_wh
        scale = min(1.0, _TILES_FIT_PX / max(width, height))
        scale *= min(1.0, _TILES_SHORT_SIDE_PX / (min(width, height) * scale))
        across, down = (math.ceil(round(side * scale, 3) / _TILE_PX) for side in size_wh)
        return self.base + self.tile * across * down


class Patches(_Strict):
    """An image counted in squares of 32 pixels, whatever the detail.

    Attributes:
        counted_in: `patches`.
        multiplier: tokens for a square.
    """

    counted_in: Literal["patches"]
    multiplier: Annotated[float, Field(ge=0, allow_inf_nan=False)]

    def tokens(self, size_wh: SizeWh, detail: Detail) -> int:  # noqa: ARG002 - one interface for both ways of counting
        """Tokens of an image of `size_wh` pixels; larger images are scaled to what 1536 squares cover."""
        width, height = size_wh
        patches = math.ceil(width / _PATCH_PX) * math.ceil(height / _PATCH_PX)
        return math.ceil(round(min(patches, _MAX_PATCHES) * self.multiplier, 6))


class ModelPrice(_Strict):
    """What one model costs, in dollars for a million tokens.

    Attributes:
        also_named: snapshots of the same price.
        input: tokens sent.
        cached_input: of them, those that the endpoint had from an earlier call; None is `input`.
        cache_write: of them, those that it keeps for later calls; None is `input`.
        output: tokens answered, reasoning included.
        image: how an image is counted; None where nobody knows, and nothing can be estimated then.
        reasoning_effort: what to ask of the model where the caller does not say.
        retires: the day on which its maker shuts it down.
        note: where a number is from.
    """

    also_named: tuple[str, ...] = ()
    input: Dollars
    cached_input: Dollars | None = None
    cache_write: Dollars | None = None
    output: Dollars
    image: Annotated[Tiles | Patches, Field(discriminator="counted_in")] | None = None
    reasoning_effort: ReasoningEffort | None = None
    retires: dt.date | None = None
    note: str = ""

    def dollars(self, *, input_tokens: int, output_tokens: int, cached: int = 0, written: int = 0) -> float:
        """Dollars for tokens; `cached` and `written` are parts of `input_tokens`."""
        cached_price = self.input if self.cached_input is None else self.cached_input
        write_price = self.input if self.cache_write is None else self.cache_write
        fresh = max(input_tokens - cached - written, 0)
        return (
            fresh * self.input + cached * cached_price + written * write_price + output_tokens * self.output
        ) / _MILLION

    def most_dollars(self, *, input_tokens: int, output_tokens: int) -> float:
        """Dollars for tokens of which none comes from the cache."""
        dearest = max(self.input, self.cache_write or 0.0)
        return (input_tokens * dearest + output_tokens * self.output) / _MILLION


class PriceTable(_Strict):
    """Prices of models on one day.

    Attributes:
        as_of: the day on which they were read.
        source: where.
        models: price by name.
    """

    as_of: dt.date
    source: str = ""
    models: dict[str, ModelPrice]

    @classmethod
    def load(cls, own: Path | None = None) -> Self:
        """The shipped table, with the models of the file `own` over it.

        Args:
            own: a JSON file of the shipped one's form; what it does not name stays.

        Raises:
            OptionError: the file cannot be read or is not of that form.
        """
        shipped = cls.model_validate(_shipped())
        if own is None:
            return shipped
        added = cls._read(own)
        named = {name for model, price in added.models.items() for name in (model, *price.also_named)}
        # A snapshot that the file prices itself must not keep the shipped price of its family.
        kept = {
            name: price.model_copy(update={"also_named": tuple(n for n in price.also_named if n not in named)})
            for name, price in shipped.models.items()
            if name not in named
        }
        return cls(
            as_of=max(shipped.as_of, added.as_of),
            source="; ".join(text for text in (added.source, shipped.source) if text),
            models={**kept, **added.models},
        )

    @classmethod
    def _read(cls, path: Path) -> Self:
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES)
        except OSError as error:
            raise OptionError(f"The price file {path} cannot be read: {error.strerror or error}.") from error
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            raise OptionError(
                f"The price file {path} is not of the form of fashioncrop/describing/prices.json: {first['msg']} at "
                f"{place}."
            ) from error

    def price_of(self, model: str) -> ModelPrice | None:
        """The price of a model by its name or a snapshot's; None where the table does not have it."""
        if model in self.models:
            return self.models[model]
        return next((price for price in self.models.values() if model in price.also_named), None)

    def dollars(self, usage: Usage) -> float | None:
        """Dollars for what was used; None where the table does not have the model."""
        price = self.price_of(usage.model)
        if price is None:
            return None
        return price.dollars(
            input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cached=usage.cached_input_tokens
        )

    def retirement(self, model: str, today: dt.date) -> str | None:
        """A sentence for the months before the model's maker shuts it down, and after; None where there is no need.

        Args:
            model: that is to be asked at its maker's own endpoint.
            today: in the user's calendar.
        """
        price = self.price_of(model)
        if price is None or price.retires is None or today < price.retires - _NOTICE:
            return None
        lasting = [name for name, other in self.models.items() if other.retires is None]
        other = f" Choose another with --describer-model, {' or '.join(lasting)} for instance." if lasting else ""
        when = "was to be" if today >= price.retires else "will be"
        return f"{model} {when} shut down by its maker on {price.retires} (as known on {self.as_of}).{other}"

    def image_tokens(self, model: str, size_wh: SizeWh, detail: Detail) -> int | None:
        """Tokens of an image of `size_wh` pixels; None where nobody knows how the model counts it."""
        price = self.price_of(model)
        return None if price is None or price.image is None else price.image.tokens(size_wh, detail)


@functools.cache
def _shipped() -> object:
    return json.loads(resources.files("fashioncrop.describing").joinpath("prices.json").read_text(encoding="utf-8"))
