"""Which engines answer: the model.json that export writes beside each of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENGINES = ("vocabulary_encoder", "garment_detector", "depth_estimator", "image_embedder")
"""Models that this pipeline calls, in the order of the flow."""


@dataclass(frozen=True)
class Engine:
    """One engine as export described it.

    Attributes:
        role: the model's name on the server.
        folder: its version folder.
        about: the whole model.json.
    """

    role: str
    folder: Path
    about: dict[str, Any]

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How the original processor prepares this model's input."""
        return dict(self.about["preprocessing"])

    @property
    def identity(self) -> dict[str, Any]:
        """What every answer says of a model that took part."""
        return {key: self.about[key] for key in ("role", "name", "version", "digest", "source", "trained")}


class EngineCatalogue:
    """Reads each model.json once, and again when the file changes (a model was exported and reloaded)."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._kept: dict[str, tuple[int, Engine]] = {}

    def __getitem__(self, role: str) -> Engine:
        """The engine that serves `role`.

        Raises:
            FileNotFoundError, ValueError: model.json is missing or is not of this role; the message says what to do.
        """
        folder = self._newest_version(role)
        path = folder / "model.json"
        try:
            changed_ns = path.stat().st_mtime_ns
            kept = self._kept.get(role)
            if kept is None or kept[0] != changed_ns:
                about = json.loads(path.read_text(encoding="utf-8"))
                if about["role"] != role:
                    raise ValueError(f"{path} describes {about['role']}; run fashioncrop-export --only {role} --force")
                kept = self._kept[role] = (changed_ns, Engine(role, folder, about))
        except OSError as error:
            raise FileNotFoundError(f"{path} cannot be read ({error.strerror}); run fashioncrop-export") from error
        return kept[1]

    def _newest_version(self, role: str) -> Path:
        versions = [path for path in (self._repository / role).glob("*") if path.name.isdigit()]
        if not versions:
            raise FileNotFoundError(f"{self._repository / role} has no version folder; run fashioncrop-export")
        return max(versions, key=lambda path: int(path.name))
