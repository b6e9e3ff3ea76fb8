"""From `--models full|random|tiny|paperdoll|DIR` to checkpoints on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fashioncrop.errors import ModelFileError
from fashioncrop_export import shipped
from fashioncrop_export.checkpoints import MARKER_FILE, Checkpoint, Family, directory_checkpoint

if TYPE_CHECKING:
    from fashioncrop_export.random_weights import Size


# What random_weights writes depends on these files of this package.
_RECIPE_FILES = ("random_detector.py", "random_weights.py", "small_tokenizers.py")


def default_cache() -> Path:
    """`$FASHIONCROP_CACHE`, otherwise `~/.cache/fashioncrop/checkpoints`."""
    return Path(os.environ.get("FASHIONCROP_CACHE") or Path.home() / ".cache" / "fashioncrop" / "checkpoints")


def find_checkpoint(models: str, family: Family, cache: Path, revisions: Mapping[Family, str]) -> Checkpoint:
    """The family's checkpoint, downloaded or made first where it is not there yet.

    Args:
        models: `full`, `random`, `tiny`, `paperdoll` or a directory.
        family: which of the three.
        cache: where random weights are kept, and what was downloaded; downloads are in huggingface_hub's own cache.
        revisions: hub commits or branches to take instead of the pinned ones.

    Raises:
        ModelFileError: the directory is not what it has to be.
        DownloadError: the hub cannot be reached or does not have the checkpoint.
    """
    if models == "full":
        # Not needed, and slow to import, for every other source.
        from fashioncrop_export.hub import download_checkpoint  # noqa: PLC0415

        return download_checkpoint(family, cache, revisions.get(family))
    if models in ("random", "tiny"):
        return _random_checkpoint(cast("Size", models), family, cache)
    if models == "paperdoll":
        return directory_checkpoint(shipped.package_folder() / shipped.CHECKPOINTS, family, source="paperdoll")
    directory = Path(models)
    if not directory.is_dir():
        raise ModelFileError(f"--models takes full, random, tiny, paperdoll or a directory; {models} is none of them.")
    return directory_checkpoint(directory, family)


def _random_checkpoint(size: Size, family: Family, cache: Path) -> Checkpoint:
    folder = cache / size / family
    recipe = _recipe()
    try:
        made_by = json.loads((folder / MARKER_FILE).read_text(encoding="utf-8")).get("recipe")
    except (OSError, ValueError):
        made_by = None
    if made_by != recipe:
        # torch and transformers take seconds to import.
        from fashioncrop_export.random_weights import make_checkpoint  # noqa: PLC0415

        make_checkpoint(size, family, folder, recipe=recipe)
    return directory_checkpoint(cache / size, family, source=size)


def _recipe() -> str:
    digest = hashlib.sha256()
    for name in _RECIPE_FILES:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()[:12]
