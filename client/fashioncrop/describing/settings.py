"""How garments are described: which model of which endpoint, how closely it looks, and what it may take."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from fashioncrop._photo_url import shown_url
from fashioncrop.errors import CredentialError, OptionError

Detail = Literal["low", "high"]
"""How closely the model looks at an image: 512 x 512 pixels, or up to 2048 x 768."""

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

OPENAI_URL = "https://api.openai.com/v1"
DEFAULT_MODEL = "gpt-4o-mini"

_MAX_CONCURRENCY = 1000
_MAX_RETRIES = 20
_MAX_OUTPUT_TOKENS = 200_000
_MAX_TEMPERATURE = 2.0
_MAX_NAME_CHARACTERS = 200
_MAX_LANGUAGE_CHARACTERS = 40
_MAX_URL_CHARACTERS = 2000


@dataclass(frozen=True)
class DescriberSettings:
    """Everything that is the same for every photo. The key shows in no `repr`.

    Attributes:
        model: as the endpoint names it.
        base_url: of an OpenAI-compatible endpoint, up to where `/chat/completions` follows; None is OpenAI's.
        api_key: the endpoint's; None where it needs none. It is never read from the environment here.
        detail: `low` costs one small image, `high` several times that.
        max_concurrency: calls in flight at a time, over all photos of one `Describer`.
        timeout_s: for each call, in seconds, until the last byte of its answer.
        max_retries: how often a call is repeated that may succeed later.
        max_wait_s: longest pause before a repetition, in seconds; an endpoint that asks for more is not waited for.
        max_output_tokens: for each call, reasoning included; None scales it with the garments.
        temperature: 0 for the likeliest words; None to leave it to the endpoint, as also happens where it refuses it.
        reasoning_effort: for models that think before they answer; None is what the price table says of the model.
        language: what the texts are written in, such as `French`; None is English.

    Raises:
        OptionError: one of them is outside its range.
        CredentialError: the key holds characters that no key has.
    """

    model: str = DEFAULT_MODEL
    base_url: str | None = None
    api_key: SecretStr | None = None
    detail: Detail = "low"
    max_concurrency: int = 8
    timeout_s: float = 60.0
    max_retries: int = 4
    max_wait_s: float = 60.0
    max_output_tokens: int | None = None
    temperature: float | None = 0.0
    reasoning_effort: ReasoningEffort | None = None
    language: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "api_key", _checked_key(self.api_key))
        _check_text("model", self.model, _MAX_NAME_CHARACTERS)
        if self.language is not None:
            _check_text("language", self.language, _MAX_LANGUAGE_CHARACTERS)
        if self.base_url is not None:
            _check_url(self.base_url)
        if self.detail not in ("low", "high"):
            raise OptionError(f"detail must be low or high; got {self.detail!r}.")
        _check_range("max_concurrency", self.max_concurrency, 1, _MAX_CONCURRENCY)
        _check_range("max_retries", self.max_retries, 0, _MAX_RETRIES)
        if self.max_output_tokens is not None:
            _check_range("max_output_tokens", self.max_output_tokens, 1, _MAX_OUTPUT_TOKENS)
        if self.temperature is not None:
            _check_range("temperature", self.temperature, 0.0, _MAX_TEMPERATURE)
        if not 0 < self.timeout_s < float("inf"):
            raise OptionError(f"timeout_s must be above 0 and finite; got {self.timeout_s}.")
        if not 0 <= self.max_wait_s < float("inf"):
            raise OptionError(f"max_wait_s must be at least 0 and finite; got {self.max_wait_s}.")

    @property
    def url(self) -> str:
        """The endpoint, without a slash at its end."""
        return (self.base_url or OPENAI_URL).rstrip("/")

    @property
    def shown_url(self) -> str:
        """The endpoint as it may be shown."""
        return shown_url(self.url)

    def is_openai(self) -> bool:
        """Whether the endpoint is OpenAI's own."""
        return urlsplit(self.url).hostname == urlsplit(OPENAI_URL).hostname

    def is_this_machine(self) -> bool:
        """Whether the endpoint is on loopback, so that no proxy is on the way to it."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def _checked_key(key: SecretStr | str | None) -> SecretStr | None:
    if key is None:
        return None
    text = (key.get_secret_value() if isinstance(key, SecretStr) else str(key)).strip()
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise CredentialError(
            "The describer's key holds a space, a line break or a character that is not ASCII, which no key has. Copy "
            "it again."
        )
    return SecretStr(text) if text else None


def _check_text(name: str, text: str, longest: int) -> None:
    if not (isinstance(text, str) and text.strip() and text.isprintable() and len(text) <= longest):
        raise OptionError(f"{name} must be a text of 1 to {longest} printable characters.")


def _check_range(name: str, value: float, lowest: float, highest: float) -> None:
    if isinstance(value, bool) or not lowest <= value <= highest:
        raise OptionError(f"{name} must be from {lowest} to {highest}; got {value!r}.")


def _check_url(url: str) -> None:
    shown = shown_url(url)
    try:
        parts = urlsplit(url)
        readable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        readable = False
    if (
        not readable
        or parts.scheme not in {"http", "https"}
        or not url.isprintable()
        or " " in url
        or len(url) > _MAX_URL_CHARACTERS
    ):
        raise OptionError(
            f"base_url must be the http:// or https:// address of an OpenAI-compatible endpoint, such as "
            f"http://localhost:8000/v1; got {shown}."
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise OptionError(
            f"base_url must have no user name, password, query or fragment: {shown}. A key belongs into api_key."
        )
