"""What the export tests share: the tiny checkpoints, transformers' own models, and runnable tiny engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer
from transformers import GroundingDinoForObjectDetection

from fashioncrop.model_repository import Role, engine_folder
from fashioncrop_export import shipped
from fashioncrop_export.checkpoints import Checkpoint, Family, directory_checkpoint
from fashioncrop_export.originals import Originals, tokenizer_of
from small_checkpoints import save_all
from tiny_models import tiny_checkpoints


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny networks are no faster on more, and threads that spin while they wait take the cores from all others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def checkpoints(tiny_repository: Path) -> Path:
    """Holds grounding-dino/, clip/ and depth-anything/."""
    return tiny_checkpoints(tiny_repository) / "tiny"


@pytest.fixture(scope="session")
def grounding_dino_checkpoint(checkpoints: Path) -> Checkpoint:
    return directory_checkpoint(checkpoints, Family.GROUNDING_DINO)


@pytest.fixture(scope="session")
def grounding_dino(grounding_dino_checkpoint: Checkpoint) -> GroundingDinoForObjectDetection:
    """transformers' own model; never changed by a test."""
    return Originals().load(grounding_dino_checkpoint, GroundingDinoForObjectDetection)


@pytest.fixture(scope="session")
def wordpiece(grounding_dino_checkpoint: Checkpoint) -> Tokenizer:
    return tokenizer_of(grounding_dino_checkpoint)


@pytest.fixture(scope="session")
def engine(tiny_repository: Path) -> Callable[[Role], onnxruntime.InferenceSession]:
    """The tiny engine of a role."""

    def load(role: Role) -> onnxruntime.InferenceSession:
        path = engine_folder(tiny_repository, role) / "model.onnx"
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    return load


@pytest.fixture(scope="session")
def small_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package `fashioncrop_paperdoll` like the project's own, with checkpoints that nobody trained."""
    folder = tmp_path_factory.mktemp("small") / shipped.PACKAGE
    save_all(folder / shipped.CHECKPOINTS)
    (folder / "__init__.py").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "package_folder", lambda: folder)
        shipped.refresh()
    return folder
