"""A server to measure: one that runs already, or one of the benchmark's own."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fashioncrop import EmbeddedServer
from fashioncrop.errors import DeploymentError
from fashioncrop.model_repository import Role

NAMED_MODELS = ("paperdoll", "full", "random", "tiny")

OnWords = Callable[[str], None]
"""Is told what goes on."""


@dataclass(frozen=True)
class Serving:
    """A server that answers.

    Attributes:
        url: its gRPC address.
        repository: its model repository, where it is the benchmark's own; None for a server at an address.
    """

    url: str
    repository: Path | None


@contextmanager
def served(models: str, words: OnWords) -> Iterator[Serving]:
    """Export the models and serve them for as long as the block lasts, beside whatever else runs on this machine.

    The engines stay in the cache, so that the next time only starts the server.

    Args:
        models: `paperdoll`, `full`, `random`, `tiny` or a directory of checkpoints.
        words: told about each model that has to be exported.

    Raises:
        FashionCropError: the models cannot be exported, or the server does not start.
    """
    repository = _export(models, words)
    with tempfile.TemporaryDirectory(prefix="fashioncrop-benchmark-") as state:
        words("Starting the server ...")
        with EmbeddedServer(repository=repository, state_folder=Path(state)) as server:
            yield Serving(server.grpc_url, repository)


def _export(models: str, words: OnWords) -> Path:
    try:
        from fashioncrop_export.exporting import Request, Stage, export  # noqa: PLC0415 - an extra
        from fashioncrop_export.sources import default_cache  # noqa: PLC0415 - likewise
    except ModuleNotFoundError as error:
        raise DeploymentError(
            f"--models needs {error.name}, which is missing. Run: pip install 'fashioncrop[server,export]', or measure "
            "a server that runs already: --url HOST:PORT"
        ) from error

    def tell(role: Role, stage: Stage) -> None:
        if stage == "export":
            words(f"Exporting {role} ...")

    repository = default_cache() / "repositories" / repository_name(models)
    try:
        repository.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeploymentError(
            f"The cache {repository} cannot be written: {error.strerror}. Choose another: FASHIONCROP_CACHE."
        ) from error
    export(Request(models=models, repository=repository, cache=default_cache()), tell)
    return repository


def repository_name(models: str) -> str:
    """A folder's name for what `--models` says; two directories never share one."""
    if models in NAMED_MODELS:
        return models
    place = Path(models).resolve()
    return f"{place.name or 'root'}-{hashlib.sha256(str(place).encode()).hexdigest()[:12]}"
