"""What a model is asked to answer, and what is made of what it answers.

The schema is strict (https://developers.openai.com/api/docs/guides/structured-outputs): every property is required and
no other is allowed, so that "I cannot see it" has to be said and is never left out. Endpoints without strict schemas,
and models that ignore them, answer what they like; nothing that is not exactly as asked becomes a description.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fashioncrop.results import NOT_VISIBLE, Description

ATTRIBUTES = ("type", "pattern", "material", "sleeve", "neckline", "length", "fit", "sentence")
"""Texts of a description."""
LISTS = ("colours", "details")
"""Lists of texts of a description."""

MAX_ATTRIBUTE_CHARACTERS = 80
MAX_SENTENCE_CHARACTERS = 300
MAX_LIST_ITEMS = 12
_MAX_QUOTED_CHARACTERS = 120

_FENCE = re.compile(r"^```[a-zA-Z]*\s*\n(.*?)\n?```\s*$", re.DOTALL)


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _texts(description: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "description": description}


_PROPERTIES: dict[str, dict[str, Any]] = {
    "index": {"type": "integer", "description": "number on the plate above the crop"},
    "type": _text("what it is, such as button-up shirt"),
    "colours": _texts("main colour first"),
    "pattern": _text("such as plain, striped, floral"),
    "material": _text("as it looks, such as denim"),
    "sleeve": _text("length and kind"),
    "neckline": _text("such as crew neck, collared"),
    "length": _text("such as cropped, knee-length"),
    "fit": _text("such as slim, relaxed"),
    "details": _texts("pockets, buttons, prints; may be empty"),
    "sentence": _text("one sentence for a shop"),
}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


GARMENTS_SCHEMA: dict[str, Any] = _object({"garments": {"type": "array", "items": _object(_PROPERTIES)}})
"""`{"garments": [{"index": 1, "type": ..., ...}, ...]}`."""
GARMENTS_SCHEMA_NAME = "garments"

NAMES_SCHEMA: dict[str, Any] = _object({"garments": _texts("short noun phrases, one for each kind of garment")})
"""`{"garments": ["shirt", ...]}`."""
NAMES_SCHEMA_NAME = "garment_names"

TEXT_SCHEMA: dict[str, Any] = _object({"text": _text("the answer, in plain words")})
"""`{"text": "..."}`."""
TEXT_SCHEMA_NAME = "text"


@dataclass(frozen=True)
class Answer:
    """What a model said in one call.

    Attributes:
        text: its words; None where there are none.
        refusal: why it would not answer; None where it did.
        truncated: whether it ran into the limit on output tokens.
    """

    text: str | None
    refusal: str | None = None
    truncated: bool = False


@dataclass(frozen=True)
class Parsed:
    """What became of one answer.

    Attributes:
        descriptions: by number; only numbers that were asked for.
        problems: why a number that was asked for has no description, by number; none is in both.
        doubt: why even the descriptions may be mixed up; None where they are not.
    """

    descriptions: dict[int, Description]
    problems: dict[int, str]
    doubt: str | None = None


def parse_garments(answer: Answer, asked: Iterable[int]) -> Parsed:
    """Take a model's answer apart; every number that was asked for ends up described or with a problem.

    Args:
        answer: anything at all.
        asked: numbers on the sheet.
    """
    numbers = tuple(asked)
    items, whole_problem = _items(answer)
    if items is None:
        return Parsed({}, dict.fromkeys(numbers, whole_problem))
    readings = [_Reading.of(item) for item in items]
    indices = [reading.index for reading in readings if reading.index is not None]
    invented = sorted(set(indices) - set(numbers))
    missing = [number for number in numbers if number not in indices]
    if invented and missing:
        # Numbers counted from 0, for one: what is said of 1 would be said of 2.
        why = f"the answer mixed up the numbers: it has {_listed(invented)} and lacks {_listed(missing)}"
        return Parsed({}, dict.fromkeys(numbers, why))
    descriptions: dict[int, Description] = {}
    problems: dict[int, str] = {}
    for number in numbers:
        found = [reading for reading in readings if reading.index == number]
        if not found:
            problems[number] = _missing(answer, readings)
        elif any(reading != found[0] for reading in found):
            problems[number] = "the answer has the number more than once"
        elif found[0].description is not None:
            descriptions[number] = found[0].description
        else:
            problems[number] = found[0].problem
    doubt = f"the answer has numbers that were not asked for: {_listed(invented)}" if invented else None
    return Parsed(descriptions, problems, doubt)


def json_value(answer: Answer) -> tuple[Any, str]:
    """The JSON in an answer and an empty text, or None and why there is none.

    Text around the JSON, such as a code fence or a model's thoughts, is passed over.
    """
    if answer.refusal is not None:
        return None, f"the model refused: {quoted(answer.refusal)}"
    text = (answer.text or "").strip()
    if not text:
        return None, "the answer was cut off before it began" if answer.truncated else "the answer is empty"
    fenced = _FENCE.match(text)
    candidates = [fenced[1] if fenced else text]
    start, stop = text.find("{"), text.rfind("}")
    if 0 <= start < stop:
        candidates.append(text[start : stop + 1])
    for candidate in candidates:
        try:
            value = json.loads(candidate)
        # ValueError beside JSONDecodeError: a number of thousands of digits. RecursionError: thousands of brackets.
        except (ValueError, RecursionError):
            continue
        if value is not None:
            return value, ""
    return None, "the answer was cut off" if answer.truncated else f"the answer is not JSON: {quoted(text)}"


def clean(text: str) -> str:
    """One line of printable text; halves of surrogate pairs and control characters become spaces."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def quoted(text: str) -> str:
    """A model's or an endpoint's words as they may stand in a message."""
    line = clean(text[: 10 * _MAX_QUOTED_CHARACTERS])
    return line if len(line) <= _MAX_QUOTED_CHARACTERS else line[: _MAX_QUOTED_CHARACTERS - 3] + "..."


