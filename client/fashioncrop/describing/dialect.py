"""One question as a request body, in what of OpenAI's dialect an endpoint takes."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any, Literal

from fashioncrop.describing.prompts import with_schema
from fashioncrop.describing.replies import Rejected
from fashioncrop.describing.settings import DescriberSettings
from fashioncrop.describing.sheet import Picture

# Our fixed texts are English and JSON, of which no tokeniser makes more than one token from two bytes.
_FIXED_BYTES_PER_TOKEN = 2
_MESSAGE_TOKENS = 32
"""What an endpoint puts around the messages, generously."""

ResponseFormat = Literal["json_schema", "json_object", "none"]


@dataclass(frozen=True)
class ChatRequest:
    """One question about one image.

    Attributes:
        system: the fixed text.
        text: what is said beside the image.
        picture: the image.
        schema: JSON schema of the answer.
        schema_name: its name.
        max_output_tokens: the most that may be answered.
    """

    system: str
    text: str
    picture: Picture
    schema: dict[str, Any]
    schema_name: str
    max_output_tokens: int

    def most_text_tokens(self) -> int:
        """More tokens than the texts can be: those of a user count each byte."""
        fixed = len(with_schema(self.system, self.schema).encode()) // _FIXED_BYTES_PER_TOKEN
        return fixed + len(self.text.encode()) + _MESSAGE_TOKENS


@dataclass(frozen=True)
class Dialect:
    """What an endpoint takes, as far as it has said so.

    Attributes:
        response_format: how a JSON answer is asked for.
        length_limit: name of the limit on output tokens.
        temperature: whether it may be set.
        reasoning_effort: whether it may be set.
        settled: parts that have no other way left.
    """

    response_format: ResponseFormat = "json_schema"
    length_limit: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    temperature: bool = True
    reasoning_effort: bool = True
    settled: frozenset[Rejected] = frozenset()

    def without(self, rejected: Rejected) -> Dialect | None:
        """The dialect to try next; None where there is none."""
        if rejected in self.settled:
            return None
        if rejected == "response_format" and self.response_format == "json_schema":
            return replace(self, response_format="json_object")
        other = "max_completion_tokens" if self.length_limit == "max_tokens" else "max_tokens"
        changes: dict[Rejected, dict[str, Any]] = {
            "response_format": {"response_format": "none"},
            "length_limit": {"length_limit": other},
            "temperature": {"temperature": False},
            "reasoning_effort": {"reasoning_effort": False},
        }
        return replace(self, settled=self.settled | {rejected}, **changes[rejected])

    def body(self, request: ChatRequest, settings: DescriberSettings, default_effort: str | None) -> dict[str, Any]:
        """The request body, as the endpoint's documentation calls it.

        Args:
            request: what is asked.
            settings: of whom and how.
            default_effort: reasoning effort where the settings do not say; None leaves it to the endpoint.
        """
        image_url = "data:image/jpeg;base64," + base64.b64encode(request.picture.jpeg).decode("ascii")
        image = {"type": "image_url", "image_url": {"url": image_url, "detail": settings.detail}}
        strict = self.response_format == "json_schema"
        system = request.system if strict else with_schema(request.system, request.schema)
        body: dict[str, Any] = {
            "model": settings.model,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": [{"type": "text", "text": request.text}, image]},
            ],
            self.length_limit: request.max_output_tokens,
        }
        if strict:
            json_schema = {"name": request.schema_name, "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": json_schema}
        elif self.response_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        if settings.temperature is not None and self.temperature:
            body["temperature"] = settings.temperature
        effort = settings.reasoning_effort or default_effort
        if effort is not None and self.reasoning_effort:
            body["reasoning_effort"] = effort
        return body
