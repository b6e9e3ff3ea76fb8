"""What comes back from an endpoint, taken apart: an answer with its tokens, or what an error says in any form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fashioncrop.describing.schema import Answer
from fashioncrop.errors import FashionCropError

Rejected = Literal["response_format", "reasoning_effort", "temperature", "length_limit"]
"""A part of a request that some endpoints do not take, and that can be asked for in another way or left out."""

_REJECTED_WORDS: tuple[tuple[Rejected, tuple[str, ...]], ...] = (
    ("response_format", ("response_format", "json_schema", "json_object")),
    ("reasoning_effort", ("reasoning_effort", "reasoning.effort")),
    ("temperature", ("temperature",)),
    ("length_limit", ("max_completion_tokens", "max_tokens")),
)


@dataclass(frozen=True)
class Reply:
    """What came back over HTTP.

    Attributes:
        status: HTTP's.
        headers: by lower-case name.
        body: whole, or as much of an error's as was read.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Lost:
    """Nothing came back.

    Attributes:
        how: what happened instead.
        words: the class of the error underneath.
        was_sent: whether the request may have reached the endpoint, which may then charge for it.
    """

    how: Literal["timeout", "connection", "too large", "fault"]
    words: str = ""
    was_sent: bool = True


@dataclass(frozen=True)
class Tokens:
    """What one call took, as its endpoint counted.

    Attributes:
        input: all that was sent.
        cached: part of it that the endpoint had from an earlier call.
        written: part of it that the endpoint keeps for later calls.
        output: all that was answered, reasoning included.
    """

    input: int
    cached: int
    written: int
    output: int


@dataclass(frozen=True)
class Answered:
    """A chat completion.

    Attributes:
        answer: what the model said.
        tokens: None where the endpoint does not say.
    """

    answer: Answer
    tokens: Tokens | None


@dataclass(frozen=True)
class Failure:
    """Why there is no answer.

    Attributes:
        error: class of the error to raise.
        sentence: its message.
        repeatable: whether the same request may succeed later.
        retry_after_s: how long the endpoint asks to wait; None where it does not say.
        rejected: what part of the request the endpoint does not take.
        may_cost: whether the endpoint may charge for it all the same.
    """

    error: type[FashionCropError]
    sentence: str
    repeatable: bool = False
    retry_after_s: float | None = None
    rejected: Rejected | None = None
    may_cost: bool = False


@dataclass(frozen=True)
class ErrorBody:
    """What an error says.

    Attributes:
        words: for people; empty where there are none.
        code: for programs, such as `insufficient_quota`; empty where there is none.
        kind: a wider class, which some put the code into.
        param: the part of the request that it is about; empty where it does not say.
    """

    words: str
    code: str
    kind: str
    param: str

    def names(self, codes: frozenset[str]) -> bool:
        """Whether it is one of these codes, in lower case."""
        return self.code.lower() in codes or self.kind.lower() in codes

    def rejected(self) -> Rejected | None:
        """The part of the request that is named; `param` says it better than the words, which may name others too."""
        for text in (self.param, self.words):
            for part, words in _REJECTED_WORDS:
                if any(word in text for word in words):
                    return part
        return None


def error_of(document: object) -> ErrorBody:
    """OpenAI's `{"error": {...}}`, and what others make of it."""
    found: object = document
    if isinstance(found, dict) and found.get("error"):
        found = found["error"]
    if isinstance(found, dict):
        words = next((found[name] for name in ("message", "detail", "msg") if found.get(name)), "")
        code, kind, param = (found.get(name) or "" for name in ("code", "type", "param"))
        return ErrorBody(words if isinstance(words, str) else json.dumps(words), str(code), str(kind), str(param))
    return ErrorBody(found if isinstance(found, str) else "", "", "", "")


def json_of(body: bytes) -> object:
    """The JSON value, or the text where it is none."""
    text = body.decode("utf-8", "replace")
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def answered_of(document: Mapping[str, Any]) -> Answered | None:
    """The first choice of a chat completion; None where the document is none."""
    choices = document.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return None
    refusal = message.get("refusal")
    finish = choice.get("finish_reason")
    if finish == "content_filter":
        refusal = refusal or "its content filter stopped the answer"
    return Answered(
        Answer(
            _text_of(message.get("content")),
            refusal=refusal if isinstance(refusal, str) and refusal else None,
            truncated=finish == "length",
        ),
        _tokens(document.get("usage")),
    )


def _text_of(content: object) -> str | None:
    if isinstance(content, list):  # parts, as some endpoints answer
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else None


def _tokens(usage: object) -> Tokens | None:
    if not isinstance(usage, dict):
        return None
    sent, answered = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if sent is None or answered is None:
        return None
    details = usage.get("prompt_tokens_details")
    details = details if isinstance(details, dict) else {}
    cached = min(_count(details.get("cached_tokens")) or 0, sent)
    written = min(_count(details.get("cache_write_tokens")) or 0, sent - cached)
    return Tokens(sent, cached, written, answered)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None
