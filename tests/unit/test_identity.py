from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from identity import EngineCatalogue


def write_engine(repository: Path, role: str = "garment_detector", version: str = "1", **changes: Any) -> Path:  # noqa: ANN401 - JSON
    about = {
        "role": role,
        "name": "grounding-dino",
        "version": "abc",
        "digest": "sha256:1",
        "source": "full",
        "trained": True,
        "license": "apache-2.0",
        "preprocessing": {"shortest_edge": 800},
    }
    path = repository / role / version / "model.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about | changes), encoding="utf-8")
    return path


def test_an_engine_says_what_it_is(tmp_path: Path) -> None:
    write_engine(tmp_path)
    engine = EngineCatalogue(tmp_path)["garment_detector"]
    assert engine.folder == tmp_path / "garment_detector" / "1"
    assert engine.preprocessing == {"shortest_edge": 800}
    assert engine.identity == {
        "role": "garment_detector",
        "name": "grounding-dino",
        "version": "abc",
        "digest": "sha256:1",
        "source": "full",
        "trained": True,
    }


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    path = write_engine(tmp_path)
    os.utime(path, ns=(0, 1))
    catalogue = EngineCatalogue(tmp_path)
    first = catalogue["garment_detector"]
    assert catalogue["garment_detector"] is first
    write_engine(tmp_path, digest="sha256:2")
    os.utime(path, ns=(0, 2))
    assert catalogue["garment_detector"].about["digest"] == "sha256:2"


def test_the_newest_version_counts_by_number(tmp_path: Path) -> None:
    for version in ("2", "10", "9"):
        write_engine(tmp_path, version=version, digest=version)
    (tmp_path / "garment_detector" / "configs").mkdir()
    assert EngineCatalogue(tmp_path)["garment_detector"].about["digest"] == "10"


def test_without_a_version_folder_or_a_file_the_remedy_is_named(tmp_path: Path) -> None:
    catalogue = EngineCatalogue(tmp_path)
    with pytest.raises(FileNotFoundError, match="no version folder; run fashioncrop-export"):
        catalogue["garment_detector"]
    (tmp_path / "garment_detector" / "1").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"model\.json cannot be read .*; run fashioncrop-export"):
        catalogue["garment_detector"]


def test_a_file_that_goes_away_is_missed(tmp_path: Path) -> None:
    path = write_engine(tmp_path)
    catalogue = EngineCatalogue(tmp_path)
    assert catalogue["garment_detector"].role == "garment_detector"
    path.unlink()
    with pytest.raises(FileNotFoundError, match="cannot be read"):
        catalogue["garment_detector"]


def test_another_models_file_is_refused(tmp_path: Path) -> None:
    path = write_engine(tmp_path)
    path.write_text(path.read_text().replace("garment_detector", "depth_estimator"))
    with pytest.raises(ValueError, match=r"describes depth_estimator; run fashioncrop-export --only garment_detector"):
        EngineCatalogue(tmp_path)["garment_detector"]
