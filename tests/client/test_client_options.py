"""Options become the tensors that the server takes, or an error that names the option."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashioncrop import AsyncClient
from fashioncrop._client import _analysis, _option_tensors, find_server_url
from fashioncrop.errors import OptionError, ServerUnavailableError


def tensors(**options: Any) -> dict[str, np.ndarray[Any, Any]]:  # noqa: ANN401 - also wrong ones
    return _option_tensors(options)  # type: ignore[arg-type]


def test_what_is_left_out_is_not_sent() -> None:
    assert tensors() == {}
    assert tensors(crops=False, embeddings=False) == {}, "these choose outputs"


@pytest.mark.parametrize("name", ["vocabulary", "box_phrases"])
@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_phrases_become_utf_8(name: str, kind: Callable[[list[str]], Any]) -> None:
    (array,) = tensors(**{name: kind(["hat", "치마"])}).values()
    assert array.dtype == np.object_
    assert array.tolist() == [b"hat", "치마".encode()]
    assert array.shape == (2,)


def test_no_phrase_is_sent_as_none_and_left_to_the_server_to_refuse() -> None:
    assert tensors(vocabulary=[])["vocabulary"].shape == (0,)


@pytest.mark.parametrize("name", ["vocabulary", "box_phrases"])
@pytest.mark.parametrize("phrases", ["shirt", ["hat", 3], [b"hat"], [None], 7, None])
def test_what_is_no_list_of_phrases_is_refused(name: str, phrases: Any) -> None:  # noqa: ANN401
    with pytest.raises(OptionError, match=f"{name} must be a list of phrases"):
        tensors(**{name: phrases})


@pytest.mark.parametrize("name", ["score_threshold", "iou_threshold", "crop_padding"])
@pytest.mark.parametrize("value", [0.25, 1, np.float64(0.5)])
def test_a_share_becomes_one_float(name: str, value: float) -> None:
    array = tensors(**{name: value})[name]
    assert (array.dtype, array.tolist()) == (np.float32, [float(value)])


def test_a_limit_becomes_one_integer() -> None:
    array = tensors(max_garments=7)["max_garments"]
    assert (array.dtype, array.tolist()) == (np.int32, [7])


@pytest.mark.parametrize("kind", [list, tuple, np.asarray])
def test_boxes_may_be_anything_like_an_array(kind: Callable[[list[list[float]]], Any]) -> None:
    sent = tensors(boxes_xyxy=kind([[1, 2, 3, 4], [5, 6, 7, 8.5]]), box_scores=[0.5, 1])
    assert sent["boxes_xyxy"].dtype == sent["box_scores"].dtype == np.float32
    assert sent["boxes_xyxy"].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8.5]]
    assert sent["box_scores"].tolist() == [0.5, 1]


def test_what_is_out_of_range_is_left_to_the_server_to_refuse() -> None:
    assert tensors(score_threshold=7)["score_threshold"].tolist() == [7]
    assert np.isnan(tensors(score_threshold=float("nan"))["score_threshold"]).all()
    assert np.isinf(tensors(boxes_xyxy=[[0, 0, 1e300, 1]])["boxes_xyxy"]).sum() == 1


def test_no_boxes_keep_their_rank() -> None:
    assert tensors(boxes_xyxy=[])["boxes_xyxy"].shape == (0, 4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("score_threshold", "high"),
        ("score_threshold", None),
        ("score_threshold", [0.1, 0.2]),
        ("iou_threshold", {}),
        ("crop_padding", object()),
        ("max_garments", "ten"),
        ("max_garments", 2**40),
        ("max_garments", 1.5),
        ("max_garments", float("nan")),
        ("max_garments", None),
        ("max_garments", True),
        ("max_garments", [1, 2]),
        ("boxes_xyxy", [[1, 2, 3, 4], [5, 6]]),
        ("boxes_xyxy", "boxes"),
        ("boxes_xyxy", None),
        ("box_scores", ["high"]),
    ],
)
def test_what_is_no_number_is_refused_by_its_name(name: str, value: Any) -> None:  # noqa: ANN401
    with pytest.raises(OptionError, match=name):
        tensors(**{name: value})


def test_the_servers_address_is_the_given_one_then_the_environments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FASHIONCROP_STATE", str(tmp_path))
    monkeypatch.setenv("FASHIONCROP_URL", "grpc://there:8001/")
    assert find_server_url("here:8001") == "here:8001"
    assert find_server_url(None) == "there:8001"
    monkeypatch.delenv("FASHIONCROP_URL")
    with pytest.raises(ServerUnavailableError, match="fashioncrop up"):
        find_server_url(None)
    with pytest.raises(ServerUnavailableError):
        AsyncClient()


def test_an_answers_tensors_become_one_analysis() -> None:
    garment = {
        "id": 0,
        "phrase": "hat",
        "phrase_id": 0,
        "category": None,
        "score": 0.5,
        "box_xyxy": [1.5, 2, 3, 4],
        "crop_box_xyxy": [1, 2, 3, 4],
        "depth": {"median": 1.0, "spread": 0.1, "order": 1},
        "colours": [],
        "flags": [],
        "overlapped_by": [],
    }
    document = {
        "photo": {"width": 10, "height": 20, "format": "PNG"},
        "vocabulary": ["hat"],
        "garments": [garment, garment | {"id": 1}],
        "models": [],
        "warnings": [],
        "timings_ms": {"total": 1.0},
    }
    answer: dict[str, np.ndarray[Any, Any]] = {
        "analysis": np.asarray([json.dumps(document).encode()], np.object_),
        "crops": np.asarray([b"first", b"second"], np.object_),
        "embeddings": np.asarray([[1, 0], [0, 1]], np.float32),
    }
    analysis = _analysis(answer, "photo", 12.5)
    assert analysis.photo.name == "photo"
    assert analysis.timings_ms == {"total": 1.0, "request": 12.5}
    assert [one.crop.jpeg for one in analysis.garments] == [b"first", b"second"]
    assert [one.embedding for one in analysis.garments] == [(1, 0), (0, 1)]
    assert analysis.garments[0].crop.box_xyxy == (1, 2, 3, 4)
    bare = _analysis({"analysis": answer["analysis"]}, "photo", 1)
    assert [(one.crop.jpeg, one.embedding) for one in bare.garments] == [(None, None)] * 2
