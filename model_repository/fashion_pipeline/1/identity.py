"""Which engines answer: the model.json that export writes beside each of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from served_engines import USUAL_FILE, engine_digest, served_file, variants

ENGINES = ("vocabulary_encoder", "garment_detector", "depth_estimator", "image_embedder")
"""Models that this pipeline calls for a photo, in the order of the flow."""
TEXT_EMBEDDER = "text_embedder"
"""Called for texts; it takes part in no photo's answer."""


@dataclass(frozen=True)
class Engine:
    """One engine as export described it.

    Attributes:
        role: the model's name on the server.
        folder: its version folder.
        about: the whole model.json; its digest is that of the engine that is served.
        variant: the configuration by which the engine is served, `int8` for instance; empty for the usual one.
    """

    role: str
    folder: Path
    about: dict[str, Any]
    variant: str = ""

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How the original processor prepares this model's input."""
        return dict(self.about["preprocessing"])

    @property
    def identity(self) -> dict[str, Any]:
        """What every answer says of a model that took part; `domain` is None for a model of photographs."""
        known = {key: self.about[key] for key in ("role", "name", "version", "digest", "source", "trained")}
        return {**known, "variant": self.variant, "domain": self.about.get("domain")}


def source_digest(folder: Path) -> str:
    """`sha256:` and the digest of the Python files in `folder`: two pipelines of one digest answer alike."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"sha256:{digest.hexdigest()}"


def warnings_of(identities: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader must know before trusting what these models say, a sentence each."""
    sentences = [
        f"{identity['role']} has random weights: what it says means nothing."
        for identity in identities
        if not identity["trained"]
    ]
    narrow: dict[str, list[str]] = {}
    for identity in identities:
        if identity["trained"] and identity["domain"]:
            narrow.setdefault(identity["domain"], []).append(identity["role"])
    return sentences + [
        f"{', '.join(roles)}: trained on {domain} only. Of photographs, what they say means little."
        for domain, roles in narrow.items()
    ]


def read_engine(repository: Path, role: str, config_name: str | None = "") -> Engine:
    """What export wrote of the engine that serves `role`.

    Read when the pipeline loads, as the engines are, and not again: a file that changes later describes an engine that
    does not serve yet.

    Args:
        repository: the model repository.
        role: the model's name.
        config_name: what the server was started with; None where that cannot be told.

    Raises:
        FileNotFoundError, ValueError: model.json is missing or is not of this role; the message says what to do.
    """
    versions = [path for path in (repository / role).glob("*") if path.name.isdigit()]
    if not versions:
        raise FileNotFoundError(f"{repository / role} has no version folder; run fashioncrop-export")
    folder = max(versions, key=lambda path: int(path.name))
    path = folder / "model.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileNotFoundError(f"{path} cannot be read ({error.strerror}); run fashioncrop-export") from error
    if about["role"] != role:
        raise ValueError(f"{path} describes {about['role']}; run fashioncrop-export --only {role} --force")
    if config_name is None and variants(repository / role, folder):
        raise ValueError(
            f"{folder} has several engines, and this process was not started by tritonserver: which of them it serves "
            f"cannot be told. Remove {' and '.join(variants(repository / role, folder))}"
        )
    file = served_file(repository / role, config_name or "")
    if file == USUAL_FILE:
        return Engine(role, folder, about)
    return Engine(role, folder, {**about, "digest": engine_digest(folder / file, about["digest"])}, config_name or "")
