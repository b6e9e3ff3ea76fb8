"""A text about one picture, as somebody's own prompt asks for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fashioncrop.describing.dialect import ChatRequest
from fashioncrop.describing.endpoint import Endpoint
from fashioncrop.describing.prompts import TELL_SYSTEM, tell_text
from fashioncrop.describing.schema import TEXT_SCHEMA, TEXT_SCHEMA_NAME, Answer, json_value
from fashioncrop.describing.settings import DescriberSettings
from fashioncrop.describing.sheet import Picture, fit_photo
from fashioncrop.describing.usage import Meter
from fashioncrop.errors import OptionError, ServerFaultError
from fashioncrop.results import Usage

MAX_PROMPT_CHARACTERS = 2000
MAX_TEXT_CHARACTERS = 8000
_MAX_OUTPUT_TOKENS = 1000


@dataclass(frozen=True)
class Told:
    """What a model says of a picture.

    Attributes:
        text: in its words, 1 to 8,000 characters.
        usage: what was asked of it.
    """

    text: str
    usage: Usage


async def tell(endpoint: Endpoint, settings: DescriberSettings, picture: bytes, prompt: str) -> Told:
    """Ask what a prompt asks about a picture; an answer that is not as asked is asked for once more.

    Args:
        endpoint: who is asked.
        settings: of the endpoint.
        picture: the encoded file.
        prompt: 1 to 2,000 characters.

    Raises:
        OptionError: the prompt is empty or too long.
        PhotoError: the picture cannot be read.
        ServerFaultError: both answers were useless.
        FashionCropError: as `Describer.describe`.
    """
    if not prompt.strip() or len(prompt) > MAX_PROMPT_CHARACTERS:
        raise OptionError(
            f"The prompt must have 1 to {MAX_PROMPT_CHARACTERS} characters that are not all spaces; got {len(prompt)}."
        )
    shown = await asyncio.to_thread(fit_photo, picture, settings.detail)
    meter = Meter(settings.model)
    problem: str | None = None
    for _ in range(2):
        text, problem = await _ask(endpoint, settings, shown, tell_text(prompt, settings.language, problem), meter)
        if text:
            return Told(text, meter.usage())
    raise ServerFaultError(f"{settings.model} gave no usable answer: {problem}. It was asked twice. Use another model.")


def parse_text(answer: Answer) -> tuple[str, str | None]:
    """The text, and what is wrong with the answer where there is none."""
    value, problem = json_value(answer)
    if problem:
        return "", problem
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str) or not text.strip():
        return "", "the answer has no text"
    if len(text) > MAX_TEXT_CHARACTERS:
        return "", f"the text has {len(text)} characters, {MAX_TEXT_CHARACTERS} are allowed"
    # Half of a surrogate pair, which JSON can carry, is no letter.
    return text.strip().encode("utf-8", "replace").decode("utf-8"), None


async def _ask(
    endpoint: Endpoint, settings: DescriberSettings, picture: Picture, words: str, meter: Meter
) -> tuple[str, str | None]:
    request = ChatRequest(
        system=TELL_SYSTEM,
        text=words,
        picture=picture,
        schema=TEXT_SCHEMA,
        schema_name=TEXT_SCHEMA_NAME,
        max_output_tokens=settings.max_output_tokens or _MAX_OUTPUT_TOKENS,
    )
    answer = await endpoint.ask(request)
    meter.add(answer)
    return parse_text(answer.answer)
