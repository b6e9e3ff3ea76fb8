"""What the export tests share: the tiny checkpoints, transformers' own models, and runnable tiny engines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
from tokenizers import Tokenizer
from transformers import GroundingDinoForObjectDetection

from fashioncrop.model_repository import Role, engine_folder
from fashioncrop_export.checkpoints import Checkpoint, Family, directory_checkpoint
from fashioncrop_export.originals import Originals, tokenizer_of
from tiny_models import tiny_checkpoints


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
