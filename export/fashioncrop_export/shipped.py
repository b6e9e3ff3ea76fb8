"""The small trained models that come with the project: their checkpoints, and engines that need no export.

::

    fashioncrop_paperdoll/
    ├── checkpoints/{grounding-dino,clip,depth-anything}/
    └── engines/<role>/                                    what an export writes into model_repository/<role>/1/

An engine is copied only if it was made from exactly these checkpoints by exactly this exporter; otherwise it is
exported like any other. `python -m fashioncrop_export.shipped` makes all engines again, which has to be done whenever
a checkpoint changes or a module of this package that decides what an engine is.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from fashioncrop.errors import FashionCropError, ModelFileError
from fashioncrop.model_repository import Role, engine_folder, read_config
from fashioncrop_export.checkpoints import Checkpoint, file_digest
from fashioncrop_export.identity import (
    ENGINE_FILE,
    IDENTITY_FILE,
    ModelIdentity,
    export_source,
    files_of,
    is_whole,
    read_identity,
    replace_engine,
    write_identity,
)

PACKAGE = "fashioncrop_paperdoll"
CHECKPOINTS = "checkpoints"
_ENGINES = "engines"


def package_folder() -> Path:
    """Where the package is that holds them, which is found without being imported.

    Raises:
        ModelFileError: it is not installed.
    """
    spec = find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not places:
        raise ModelFileError(
            f"The package {PACKAGE}, which holds the models of --models paperdoll, is not installed. Install "
            "fashioncrop again, or choose another source."
        )
    return Path(places[0])


def fitting(role: Role, checkpoint: Checkpoint, config: Path) -> ModelIdentity | None:
    """What `model.json` says of the engine that can be copied; None where there is none for this checkpoint.

    Args:
        role: the model.
        checkpoint: what an export would be made from.
        config: the `config.pbtxt` that the engine is to be served with.

    Raises:
        ModelFileError: a file cannot be read.
    """
    if checkpoint.source != "paperdoll":
        return None
    folder = package_folder() / _ENGINES / role
    identity = read_identity(folder)
    if (
        identity is None
        or identity.role != role
        or identity.exporter.get("export_source") != export_source()
        or not is_whole(identity, folder, checkpoint)
    ):
        return None
    digest = file_digest(config)
    if identity.config_digest != digest and not _is_served_by(folder / ENGINE_FILE, config):
        return None
    return identity.model_copy(update={"config_digest": digest})


def _is_served_by(engine: Path, config: Path) -> bool:
    """Whether a configuration other than the one it was made for declares the same tensors."""
    import onnxruntime  # noqa: PLC0415 - not needed where the configuration is the same

    from fashioncrop_export.interface import interface_differences  # noqa: PLC0415

    session = onnxruntime.InferenceSession(str(engine), providers=["CPUExecutionProvider"])
    return not interface_differences(session, read_config(config.parents[1], config.parent.name))


def is_installed(role: Role, identity: ModelIdentity, folder: Path) -> bool:
    """Whether the files in `folder` are those that `install` would write."""
    shipped = package_folder() / _ENGINES / role
    names = [name for name in files_of(role) if name != IDENTITY_FILE]
    return read_identity(folder) == identity and all(
        (folder / name).is_file() and file_digest(folder / name) == file_digest(shipped / name) for name in names
    )


def install(role: Role, identity: ModelIdentity, folder: Path) -> None:
    """Copy the engine that comes with the project into `folder`, over what is there.

    Raises:
        ModelFileError: `folder` cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as beside:
            for name in files_of(role):
                shutil.copyfile(package_folder() / _ENGINES / role / name, Path(beside) / name)
            write_identity(identity, Path(beside))
            replace_engine(role, Path(beside), folder)
    except OSError as error:
        raise ModelFileError(f"{folder} cannot be written: {error}.") from error


def refresh() -> list[Path]:
    """Export every model from the checkpoints and put the engines where they are shipped from.

    Returns:
        The engines' folders.
    """
    from fashioncrop_export.exporting import Request, export  # noqa: PLC0415 - it imports this module

    folders = []
    with tempfile.TemporaryDirectory() as scratch:
        repository = Path(scratch) / "repository"
        for result in export(Request(models="paperdoll", repository=repository, cache=Path(scratch), force=True)):
            folder = package_folder() / _ENGINES / result.role
            folder.mkdir(parents=True, exist_ok=True)
            for name in files_of(result.role):
                shutil.copyfile(engine_folder(repository, result.role) / name, folder / name)
            folders.append(folder)
    return folders


if __name__ == "__main__":
    try:
        for each in refresh():
            sys.stdout.write(f"{each}\n")
    except FashionCropError as problem:
        sys.exit(str(problem))
