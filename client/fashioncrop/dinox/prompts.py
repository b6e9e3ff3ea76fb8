"""From phrases to prompts, and from the service's categories back to phrases.

The service takes all phrases of a task as one text, `shirt.pants`, and names each box by a text of its own: usually the
phrase in lower case, but nothing promises that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fashioncrop.errors import OptionError

_MAX_PHRASES = 10_000
# A full stop ends a phrase; angle brackets mark the service's own words, such as <prompt_free>.
_BREAKS = re.compile(r"[.<>\s\x00-\x1f\x7f]+")


@dataclass(frozen=True)
class Prompt:
    """What one task looks for.

    Attributes:
        text: the phrases as they are sent, joined by full stops.
        phrases: the phrases as they were given, by how they are sent.
    """

    text: str
    phrases: dict[str, str]

    def phrase_of(self, category: str) -> str | None:
        """The phrase that a category means; None where it means none, or might mean several.

        A category may be a part of a phrase: `button up` for `button up shirt`.
        """
        sent = as_sent(category)
        if sent in self.phrases:
            return self.phrases[sent]
        words = set(sent.split())
        candidates = [phrase for text, phrase in self.phrases.items() if words and words <= set(text.split())]
        return candidates[0] if len(candidates) == 1 else None


def as_sent(phrase: str) -> str:
    """A phrase as the service reads it: lower case, single spaces, nothing that would end it."""
    return " ".join(_BREAKS.sub(" ", phrase.lower()).split())


def prompts(vocabulary: Sequence[str], *, max_phrases: int, max_characters: int) -> list[Prompt]:
    """Divide a vocabulary into as few prompts as fit, in its own order.

    Phrases that are sent alike are sent once, and stand for the first of them.

    Raises:
        OptionError: the vocabulary is empty, not a list of texts, or holds a phrase that is empty or too long.
    """
    if isinstance(vocabulary, str) or not isinstance(vocabulary, Iterable):
        raise OptionError("vocabulary must be a list of phrases, such as ['shirt', 'leather bag'].")
    given = list(vocabulary)
    if not 1 <= len(given) <= _MAX_PHRASES:
        raise OptionError(f"vocabulary must have from 1 to {_MAX_PHRASES} phrases; got {len(given)}.")
    result: list[Prompt] = []
    seen: set[str] = set()
    part: dict[str, str] = {}
    characters = 0
    for index, phrase in enumerate(given):
        sent = _checked(index, phrase, max_characters)
        if sent in seen:
            continue
        seen.add(sent)
        if part and (len(part) == max_phrases or characters + 1 + len(sent) > max_characters):
            result.append(_prompt(part))
            part, characters = {}, 0
        characters += len(sent) + bool(part)
        part[sent] = phrase
    result.append(_prompt(part))
    return result


def _prompt(part: dict[str, str]) -> Prompt:
    return Prompt(text=".".join(part), phrases=part)


def _checked(index: int, phrase: object, max_characters: int) -> str:
    if not isinstance(phrase, str):
        raise OptionError(f"Phrase {index} of the vocabulary is not a text but {type(phrase).__name__}.")
    # Half of a surrogate pair cannot be sent.
    sent = as_sent(phrase.encode("utf-8", "ignore").decode("utf-8"))
    if not sent:
        raise OptionError(f"Phrase {index} of the vocabulary is empty. Leave it out.")
    if len(sent) > max_characters:
        raise OptionError(
            f"Phrase {index} of the vocabulary has {len(sent)} characters; a prompt takes {max_characters}. Shorten it."
        )
    return sent