@dataclass(frozen=True)
class _Reading:
    """One item of `garments`: its number if it has one, and a description or what is wrong."""

    index: int | None
    description: Description | None = None
    problem: str = ""

    @classmethod
    def of(cls, item: object) -> _Reading:
        if not isinstance(item, dict):
            return cls(None)
        index = item.get("index")
        if not isinstance(index, int) or isinstance(index, bool):
            return cls(None)
        problems: list[str] = []
        texts = {name: _attribute(item, name, problems) for name in ATTRIBUTES}
        lists = {name: _list(item, name, problems) for name in LISTS}
        if problems:
            return cls(index, problem="; ".join(problems))
        fields: dict[str, Any] = {**texts, **lists}
        return cls(index, Description(**fields))


def _attribute(item: Mapping[str, Any], name: str, problems: list[str]) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        problems.append(f"{name} is missing" if value is None else f"{name} is not a text")
        return ""
    text = clean(value)
    longest = MAX_SENTENCE_CHARACTERS if name == "sentence" else MAX_ATTRIBUTE_CHARACTERS
    if len(text) > longest:
        problems.append(f"{name} has {len(text)} characters, {longest} are allowed")
    if not text and name == "sentence":
        problems.append("sentence is empty")
    return NOT_VISIBLE if not text or _says_not_visible(text) else text


def _list(item: Mapping[str, Any], name: str, problems: list[str]) -> tuple[str, ...]:
    value = item.get(name)
    if not (isinstance(value, list) and all(isinstance(entry, str) for entry in value)):
        problems.append(f"{name} is missing" if value is None else f"{name} is not a list of texts")
        return ()
    texts = [clean(entry) for entry in value]
    if len(texts) > MAX_LIST_ITEMS:
        problems.append(f"{name} has {len(texts)} entries, {MAX_LIST_ITEMS} are allowed")
    if any(len(text) > MAX_ATTRIBUTE_CHARACTERS for text in texts):
        problems.append(f"{name} has an entry of more than {MAX_ATTRIBUTE_CHARACTERS} characters")
    return tuple(text for text in texts if text and not _says_not_visible(text))


def _says_not_visible(text: str) -> bool:
    return text.rstrip(".").casefold() == NOT_VISIBLE


def _items(answer: Answer) -> tuple[Sequence[object] | None, str]:
    value, problem = json_value(answer)
    if problem and answer.truncated and answer.refusal is None:
        whole = _whole_items(answer.text or "")
        return (whole, "") if whole else (None, problem)
    if problem:
        return None, problem
    if not isinstance(value, dict) or not isinstance(value.get("garments"), list):
        return None, "the answer has no list `garments`"
    return value["garments"], ""


def _whole_items(text: str) -> list[object]:
    """The items that were complete when the answer was cut off: they are paid for."""
    start = re.search(r'"garments"\s*:\s*\[', text)
    position = start.end() if start else len(text)
    decoder = json.JSONDecoder()
    items: list[object] = []
    while True:
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        try:
            item, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return items
        items.append(item)


def _missing(answer: Answer, readings: Sequence[_Reading]) -> str:
    if answer.truncated:
        return "the answer was cut off"
    without = Counter(reading.index is None for reading in readings)[True]
    return "the answer lacks it" + (f"; entries without a whole number as index: {without}" if without else "")


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number)[:20] for number in numbers[:5])
    return shown + (" ..." if len(numbers) > 5 else "")  # noqa: PLR2004 - as many as a line takes
