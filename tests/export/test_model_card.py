"""The card beside the shipped checkpoints says what was measured, and nothing else."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from fashioncrop.errors import ModelFileError
from fashioncrop_export.shipped import CHECKPOINTS, package_folder
from fashioncrop_paperdoll.training.model_card import CARD_FILE, render

pytestmark = pytest.mark.export

FOLDER = package_folder() / CHECKPOINTS
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "accuracy-paperdoll.json"


@pytest.fixture(scope="module")
def accuracy() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return document


def test_the_card_is_made_of_the_figures_that_are_kept(accuracy: dict[str, Any]) -> None:
    text = (FOLDER / CARD_FILE).read_text(encoding="utf-8")
    assert text == render(accuracy, FOLDER), (
        "run: fashioncrop-paperdoll card benchmarks/results/accuracy-paperdoll.json"
    )
    assert f"| {accuracy['measures']['detection']['ap50']:.3f} |" in text
    assert accuracy["dataset"]["photos"] == 200


def test_the_figures_are_of_the_shipped_engines(accuracy: dict[str, Any]) -> None:
    shipped = {
        role.name: json.loads((role / "model.json").read_text(encoding="utf-8"))["digest"]
        for role in (package_folder() / "engines").iterdir()
    }
    assert {model["role"]: model["digest"] for model in accuracy["models"]} == shipped


def test_figures_of_something_else_are_refused(accuracy: dict[str, Any]) -> None:
    photographs, random, partial = (copy.deepcopy(accuracy) for _ in range(3))
    photographs["dataset"]["kind"] = "coco"
    random["models"][0]["name"] = "random clip"
    partial["measures"]["text_to_crop"] = None
    for document in (photographs, random):
        with pytest.raises(ModelFileError, match=r"accuracy\.py --models paperdoll"):
            render(document, FOLDER)
    with pytest.raises(ModelFileError, match="lack text_to_crop"):
        render(partial, FOLDER)
