"""The older, dearer way: the model looks at the whole photo first, and what it names is what the detector looks for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fashioncrop.describing.dialect import ChatRequest
from fashioncrop.describing.endpoint import Endpoint
from fashioncrop.describing.prompts import NAME_SYSTEM, name_text
from fashioncrop.describing.schema import NAMES_SCHEMA, NAMES_SCHEMA_NAME, Answer, clean, json_value, quoted
from fashioncrop.describing.settings import DescriberSettings
from fashioncrop.describing.sheet import Picture, fit_photo
from fashioncrop.describing.usage import Meter
from fashioncrop.errors import ServerFaultError
from fashioncrop.results import Usage

MAX_NAMES = 20
MAX_WORDS = 6
_MAX_CHARACTERS = 60
_MAX_OUTPUT_TOKENS = 600
# GroundingDINO ends a phrase at these.
_SEPARATORS = ".?"
_CLOSING = " .?!,;:"


@dataclass(frozen=True)
class NamedGarments:
    """What is worn in a photo.

    Attributes:
        phrases: for the detector, in the model's order: lower case, different, at most 20 of at most 6 words; empty
            where nothing is worn.
        left_out: why an entry of the model's answer is not among them, a text each.
        usage: what was asked of the model.
    """

    phrases: tuple[str, ...]
    left_out: tuple[str, ...]
    usage: Usage


async def name_garments(endpoint: Endpoint, settings: DescriberSettings, photo: bytes) -> NamedGarments:
    """Ask what is worn in a photo; an answer that is not as asked is repaired once.

    Args:
        endpoint: who is asked.
        settings: of the endpoint. Their language does not count: the detector reads English.
        photo: the encoded file.

    Raises:
        PhotoError: the photo cannot be read.
        ServerFaultError: both answers were useless.
        FashionCropError: as `Describer.describe`.
    """
    picture = await asyncio.to_thread(fit_photo, photo, settings.detail)
    meter = Meter(settings.model)
    phrases, problems = await _ask(endpoint, settings, picture, meter, None)
    if problems:
        again, again_problems = await _ask(endpoint, settings, picture, meter, "; ".join(problems[:3]))
        if again or not phrases:
            phrases, problems = again, again_problems
    if problems and not phrases:
        raise ServerFaultError(
            f"{settings.model} did not say what is worn in the photo: {problems[0]}. It was asked twice. Use another "
            "model, or give a vocabulary."
        )
    return NamedGarments(phrases, tuple(problems), meter.usage())


def parse_names(answer: Answer) -> tuple[tuple[str, ...], list[str]]:
    """The phrases that a detector can look for, and what is wrong with the answer or with its other entries."""
    value, problem = json_value(answer)
    if problem:
        return (), [problem]
    names = value.get("garments") if isinstance(value, dict) else None
    if not isinstance(names, list):
        return (), ["the answer has no list `garments`"]
    phrases: dict[str, None] = {}
    problems = []
    for name in names:
        phrase = clean(name).lower().strip(_CLOSING) if isinstance(name, str) else ""
        wrong = _wrong(phrase)
        if wrong:
            problems.append(f"{quoted(str(name))} {wrong}")
        elif phrase not in phrases and len(phrases) == MAX_NAMES:
            problems.append(f"{quoted(phrase)} is one of more than {MAX_NAMES} phrases")
        else:
            phrases[phrase] = None
    return tuple(phrases), problems


def _wrong(phrase: str) -> str:
    if not any(character.isalpha() for character in phrase):
        return "is not a phrase"
    if any(separator in phrase for separator in _SEPARATORS):
        return "has a full stop or a question mark inside"
    if len(phrase.split()) > MAX_WORDS or len(phrase) > _MAX_CHARACTERS:
        return f"has more than {MAX_WORDS} words or {_MAX_CHARACTERS} characters"
    return ""


async def _ask(
    endpoint: Endpoint, settings: DescriberSettings, picture: Picture, meter: Meter, problem: str | None
) -> tuple[tuple[str, ...], list[str]]:
    request = ChatRequest(
        system=NAME_SYSTEM,
        text=name_text(problem),
        picture=picture,
        schema=NAMES_SCHEMA,
        schema_name=NAMES_SCHEMA_NAME,
        max_output_tokens=settings.max_output_tokens or _MAX_OUTPUT_TOKENS,
    )
    answer = await endpoint.ask(request)
    meter.add(answer)
    return parse_names(answer.answer)
