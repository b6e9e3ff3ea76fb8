"""What is kept of an answer, under which key, and how it becomes an answer again.

A key holds everything that shapes the answer: the photo, who answers (models and code, by digest), what was asked. So
another model or another prompt never answers from what an older one said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from fashioncrop._client import AnalyzeOptions
from fashioncrop.caching import cache_key, decode_json, encode_json
from fashioncrop.describing import (
    NAMING_VERSION,
    PROMPT_VERSION,
    TELLING_VERSION,
    CropToDescribe,
    DescriberSettings,
)
from fashioncrop.results import Description


class Keeps(Protocol):
    """What is used of a cache."""

    async def get(self, key: str) -> bytes | None:
        """What was kept; None where nothing was."""
        ...

    async def set(self, key: str, value: bytes) -> None:
        """Keep it."""
        ...


class Nothing:
    """Keeps nothing, so that everything is asked again."""

    async def get(self, key: str) -> bytes | None:  # noqa: ARG002 - the protocol's
        """Nothing."""
        return None

    async def set(self, key: str, value: bytes) -> None:
        """Nothing."""


def analysis_key(photo: bytes, options: AnalyzeOptions, server: str, detector: str | None) -> str:
    """Of what the server says of a photo.

    Args:
        photo: the file.
        options: of the request.
        server: `AsyncClient.server_identity`.
        detector: identity of the detector that is asked instead of the server's.
    """
    asked = {name: np.asarray(value).tolist() for name, value in options.items()}
    return cache_key("analysis", {"photo": photo, "asked": asked, "server": server, "detector": detector})


def naming_key(photo: bytes, settings: DescriberSettings) -> str:
    """Of the phrases that a large model named."""
    return cache_key("naming", {"photo": photo, "by": _describer(settings), "prompt": NAMING_VERSION})


def description_key(crops: Sequence[CropToDescribe], settings: DescriberSettings) -> str:
    """Of the descriptions of one photo's garments."""
    shown = [[crop.id, crop.phrase, crop.jpeg] for crop in crops]
    return cache_key("description", {"crops": shown, "by": _describer(settings), "prompt": PROMPT_VERSION})


def telling_key(picture: bytes, prompt: str, settings: DescriberSettings) -> str:
    """Of a text about a picture that a prompt asked for."""
    return cache_key(
        "telling", {"picture": picture, "asked": prompt, "by": _describer(settings), "prompt": TELLING_VERSION}
    )


def _describer(settings: DescriberSettings) -> dict[str, Any]:
    names = ("model", "url", "detail", "temperature", "reasoning_effort", "language", "max_output_tokens")
    return {name: getattr(settings, name) for name in names}


def encode_descriptions(descriptions: Mapping[int, Description]) -> bytes:
    """By garment, as a cache's value."""
    return encode_json({str(id_): one.model_dump(mode="json") for id_, one in descriptions.items()})


def decode_descriptions(data: bytes, crops: Sequence[CropToDescribe]) -> dict[int, Description] | None:
    """The descriptions again; None where they cannot be read or are not of these crops, as if they were not there."""
    try:
        found = {int(id_): Description.model_validate(one) for id_, one in decode_json(data).items()}
    except (AttributeError, ValueError):
        return None
    return found if set(found) == {crop.id for crop in crops} else None


def decode_phrases(data: bytes) -> list[str] | None:
    """The phrases again; None where they cannot be read, as if they were not there."""
    phrases = decode_json(data)
    return phrases if isinstance(phrases, list) and all(isinstance(phrase, str) for phrase in phrases) else None
