"""How long to wait before a request is repeated."""

from __future__ import annotations

import datetime as dt
import email.utils
import math
import random
import time
from collections.abc import Mapping

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0
_EXTRA = 0.1
"""Calls that are told the same second come back spread out, none of them early."""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that an endpoint asks to wait, at least 0; None where it does not say so in a readable way.

    Args:
        headers: by lower-case name; `retry-after-ms` (OpenAI's, finer) goes before `retry-after` (RFC 9110, section
            10.2.3: seconds, or a date).
    """
    for name, parts in (("retry-after-ms", 1000), ("retry-after", 1)):
        value = headers.get(name, "").strip()
        try:
            seconds = float(value) / parts
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    return _until_date(headers.get("retry-after", ""))


def pause_s(repetition: int, asked_s: float | None) -> float:
    """Seconds to wait before a repetition.

    Args:
        repetition: 0 for the first.
        asked_s: what the endpoint asks for; a little more is waited. Without it, or where it is 0: 0.5 s, doubled each
            time up to 8 s, of which a random half at most is left out.
    """
    if asked_s:
        return asked_s * random.uniform(1, 1 + _EXTRA)  # noqa: S311 - not a secret
    return min(_FIRST_PAUSE_S * 2.0**repetition, _LONGEST_PAUSE_S) * random.uniform(0.5, 1)  # noqa: S311 - not a secret


def _until_date(text: str) -> float | None:
    try:
        date = email.utils.parsedate_to_datetime(text)
        # A date without a zone is in GMT, as every date of HTTP.
        stamp = (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(stamp - time.time(), 0.0)
