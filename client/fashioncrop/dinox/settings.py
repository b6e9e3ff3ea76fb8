"""How DINO-X is asked: whose account, which model, how patiently."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from fashioncrop._photo_url import shown_url
from fashioncrop.errors import CredentialError, OptionError

DEEPDATASPACE_URL = "https://api.deepdataspace.com"
DEFAULT_MODEL = "DINO-X-1.0"

_MAX_CONCURRENCY = 100
_MAX_RETRIES = 20
_MAX_NAME_CHARACTERS = 100
_MAX_URL_CHARACTERS = 2000
_MAX_KEY_CHARACTERS = 1000
_SIDES_PX = (64, 8192)
_PROMPT_CHARACTERS = (16, 100_000)
_PROMPT_PHRASES = (1, 10_000)


@dataclass(frozen=True)
class DinoXSettings:
    """Everything that is the same for every photo. The key shows in no `repr`.

    Attributes:
        api_key: the account's token.
        base_url: up to where `/v2/task/...` follows; https, or http on this machine.
        model: as the service names it.
        score_threshold: a box must score at least this, 0 to 1.
        iou_threshold: of two boxes that overlap more than this the service keeps the better, 0 to 1.
        timeout_s: for one task from its creation to its result, repetitions included, in seconds.
        request_timeout_s: for one request, until the last byte of its answer, in seconds.
        poll_interval_s: first pause before asking whether a task is done, in seconds; each is half as long again as the
            one before.
        max_poll_interval_s: longest such pause, in seconds.
        max_concurrency: tasks under way at a time, over all photos of one `DinoX`.
        max_retries: how often a request is repeated that may succeed later.
        max_wait_s: longest pause before a repetition, in seconds; a service that asks for more is not waited for.
        max_side_px: a photo's longer side is scaled down to this before it is sent; 1536 is what the service's own SDK
            does.
        max_prompt_phrases: so many phrases are looked for in one task; the service states no limit, and its older
            siblings lose objects when there are many.
        max_prompt_characters: so long is the prompt of one task.

    Raises:
        OptionError: one of them is outside its range.
        CredentialError: the key is missing or holds characters that no key has.
    """

    api_key: SecretStr
    base_url: str = DEEPDATASPACE_URL
    model: str = DEFAULT_MODEL
    score_threshold: float = 0.25
    iou_threshold: float = 0.8
    timeout_s: float = 120.0
    request_timeout_s: float = 30.0
    poll_interval_s: float = 0.5
    max_poll_interval_s: float = 4.0
    max_concurrency: int = 4
    max_retries: int = 4
    max_wait_s: float = 60.0
    max_side_px: int = 1536
    max_prompt_phrases: int = 80
    max_prompt_characters: int = 1000

    def __post_init__(self) -> None:
        object.__setattr__(self, "api_key", _checked_key(self.api_key))
        _check_url(self.base_url)
        name = self.model
        if not (isinstance(name, str) and name.strip() and name.isprintable() and len(name) <= _MAX_NAME_CHARACTERS):
            raise OptionError(f"model must be a text of 1 to {_MAX_NAME_CHARACTERS} printable characters.")
        _check_range("score_threshold", self.score_threshold, 0.0, 1.0)
        _check_range("iou_threshold", self.iou_threshold, 0.0, 1.0)
        _check_range("max_concurrency", self.max_concurrency, 1, _MAX_CONCURRENCY)
        _check_range("max_retries", self.max_retries, 0, _MAX_RETRIES)
        _check_range("max_side_px", self.max_side_px, *_SIDES_PX)
        _check_range("max_prompt_phrases", self.max_prompt_phrases, *_PROMPT_PHRASES)
        _check_range("max_prompt_characters", self.max_prompt_characters, *_PROMPT_CHARACTERS)
        for name in ("timeout_s", "request_timeout_s", "poll_interval_s", "max_poll_interval_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise OptionError(f"{name} must be above 0 and finite; got {getattr(self, name)}.")
        if not 0 <= self.max_wait_s < float("inf"):
            raise OptionError(f"max_wait_s must be at least 0 and finite; got {self.max_wait_s}.")

    @property
    def shown_url(self) -> str:
        """The service's address as it may be shown."""
        return shown_url(self.base_url)


def is_loopback(host: str) -> bool:
    """Whether this host is this machine itself, so that nobody is on the way to it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked_key(key: SecretStr | str) -> SecretStr:
    text = (key.get_secret_value() if isinstance(key, SecretStr) else str(key or "")).strip()
    if not text:
        raise CredentialError(
            "DINO-X needs the token of a DeepDataSpace account, and there is none. Get one from "
            "https://cloud.deepdataspace.com, or let the server's own detector do the work."
        )
    if not (text.isascii() and text.isprintable() and " " not in text and len(text) <= _MAX_KEY_CHARACTERS):
        raise CredentialError(
            "The DINO-X token holds a space, a line break or a character that is not ASCII, or is too long. Copy "
            "it again."
        )
    return SecretStr(text)


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
    if not readable or not (url.isascii() and url.isprintable()) or " " in url or len(url) > _MAX_URL_CHARACTERS:
        raise OptionError(f"base_url must be an address such as {DEEPDATASPACE_URL}; got {shown}.")
    if "@" in parts.netloc or parts.query or parts.fragment or "?" in url or "#" in url:
        raise OptionError(
            f"base_url must have no user name, password, query or fragment: {shown}. The token belongs into api_key."
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise OptionError(
            f"base_url must begin with https:// (http:// on this machine only), because the token travels with every "
            f"request; got {shown}."
        )
