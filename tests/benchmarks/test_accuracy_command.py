"""The command as a person uses it: wrong usage, bad datasets, and a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import accuracy
from fashioncrop import EmbeddedServer
from fashioncrop.model_repository import prepare_repository
from serving import repository_name
from tables import page_of

COMMAND = [sys.executable, str(Path(accuracy.__file__))]
NOBODY = "127.0.0.1:9"
PANTS = {"category_id": 0, "bbox": [1, 2, 20, 30], "noun": "pants", "colour": "red", "pattern": "plain"}
SHIRT = {"category_id": 1, "bbox": [30, 2, 20, 30], "noun": "shirt", "colour": "blue", "pattern": "striped"}


def run(*words: str, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **({"FASHIONCROP_CACHE": str(cache)} if cache is not None else {})}
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=300, check=False, env=env)


def test_help_names_every_way() -> None:
    done = run("--help")
    assert done.returncode == 0
    for option in (
        "--models",
        "--url",
        "--scenes",
        "--data",
        "--annotations",
        "--images",
        "--limit",
        "--json",
        "--seed",
    ):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--scenes", "1"], "--models"),
        (["--scenes", "1", "--models", "tiny", "--url", NOBODY], "--models"),
        (["--models", "tiny"], "--scenes"),
        (["--models", "tiny", "--scenes", "1", "--data", "folder"], "--scenes"),
        (["--models", "tiny", "--images", "folder"], "go together"),
        (["--models", "tiny", "--scenes", "0"], "--scenes"),
    ],
)
def test_wrong_usage(words: list[str], says: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert says in done.stderr
    assert not done.stdout


def test_bad_input_is_a_sentence(coco_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = coco_folder(categories={0: "sleeve"}, photos=[[{"category_id": 0, "bbox": [1, 2, 20, 30]}]])
    (tmp_path / "other.json").write_text("{}")
    for words, says in (
        (["--data", str(tmp_path / "missing")], "There is no folder of photos"),
        (["--data", str(folder), "--annotations", str(tmp_path / "other.json")], "not in COCO's format"),
        (["--data", str(folder)], "No annotation is left"),
        (["--scenes", "1000000"], "test scenes"),
        (["--scenes", "1", "--json", str(tmp_path / "no" / "file.json")], "cannot be written"),
        (["--scenes", "1"], "Is the server up?"),
    ):
        done = run("--url", NOBODY, *words)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_directories_never_share_a_repository(tmp_path: Path) -> None:
    assert repository_name("tiny") == "tiny"
    one, other = repository_name(str(tmp_path / "a" / "models")), repository_name(str(tmp_path / "b" / "models"))
    assert one.startswith("models-")
    assert one != other
    assert repository_name("/").startswith("root-")


@pytest.fixture
def cache(tiny_repository: Path, tmp_path: Path) -> Path:
    """A cache that has the tiny engines, so that nothing is exported."""
    from tiny_models import tiny_checkpoints  # noqa: PLC0415 - needs the exporter

    cache = tmp_path / "cache"
    shutil.copytree(tiny_checkpoints(tiny_repository), cache)
    repository = shutil.copytree(tiny_repository, cache / "repositories" / "tiny")
    prepare_repository(repository)
    return cache


def figures_of(done: subprocess.CompletedProcess[str], file: Path) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return document


@pytest.mark.server
@pytest.mark.export
def test_a_folder_of_photos_becomes_figures(coco_folder: Callable[..., Path], cache: Path, tmp_path: Path) -> None:
    sleeve = {"category_id": 2, "bbox": [5, 5, 5, 5]}
    folder = coco_folder(
        categories={0: "pants", 1: "shirt, blouse", 2: "sleeve"},
        photos=[[PANTS, SHIRT, sleeve], [SHIRT], [], [PANTS], []],
    )
    (folder / "images" / "3.png").write_bytes(b"no photo")
    (folder / "images" / "4.png").unlink()
    done = run("--models", "tiny", "--data", str(folder), "--json", str(tmp_path / "out.json"), cache=cache)
    figures = figures_of(done, tmp_path / "out.json")
    for title in ("Detection (COCO)", "Steering", "Colour names", "Text to crop", "Depth order: left out"):
        assert title in done.stdout
    assert "random weights" in done.stdout
    dataset = figures["dataset"]
    assert (dataset["photos"], dataset["photos_unusable"], dataset["annotations"]) == (3, 2, 3)
    assert [one["name"] for one in dataset["unusable"]] == ["3.png", "4.png"]
    assert dataset["categories_left_out"] == ["sleeve"]
    assert dataset["annotations_left_out_by_category"] == {"sleeve": 1}
    assert figures["settings"]["vocabulary"] == "default"
    measures = figures["measures"]
    assert set(measures) == {"detection", "default_threshold", "steering", "colours", "text_to_crop", "depth_order"}
    assert (measures["detection"]["truths"], set(measures["detection"]["per_category"])) == (
        3,
        {"pants", "shirt, blouse"},
    )
    for name in ("ap", "ap50", "ap75", "ar100"):
        assert 0 <= measures["detection"][name] <= 1
    assert measures["default_threshold"]["right"] + measures["default_threshold"]["missed"] == 3
    assert set(measures["default_threshold"]["per_category"]) == {"pants", "shirt, blouse"}
    assert measures["steering"]["photos"] == 2, "a photo without garments says nothing"
    assert measures["colours"]["garments"] == 1
    assert measures["text_to_crop"]["crops_a_round"] == 3
    assert measures["depth_order"] is None
    assert set(figures["left_out"]) == {"depth_order"}
    assert {model["role"] for model in figures["models"]} == {
        *("vocabulary_encoder", "garment_detector", "image_embedder", "text_embedder", "depth_estimator")
    }
    assert figures["environment"]["packages"]["pycocotools"]
    page = page_of({"accuracy-tiny": figures}, "results", ())
    for words in (
        f"| AP50 (COCO) | {measures['detection']['ap50']:.3g} |",
        "- 3 photos (",
        "depth order is left out: ",
    ):
        assert words in page


@pytest.mark.server
@pytest.mark.export
def test_scenes_on_a_server_that_runs(cache: Path, tmp_path: Path) -> None:
    repository = cache / "repositories" / "tiny"
    out = tmp_path / "out.json"
    with EmbeddedServer(repository=repository, state_folder=tmp_path / "state") as server:
        words = ("--url", server.grpc_url, "--scenes", "3", "--limit", "2", "--json", str(out))
        figures = figures_of(run(*words), out)
        assert server.state is not None, "another's server is left running"
    assert figures["left_out"] == {}
    assert figures["dataset"]["photos"] == 2
    assert figures["dataset"]["categories"] == 27
    assert figures["measures"]["depth_order"]["scenes"] == 2
    assert figures["measures"]["text_to_crop"]["crops_a_round"] == figures["dataset"]["annotations"]
