"""Which models are in a repository, as a document says it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fashioncrop.model_repository import Role, engine_folder, read_config

_FULL_SIZE_BYTES = 10**8
"""A detector's engine above this is of full size; the small ones have a few megabytes."""
_SHOWN = ("role", "name", "version", "digest", "source", "trained", "domain")


def identities(repository: Path, variants: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What `model.json` says of each engine, and of its variants where it has them, in the order of the roles.

    `threads` is what the model's configuration asks for: 0 for as many as there are cores.

    Args:
        repository: has every engine.
        variants: such as `int8`.
    """
    names = ["model.json", *(f"model.{variant}.json" for variant in variants)]
    told = []
    for role in Role:
        threads = read_config(repository, role).parameters["intra_op_thread_count"].string_value or "0"
        for path in [engine_folder(repository, role) / name for name in names]:
            if path.is_file():
                about = json.loads(path.read_bytes())
                told.append({**{key: about.get(key) for key in _SHOWN}, "threads": int(threads)})
    return told


def is_full_size(repository: Path) -> bool:
    """Whether the models are as large as the published ones, whatever their weights."""
    return (engine_folder(repository, Role.GARMENT_DETECTOR) / "model.onnx").stat().st_size > _FULL_SIZE_BYTES
