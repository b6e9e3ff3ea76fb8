"""A real server told to prefer int8 configurations: whose engines answer, and what the answers call them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fashioncrop import Analysis, AnalyzeOptions, Client, EmbeddedServer
from fashioncrop.errors import EmbeddedServerError
from fashioncrop.model_repository import Role, engine_folder
from fashioncrop_export.checkpoints import file_digest
from fashioncrop_export.exporting import Request, export
from fashioncrop_export.variants import Variant
from tiny_models import tiny_checkpoints

pytestmark = [pytest.mark.server, pytest.mark.export]

# Exported fastest; the others are served as usual.
ROLE = Role.IMAGE_EMBEDDER


@pytest.fixture(scope="module")
def int8_repository(repository: Path, tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every model as usual, and one that can also be served in int8."""
    copy = Path(shutil.copytree(repository, tmp_path_factory.mktemp("int8") / "repository"))
    export(Request("tiny", copy, tiny_checkpoints(tiny_repository), (ROLE,), variants=(Variant.INT8,)))
    for role in set(Role) - {ROLE}:
        (copy / role / Variant.INT8.config_file).unlink(missing_ok=True)
    return copy


@pytest.fixture(scope="module")
def int8_server(int8_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    state = tmp_path_factory.mktemp("state")
    with EmbeddedServer(repository=int8_repository, state_folder=state, config_name="int8") as running:
        yield running


@pytest.fixture(scope="module")
def answers(int8_server: EmbeddedServer, client: Client, photographs: dict[str, bytes]) -> tuple[Analysis, Analysis]:
    """The same photo as usual and in int8, in a box so that both look at the same crop."""
    options: AnalyzeOptions = {"boxes_xyxy": [[100, 100, 400, 400]], "box_phrases": ["suit"], "embeddings": True}
    with Client(int8_server.grpc_url, timeout_s=60) as other:
        return client.analyze(photographs["astronaut"], **options), other.analyze(photographs["astronaut"], **options)


def test_an_answer_names_the_engine_that_was_asked(answers: tuple[Analysis, Analysis], int8_repository: Path) -> None:
    (usual,), (int8,) = ([model for model in answer.models if model.role == ROLE] for answer in answers)
    assert (usual.variant, int8.variant) == ("", "int8")
    assert int8.digest == file_digest(engine_folder(int8_repository, ROLE) / "model.int8.onnx") != usual.digest
    assert (int8.name, int8.version) == (usual.name, usual.version)


def test_a_model_without_that_configuration_is_served_by_its_usual_one(answers: tuple[Analysis, Analysis]) -> None:
    usual, int8 = ({model.role: model for model in answer.models if model.role != ROLE} for answer in answers)
    assert int8 == usual != {}


def test_its_vectors_are_close_and_not_the_same(answers: tuple[Analysis, Analysis]) -> None:
    usual, int8 = (np.asarray(answer.garments[0].embedding) for answer in answers)
    assert usual @ int8 > 0.999
    assert not np.array_equal(usual, int8)


def test_a_configuration_that_no_model_has_is_refused(int8_repository: Path, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=r"has configs/int9\.pbtxt\. There are: int8, "):
        EmbeddedServer(repository=int8_repository, state_folder=tmp_path, config_name="int9").__enter__()


def test_the_command_refuses_what_was_not_exported(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from fashioncrop.cli import main; main()", "up", "--config-name", "int8"]
    done = subprocess.run(
        [*command, "--repository", str(repository)],
        env={**os.environ, "FASHIONCROP_STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "model.int8.onnx does not exist" in done.stderr
    assert "--variant" in done.stderr
