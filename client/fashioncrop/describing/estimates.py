"""What describing a photo will cost, before anything is sent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fashioncrop.describing.prices import PriceTable
from fashioncrop.describing.prompts import DESCRIBE_SYSTEM, describe_text, with_schema
from fashioncrop.describing.schema import GARMENTS_SCHEMA
from fashioncrop.describing.settings import DescriberSettings
from fashioncrop.describing.sheet import largest_size, share_out

_USUAL_PHRASE = "leather jacket"
_CHARACTERS_PER_TOKEN = 4
"""Of English and of JSON, by OpenAI's rule of thumb."""
_USUAL_TOKENS_PER_GARMENT = 120
_USUAL_TOKENS_AROUND = 12
_MOST_TOKENS_PER_GARMENT = 300
_MOST_TOKENS_AROUND = 100


@dataclass(frozen=True)
class Estimate:
    """What describing one photo is expected to take, without repairs.

    Attributes:
        model: as its endpoint names it.
        calls: one for each sheet.
        image_tokens: of all sheets; None where nobody knows how the model counts them.
        text_tokens: of everything else that is sent.
        output_tokens: of the answers, as long as they usually are.
        max_output_tokens: of the answers, as long as they may be.
        dollars: for all of it; None where the price or the images' tokens are unknown.
    """

    model: str
    calls: int
    image_tokens: int | None
    text_tokens: int
    output_tokens: int
    max_output_tokens: int
    dollars: float | None


def output_limit(garments: int, settings: DescriberSettings) -> int:
    """The most tokens that an answer about so many garments may have."""
    if settings.max_output_tokens is not None:
        return settings.max_output_tokens
    return _MOST_TOKENS_AROUND + _MOST_TOKENS_PER_GARMENT * garments


def estimate(garments: int, settings: DescriberSettings, prices: PriceTable) -> Estimate:
    """What describing a photo with so many garments is expected to cost.

    >>> estimate(4, DescriberSettings(), PriceTable.load()).dollars < 0.001
    True
    """
    parts = share_out(range(garments))
    image_tokens: int | None = 0
    text_tokens = 0
    for part in parts:
        tokens = prices.image_tokens(settings.model, largest_size(len(part), settings.detail), settings.detail)
        image_tokens = None if image_tokens is None or tokens is None else image_tokens + tokens
        text = describe_text(dict.fromkeys(part, _USUAL_PHRASE), language=settings.language)
        characters = len(with_schema(DESCRIBE_SYSTEM, GARMENTS_SCHEMA)) + len(text)
        text_tokens += math.ceil(characters / _CHARACTERS_PER_TOKEN)
    output_tokens = _USUAL_TOKENS_AROUND * len(parts) + _USUAL_TOKENS_PER_GARMENT * garments
    price = prices.price_of(settings.model)
    dollars = None
    if price is not None and image_tokens is not None:
        dollars = price.dollars(input_tokens=image_tokens + text_tokens, output_tokens=output_tokens)
    return Estimate(
        model=settings.model,
        calls=len(parts),
        image_tokens=image_tokens,
        text_tokens=text_tokens,
        output_tokens=output_tokens,
        max_output_tokens=sum(output_limit(len(part), settings) for part in parts),
        dollars=dollars,
    )
