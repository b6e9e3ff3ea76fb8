from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from identity import read_engine, source_digest


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
    engine = read_engine(tmp_path, "garment_detector")
    assert engine.folder == tmp_path / "garment_detector" / "1"
    assert engine.preprocessing == {"shortest_edge": 800}
    assert engine.identity == {
        "role": "garment_detector",
        "name": "grounding-dino",
        "version": "abc",
        "digest": "sha256:1",
        "source": "full",
        "trained": True,
        "variant": "",
        "domain": None,
    }


def test_the_newest_version_counts_by_number(tmp_path: Path) -> None:
    for version in ("2", "10", "9"):
        write_engine(tmp_path, version=version, digest=version)
    (tmp_path / "garment_detector" / "configs").mkdir()
    assert read_engine(tmp_path, "garment_detector").about["digest"] == "10"


def test_without_a_version_folder_or_a_file_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no version folder; run fashioncrop-export"):
        read_engine(tmp_path, "garment_detector")
    (tmp_path / "garment_detector" / "1").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"model\.json cannot be read .*; run fashioncrop-export"):
        read_engine(tmp_path, "garment_detector")


def test_another_models_file_is_refused(tmp_path: Path) -> None:
    path = write_engine(tmp_path)
    path.write_text(path.read_text().replace("garment_detector", "depth_estimator"))
    with pytest.raises(ValueError, match=r"describes depth_estimator; run fashioncrop-export --only garment_detector"):
        read_engine(tmp_path, "garment_detector")


def test_the_pipelines_digest_is_of_its_code_alone(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("one")
    first = source_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("nothing")
    assert source_digest(tmp_path) == first
    (tmp_path / "model.py").write_text("two")
    assert source_digest(tmp_path) != first
