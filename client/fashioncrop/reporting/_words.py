"""Numbers and names as people read them."""

from __future__ import annotations

import math

from fashioncrop.results import NOT_VISIBLE, Category, Cost, Depth, Description

_FLAGS = {
    "cut_by_frame": "Cut off by the edge of the photo",
    "too_small": "Small in the photo, so details may be lost",
    "blurred": "Blurred",
    "overlapped": "Partly covered by something nearer",
}
_ATTRIBUTES = ("type", "pattern", "material", "sleeve", "neckline", "length", "fit")
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}
_TEENS = range(11, 14)
_LARGEST = 10**15
_DIME = 0.1
_LEAST_DOLLARS = 1e-6


def flag_words(flag: str) -> str:
    """A flag in plain words; one of a newer server as it is called there."""
    return _FLAGS.get(flag, flag.replace("_", " "))


def depth_words(depth: Depth, garments: int) -> str:
    """Where the garment stands among those of its photo."""
    if depth.order == 1:
        return f"Distance: nearest of {garments}"
    if depth.order == garments:
        return f"Distance: farthest of {garments}"
    ending = "th" if depth.order % 100 in _TEENS else _ENDINGS.get(depth.order % 10, "th")
    return f"Distance: {depth.order}{ending} nearest of {garments}"


def category_words(category: Category, phrase: str) -> str:
    """What the garment is in Fashionpedia, without what the phrase already says."""
    above = category.supercategory.replace("body", " body").strip()
    return above if category.name == phrase else f"{category.name} \u00b7 {above}"


def attributes(description: Description) -> tuple[list[tuple[str, str]], list[str]]:
    """Name and text of what could be seen, and the names of what could not."""
    texts = [
        *((name, getattr(description, name)) for name in _ATTRIBUTES),
        ("colours", ", ".join(description.colours)),
        ("details", ", ".join(description.details)),
    ]
    said = [(name, text) for name, text in texts if text.strip()]
    return [(name, text) for name, text in said if not _hidden(text)], [name for name, text in said if _hidden(text)]


def _hidden(text: str) -> bool:
    return text.strip().rstrip(".").casefold() == NOT_VISIBLE


def percent(share: float) -> str:
    """A share of one as a whole percentage; never "0%" of something that is there."""
    rounded = f"{share:.0%}"
    return "under 1%" if share > 0 and rounded == "0%" else rounded


def count(number: int, one: str, several: str = "") -> str:
    """`1 photo`, `2 photos`, `12,000 photos`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def dollars(amount: float) -> str:
    """To the cent, and where that says too little to three digits."""
    if not math.isfinite(amount):
        return "an unknown price"
    if not 0 < amount < _DIME:
        return f"${amount:,.2f}"
    if amount < _LEAST_DOLLARS:
        return f"under ${_LEAST_DOLLARS:f}"
    return f"${amount:.{2 - math.floor(math.log10(amount))}f}"


def milliseconds(amount: float) -> str:
    """Milliseconds below a second, then seconds."""
    if not 0 <= amount < _LARGEST:
        return "unknown"
    return f"{amount:.0f} ms" if amount < 1000 else f"{amount / 1000:,.1f} s"  # noqa: PLR2004 - a second


def cost_words(cost: Cost) -> str:
    """Dollars and tokens in one line."""
    tokens = sum(usage.input_tokens + usage.output_tokens for usage in cost.usages)
    price = "price unknown" if cost.dollars is None else dollars(cost.dollars)
    return f"{price}, {count(tokens, 'token')}"


def bars(timings_ms: dict[str, float]) -> list[tuple[str, str, str]]:
    """Stage, time in words, and the bar's length as a percentage of the longest."""
    longest = max((value for value in timings_ms.values() if 0 < value < _LARGEST), default=1.0)
    return [
        (name.replace("_", " "), milliseconds(value), f"{100 * min(max(value, 0), longest) / longest:.1f}%")
        for name, value in timings_ms.items()
        if not math.isnan(value)
    ]
