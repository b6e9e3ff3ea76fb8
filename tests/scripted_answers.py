"""What a scripted chat completions endpoint can answer: well, badly, late, or not at all.

A step makes an answer of a request; `scripted_openai.ScriptedOpenAI` plays them. Nothing here sees anything: the
descriptions are made up from the detector's phrases.
"""

from __future__ import annotations

import base64
import email.utils
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = {"Content-Type": "application/json"}
_CHARACTERS_PER_TOKEN = 4
_LOW_DETAIL_TOKENS = 2833
"""Of one image for gpt-4o-mini, so that a demonstration shows plausible costs."""


@dataclass
class Recorded:
    """One request as it came in.

    Attributes:
        path: of the URL.
        headers: by lower-case name.
        body: the JSON.
        hung_up: whether the client went away before it was answered; only `slow` notices.
    """

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    hung_up: bool = False

    @property
    def text(self) -> str:
        """What was said beside the image."""
        return "".join(part["text"] for part in self._parts() if part["type"] == "text")

    @property
    def images(self) -> list[bytes]:
        """Every image, decoded from its data URL."""
        urls = [part["image_url"]["url"] for part in self._parts() if part["type"] == "image_url"]
        return [base64.b64decode(url.removeprefix("data:image/jpeg;base64,"), validate=True) for url in urls]

    @property
    def details(self) -> list[str]:
        """The detail that each image is to be seen in."""
        return [part["image_url"]["detail"] for part in self._parts() if part["type"] == "image_url"]

    @property
    def phrases(self) -> dict[int, str]:
        """What is asked about: the detector's phrase by number; empty where the whole photo is asked about."""
        return {int(number): json.loads(phrase) for number, phrase in re.findall(r'(?m)^(\d+): (".*")$', self.text)}

    @property
    def indices(self) -> list[int]:
        """The numbers that are asked about."""
        return list(self.phrases)

    @property
    def schema_name(self) -> str:
        """The name of the schema that the answer is to have; empty where it has none."""
        return str(self.body.get("response_format", {}).get("json_schema", {}).get("name", ""))

    def _parts(self) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = self.body["messages"][-1]["content"]
        return parts


