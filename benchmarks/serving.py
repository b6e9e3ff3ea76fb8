"""A server to measure: one that runs already, or one of the benchmark's own."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fashioncrop import EmbeddedServer
from fashioncrop.errors import DeploymentError, OptionError
from fashioncrop.model_repository import Role

if TYPE_CHECKING:
    from fashioncrop_export.variants import Variant

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
    repository = exported(models, words)
    with running(repository, words) as server:
        yield Serving(server.grpc_url, repository)


@contextmanager
def running(repository: Path, words: OnWords, *, config_name: str = "") -> Iterator[EmbeddedServer]:
    """Serve a repository for as long as the block lasts, beside whatever else runs on this machine.

    Args:
        repository: has every engine.
        words: told that it starts.
        config_name: prefer each model's `configs/<config_name>.pbtxt`.

    Raises:
        EmbeddedServerError: the server does not start.
    """
    with tempfile.TemporaryDirectory(prefix="fashioncrop-benchmark-") as state:
        words("Starting the server ...")
        with EmbeddedServer(repository=repository, state_folder=Path(state), config_name=config_name) as server:
            yield server


def exported(models: str, words: OnWords, variants: Sequence[str] = ()) -> Path:
    """The models' repository in the cache, exported if need be.

    Args:
        models: as for `served`.
        words: likewise.
        variants: forms in which the models are to be there beside fp32, such as `int8`.

    Raises:
        OptionError: there is no such variant.
        FashionCropError: the models cannot be exported.
    """
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
    request = Request(models=models, repository=repository, cache=default_cache(), variants=_known(variants))
    export(request, tell)
    return repository


def _known(variants: Sequence[str]) -> tuple[Variant, ...]:
    from fashioncrop_export.variants import Variant  # noqa: PLC0415 - an extra

    unknown = set(variants) - set(Variant)
    if unknown:
        raise OptionError(f"Variants are {', '.join(Variant)}; got {', '.join(sorted(unknown))}.")
    return tuple(Variant(one) for one in variants)


def repository_name(models: str) -> str:
    """A folder's name for what `--models` says; two directories never share one."""
    if models in NAMED_MODELS:
        return models
    place = Path(models).resolve()
    return f"{place.name or 'root'}-{hashlib.sha256(str(place).encode()).hexdigest()[:12]}"
