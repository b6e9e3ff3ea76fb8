"""Figures that others published: which, when they are compared, and what is said when they cannot be.

The real checkpoints are not here; what is tested is the way to them, on tiny engines under the real names.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from fashioncrop.errors import PhotoError
from fashioncrop.model_repository import Role
from fashioncrop_export.checkpoints import Checkpoint, Family, directory_checkpoint
from fashioncrop_export.hub import PUBLISHED
from fashioncrop_export.verifying import published
from fashioncrop_export.verifying.published import (
    CAT_AND_DOG,
    CAT_SCORES,
    FIRST_CAT_XYXY,
    fetch_photo,
    published_figures,
    read_published_photo,
)
from fashioncrop_export.verifying.report import PublishedFigure
from tiny_models import tiny_checkpoints

pytestmark = pytest.mark.export


@pytest.fixture
def checkpoints(tiny_repository: Path) -> dict[Role, Checkpoint]:
    """The tiny ones, called as the published ones are."""
    folder = tiny_checkpoints(tiny_repository) / "tiny"

    def called(family: Family) -> Checkpoint:
        return replace(directory_checkpoint(folder, family), name=PUBLISHED[family].repository)

    dino, clip = called(Family.GROUNDING_DINO), called(Family.CLIP)
    return {
        Role.VOCABULARY_ENCODER: dino,
        Role.GARMENT_DETECTOR: dino,
        Role.IMAGE_EMBEDDER: clip,
        Role.TEXT_EMBEDDER: clip,
        Role.DEPTH_ESTIMATOR: called(Family.DEPTH_ANYTHING),
    }


def test_every_figure_is_measured_where_photo_and_weights_are(
    tiny_repository: Path, checkpoints: dict[Role, Checkpoint], astronaut: Image.Image
) -> None:
    scores, box, animals, depth = published_figures(tiny_repository, lambda: astronaut, checkpoints)
    assert (scores.expected, box.expected, animals.expected) == (CAT_SCORES, FIRST_CAT_XYXY, CAT_AND_DOG)
    assert (len(box.got or ()), len(animals.got or ())) == (4, 2)
    assert scores.passed is False, "an untrained detector does not see two cats at these scores"
    assert animals.passed is False
    assert (depth.expected, depth.passed, depth.note) == ((), None, "No figure of this checkpoint was found published.")


def test_without_the_photo_the_reason_is_told_and_nothing_fails(
    tiny_repository: Path, checkpoints: dict[Role, Checkpoint]
) -> None:
    def missing() -> Image.Image:
        raise PhotoError("there is no photo")

    figures = list(published_figures(tiny_repository, missing, checkpoints))
    assert [figure.passed for figure in figures] == [None] * 4
    assert [figure.note for figure in figures[:3]] == ["there is no photo"] * 3


def test_other_weights_have_no_published_figures(
    tiny_repository: Path, checkpoints: dict[Role, Checkpoint], astronaut: Image.Image
) -> None:
    others = {role: replace(checkpoint, name="somebody/else") for role, checkpoint in checkpoints.items()}
    assert list(published_figures(tiny_repository, lambda: astronaut, others)) == []
    half = {Role.IMAGE_EMBEDDER: checkpoints[Role.IMAGE_EMBEDDER]}
    assert list(published_figures(tiny_repository, lambda: astronaut, half)) == []


@pytest.mark.parametrize(
    ("got", "passed"), [((24.57, 19.31), True), ((24.57, 19.5), False), ((24.57,), False), ((), False), (None, None)]
)
def test_a_figure_is_met_within_its_tolerance(got: tuple[float, ...] | None, *, passed: bool | None) -> None:
    assert PublishedFigure("clip", "logits", "a test", CAT_AND_DOG, got, 0.05).passed is passed


@pytest.fixture
def photo_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Serves b"photo" as the photo; answers what was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"photo")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    monkeypatch.setattr(published, "PHOTO_URL", f"http://127.0.0.1:{server.server_port}/val2017/000000039769.jpg")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_photo_is_fetched_once(photo_server: list[str], tmp_path: Path) -> None:
    path = fetch_photo(tmp_path / "cache")
    assert path.read_bytes() == b"photo"
    assert fetch_photo(tmp_path / "cache") == path
    assert photo_server == ["/val2017/000000039769.jpg"]
    with pytest.raises(PhotoError, match=rf"is not http.*expected sha256:dea9e7ef.*got sha256:{_digest(b'photo')[:8]}"):
        read_published_photo(path)


def test_a_photo_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(published, "PHOTO_URL", "http://127.0.0.1:1/val2017/000000039769.jpg")
    with pytest.raises(PhotoError, match=r"cannot be downloaded: .* Name it: --published-photo FILE"):
        fetch_photo(tmp_path)
    with pytest.raises(PhotoError, match="cannot be read: No such file"):
        read_published_photo(tmp_path / "none.jpg")


def test_the_right_photo_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photographs: dict[str, bytes]
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(photographs["chelsea"])
    monkeypatch.setattr(published, "PHOTO_DIGEST", _digest(photographs["chelsea"]))
    assert read_published_photo(path).size == (451, 300)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