@dataclass(frozen=True)
class Answer:
    """What is sent back.

    Attributes:
        status: HTTP's.
        body: the bytes.
        headers: beside `Content-Length`.
        sent: how many bytes of the body are sent before the connection is cut; None sends all.
        after_s: how long the client has to wait for it.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: dict(JSON))
    sent: int | None = None
    after_s: float = 0.0


Step = Callable[[Recorded], Answer]
"""One line of a script: what one request is answered with."""
Item = dict[str, Any]


def describe(index: int, phrase: str) -> Item:
    """What is said of a garment that nobody looks at."""
    return {
        "index": index,
        "type": phrase,
        "colours": ["light beige"],
        "pattern": "plain",
        "material": "cotton",
        "sleeve": "not visible",
        "neckline": "not visible",
        "length": "regular",
        "fit": "relaxed",
        "details": ["scripted"],
        "sentence": f"Light beige {phrase} with a relaxed fit, as the scripted endpoint makes it up",
    }


def completion(
    request: Recorded, content: object, *, usage: bool = True, cached_tokens: int = 0, **choice: object
) -> Answer:
    """A chat completion with `content`: a text as it is, anything else as JSON."""
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    images = _LOW_DETAIL_TOKENS * len(request.images)
    sent = images + len(json.dumps(request.body.get("response_format", "")) + request.text) // _CHARACTERS_PER_TOKEN
    answered = len(text or "") // _CHARACTERS_PER_TOKEN
    message = {"role": "assistant", "content": text, "refusal": choice.pop("refusal", None)}
    document: dict[str, Any] = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": request.body.get("model"),
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, **choice, "message": message}],
    }
    if usage:
        document["usage"] = {
            "prompt_tokens": sent,
            "completion_tokens": answered,
            "total_tokens": sent + answered,
            "prompt_tokens_details": {"cached_tokens": cached_tokens},
        }
    return Answer(200, json.dumps(document).encode())


def garments(change: Callable[[list[Item]], object] = lambda _: None, **options: Any) -> Step:  # noqa: ANN401 - passed on
    """A good answer after `change` has done its worst to the list of garments; options as of `completion`."""

    def step(request: Recorded) -> Answer:
        items = [describe(index, phrase) for index, phrase in request.phrases.items()]
        change(items)
        return completion(request, {"garments": items}, **options)

    return step


def good(**options: Any) -> Step:  # noqa: ANN401 - passed on
    """Every number described; a photo without numbers is said to hold a shirt and trousers; a prompt is repeated."""

    def step(request: Recorded) -> Answer:
        if request.schema_name == "text":
            return completion(request, {"text": f"Scripted: {request.text}"}, **options)
        if not request.indices:
            return completion(request, {"garments": ["white shirt", "blue trousers"]}, **options)
        return garments(**options)(request)

    return step


def says(content: object, **options: Any) -> Step:  # noqa: ANN401 - passed on
    """A completion with this content."""
    return lambda request: completion(request, content, **options)


def without(*indices: int) -> Step:
    """These numbers are left out."""
    return garments(lambda items: items.__setitem__(slice(None), [one for one in items if one["index"] not in indices]))


def invented(index: int) -> Step:
    """A number more than was asked for."""
    return garments(lambda items: items.append(describe(index, "ghost")))


def counted_from_zero() -> Step:
    """Every number is one too small."""
    return garments(lambda items: [one.update(index=one["index"] - 1) for one in items])


def twice(index: int) -> Step:
    """A number is described twice, in different words."""
    return garments(lambda items: items.append({**describe(index, "another"), "fit": "slim"}))


def wrong(index: int, **fields: object) -> Step:
    """Fields of one number are something else; None leaves one out."""

    def change(items: list[Item]) -> None:
        for item in items:
            if item["index"] == index:
                item.update(fields)
                for name in [name for name, value in fields.items() if value is None]:
                    del item[name]

    return garments(change)


def refusal(words: str = "I cannot help with that.") -> Step:
    """The model refuses."""
    return says(None, refusal=words)


def truncated(characters: int) -> Step:
    """A good answer, cut off by the limit on its length."""

    def step(request: Recorded) -> Answer:
        content = json.loads(good()(request).body)["choices"][0]["message"]["content"]
        return completion(request, content[:characters], finish_reason="length")

    return step


def fault(status: int, message: str = "scripted", headers: Mapping[str, str] | None = None, **error: object) -> Step:
    """An error in OpenAI's form."""
    body = json.dumps({"error": {"message": message, "type": None, "param": None, "code": None, **error}})
    return lambda _: Answer(status, body.encode(), {**JSON, **(headers or {})})


def rate_limited(retry_after: str | None = None, **headers: str) -> Step:
    """429; `retry_after` in seconds or as a date."""
    return fault(429, "Rate limit reached", {**headers, **({"Retry-After": retry_after} if retry_after else {})})


def date_in(seconds: float) -> str:
    """A date for `Retry-After`."""
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


def insufficient_quota() -> Step:
    """429 of an account without credit."""
    return fault(429, "You exceeded your current quota", type="insufficient_quota", code="insufficient_quota")


def rejects(part: str, otherwise: Step | None = None) -> Step:
    """400 as long as the request has this part (`response_format` only where it asks for `json_schema`)."""

    def step(request: Recorded) -> Answer:
        value = request.body.get(part)
        if value is not None and (part != "response_format" or value["type"] == "json_schema"):
            return fault(400, f"Unsupported parameter: '{part}'", param=part)(request)
        return (otherwise or good())(request)

    return step


def echoes_key(status: int = 400) -> Step:
    """An error that repeats the key, as some endpoints do."""
    return lambda request: fault(status, f"Wrong key: {request.headers.get('authorization')}")(request)


def html(status: int = 200) -> Step:
    """A page, as of a proxy or a wrong address."""
    return lambda _: Answer(status, b"<html><body>Welcome</body></html>", {"Content-Type": "text/html"})


def raw(body: bytes, status: int = 200) -> Step:
    """Bytes that claim to be JSON."""
    return lambda _: Answer(status, body)


def cut(step: Step, sent: int) -> Step:
    """The connection ends after so many bytes of the body."""
    return lambda request: _with(step(request), sent=sent)


def slow(seconds: float, step: Step | None = None) -> Step:
    """An answer that takes its time."""
    return lambda request: _with((step or good())(request), after_s=seconds)


def _with(answer: Answer, **changes: Any) -> Answer:  # noqa: ANN401 - fields of the answer
    return Answer(**{**vars(answer), **changes})
