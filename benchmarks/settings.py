"""What a measurement of accuracy is told. Imports nothing heavy, so that `--help` comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Vocabulary(StrEnum):
    """What the server is asked for."""

    AUTO = "auto"
    DEFAULT = "default"
    DATASET = "dataset"


@dataclass(frozen=True)
class Folders:
    """Where a dataset in COCO's format is.

    Attributes:
        annotations: its JSON file.
        images: its photos' folder.
    """

    annotations: Path
    images: Path


@dataclass(frozen=True)
class Settings:
    """What to measure on what.

    Attributes:
        models: what to export and serve, or None.
        url: a running server's address, where `models` is None.
        data: how many drawn scenes, or where the photos are.
        limit: photos at most; None for all.
        vocabulary: what the server is asked for.
        seed: of everything that is left to chance.
    """

    models: str | None
    url: str | None
    data: int | Folders
    limit: int | None
    vocabulary: Vocabulary
    seed: int
