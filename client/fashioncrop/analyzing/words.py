"""Words about pictures that are there already, with what was said earlier: nothing is paid twice."""

from __future__ import annotations

from collections.abc import Sequence

from fashioncrop.analyzing import kept
from fashioncrop.caching import decode_json, encode_json
from fashioncrop.describing import CropToDescribe, Described, Describer, Told
from fashioncrop.results import Usage


def _nothing(model: str) -> Usage:
    return Usage(model=model, calls=0, input_tokens=0, cached_input_tokens=0, output_tokens=0, dollars=0.0)


async def described(describer: Describer, cache: kept.Keeps | None, crops: Sequence[CropToDescribe]) -> Described:
    """`Describer.describe`, or what it said of the same crops before; `usage` has no calls then.

    Raises:
        FashionCropError: as `Describer.describe`.
    """
    keeps = cache or kept.Nothing()
    key = kept.description_key(crops, describer.settings)
    data = await keeps.get(key)
    known = None if data is None else kept.decode_descriptions(data, crops)
    if known is not None:
        return Described(known, {}, _nothing(describer.settings.model))
    answer = await describer.describe(crops)
    if not answer.problems:
        await keeps.set(key, kept.encode_descriptions(answer.descriptions))
    return answer


async def told(describer: Describer, cache: kept.Keeps | None, picture: bytes, prompt: str) -> Told:
    """`Describer.tell`, or what it said to the same before; `usage` has no calls then.

    Raises:
        FashionCropError: as `Describer.tell`.
    """
    keeps = cache or kept.Nothing()
    key = kept.telling_key(picture, prompt, describer.settings)
    data = await keeps.get(key)
    known = None if data is None else decode_json(data)
    if isinstance(known, str):
        return Told(known, _nothing(describer.settings.model))
    answer = await describer.tell(picture, prompt)
    await keeps.set(key, encode_json(answer.text))
    return answer
