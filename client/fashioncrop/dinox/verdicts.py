"""What an answer of the service means: its data, or why there is none and whether to ask again."""

from __future__ import annotations

import email.utils
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fashioncrop.dinox.settings import DinoXSettings
from fashioncrop.dinox.transport import Answer, Lost
from fashioncrop.errors import (
    CredentialError,
    DeadlineError,
    FashionCropError,
    OptionError,
    OverloadedError,
    PhotoError,
    ServerFaultError,
    ServerUnavailableError,
)

_MAX_QUOTED_CHARACTERS = 200

_OK = 200
_REDIRECTS = range(300, 400)
_REFUSED = frozenset({401, 402, 403})
_TOO_LARGE = 413
_BUSY = 429
_DOWN = frozenset({408, 425, 502, 503, 504})
_FAULTS = range(500, 600)

# With status 200 and a code other than 0. What codes there are is not published; these words were seen.
_BUSY_WORDS = ("rate limit", "too many", "too frequent")
_REFUSAL_WORDS = ("quota", "balance", "token", "unauthori", "forbidden")


@dataclass(frozen=True)
class Refusal:
    """An answer that is none.

    Attributes:
        error: what to raise if it stays so.
        repeatable: whether the same request may succeed later.
        retry_after_s: how long the service asks to wait, in seconds; None where it does not say.
    """

    error: FashionCropError
    repeatable: bool = False
    retry_after_s: float | None = None


class Verdicts:
    """Reads the answers of one service."""

    def __init__(self, settings: DinoXSettings) -> None:
        self._who = f"DINO-X ({settings.shown_url})"
        self._api_key = settings.api_key

    def read(self, answer: Answer | Lost) -> dict[str, Any] | Refusal:
        """The envelope's `data`, or why there is none."""
        if isinstance(answer, Lost):
            return self._lost(answer)
        document = _json_object(answer.body)
        words = self.quoted((document or {}).get("msg"))
        if answer.status != _OK:
            return self._refused(answer, words)
        if document is None:
            return self._fault("answers with something that is not JSON. Check that base_url is the service's own.")
        if document.get("code") != 0:
            return self._declined(words or f"code {self.quoted(str(document.get('code')))}")
        data = document.get("data")
        return data if isinstance(data, dict) else self._fault("answers without data. Look for a newer fashioncrop.")

    def quoted(self, words: object) -> str:
        """Words of the service: printable, short, and without the token, should it have come back."""
        text = words if isinstance(words, str) else ""
        text = re.sub(re.escape(self._api_key.get_secret_value()), "[token]", text, flags=re.IGNORECASE)
        text = "".join(letter if letter.isprintable() else " " for letter in text).strip().rstrip(".")
        return text if len(text) <= _MAX_QUOTED_CHARACTERS else text[: _MAX_QUOTED_CHARACTERS - 3] + "..."

    def _fault(self, words: str) -> Refusal:
        return Refusal(ServerFaultError(f"{self._who} {words}"))

    def _lost(self, lost: Lost) -> Refusal:
        sentence = f"{self._who} {lost.words}."
        if lost.why == "late":
            error: FashionCropError = DeadlineError(f"{sentence} Try again, or allow more time.")
        elif lost.why == "unreachable":
            error = ServerUnavailableError(f"{sentence} Check address and connection, or try again later.")
        elif lost.why == "untrusted":
            error = ServerUnavailableError(f"{sentence} Check base_url, and who answers in the service's place.")
        else:
            error = ServerFaultError(f"{sentence} Check that base_url is the service's own address.")
        return Refusal(error, repeatable=lost.why in {"late", "unreachable"})

    def _refused(self, answer: Answer, words: str) -> Refusal:
        """An HTTP status other than 200."""
        status = answer.status
        says = f"{self._who} answers with HTTP status {status}" + (f": {words}." if words else ".")
        retry_after_s = _retry_after_s(answer.retry_after)
        if status in _REDIRECTS:
            hint = "The token is not taken along to another address. Set base_url to where the service is."
            error: FashionCropError = OptionError(f"{says} {hint}")
        elif status in _REFUSED:
            error = self._credential(says)
        elif status == _BUSY:
            error = self._busy(says, retry_after_s)
        elif status == _TOO_LARGE:
            error = PhotoError(f"{says} The photo is too large for it: lower max_side_px.")
        elif status in _DOWN:
            error = ServerUnavailableError(f"{says} Try again later.")
        elif status in _FAULTS:
            error = ServerFaultError(f"{says} Try again later, or report it.")
        else:
            error = OptionError(f"{says} Check base_url, model and vocabulary.")
        repeatable = status == _BUSY or status in _DOWN or status in _FAULTS
        return Refusal(error, repeatable=repeatable, retry_after_s=retry_after_s if repeatable else None)

    def _declined(self, words: str) -> Refusal:
        """HTTP status 200, but a code other than 0."""
        says = f"{self._who} declines: {words}."
        lower = words.lower()
        if any(word in lower for word in _BUSY_WORDS):
            return Refusal(self._busy(says, None), repeatable=True)
        if any(word in lower for word in _REFUSAL_WORDS):
            return Refusal(self._credential(says))
        return Refusal(ServerFaultError(f"{says} Check model and vocabulary, or report it."))

    def _credential(self, says: str) -> CredentialError:
        return CredentialError(f"{says} Check the token, and whether its account has quota left.")

    def _busy(self, says: str, retry_after_s: float | None) -> OverloadedError:
        asks = "" if retry_after_s is None else f" It asks to wait {retry_after_s:g} s."
        return OverloadedError(f"{says} It takes no more at the moment.{asks} Try again, or lower max_concurrency.")


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _retry_after_s(header: str) -> float | None:
    """Seconds, or a date (RFC 9110, section 10.2.3)."""
    if not header:
        return None
    if header.isascii() and header.isdigit():
        return float(header[:9])
    try:
        at = email.utils.parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
