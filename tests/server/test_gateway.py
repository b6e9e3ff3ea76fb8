"""The gateway over a real server: its answers are the client's, and models come and go at its word."""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr

from fashioncrop import AsyncClient, Client, EmbeddedServer
from fashioncrop.analyzing.opening import Parts
from fashioncrop.batching.listing import list_photos
from fashioncrop.batching.running import run_each
from fashioncrop.cataloguing.answers import SearchAnswer
from fashioncrop.cataloguing.catalogue import open_catalogue
from fashioncrop.cataloguing.indexing import open_indexer
from fashioncrop.cataloguing.querying import Wanted, search_by_garment, search_by_photo, search_by_words
from fashioncrop.cli.cataloguing import place_of
from fashioncrop.results import Analysis
from fashioncrop.settings import Settings
from gateway_world import Gateway, eventually, refused
from planted import reachable_folder

pytestmark = [pytest.mark.server, pytest.mark.export]

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"<!-- runs as printed: gateway -->\n```\w+\n(.*?)```", README.read_text(), re.DOTALL)
OPTIONS = {"threshold": 0.0, "max_garments": 3}


@pytest.fixture(scope="module")
def gateway(
    server: EmbeddedServer, photographs: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    parts = Parts(AsyncClient(server.grpc_url, timeout_s=8), None, None, None, None)
    options: dict[str, Any] = {"parts": parts, "rate_limit": "1000000/minute", "jobs": True}
    with reachable_folder() as place:
        options["catalogue"] = SecretStr(str(place))
        asyncio.run(index(searched(server, place), photographs, tmp_path_factory.mktemp("photos")))
        with Gateway(tmp_path_factory.mktemp("gateway"), **options) as running:
            eventually(lambda: running.workshop.book is not None)
            yield running


def searched(server: EmbeddedServer, place: Path) -> Settings:
    """How the catalogue is filled and searched by the command."""
    return Settings(url=server.grpc_url, caching=False, catalogue=SecretStr(str(place)), **OPTIONS)  # type: ignore[arg-type]


async def index(settings: Settings, photographs: dict[str, bytes], folder: Path) -> None:
    """As `fashioncrop index` does."""
    for name in ("astronaut", "chelsea"):
        (folder / f"{name}.png").write_bytes(photographs[name])
    nobody: dict[str, Any] = {"on_progress": lambda _: None, "on_warning": lambda _: None}
    failures: list[str] = []
    async with (
        open_catalogue(place_of(settings), create=True) as catalogue,
        open_indexer(
            catalogue, settings, reindex=False, on_failure=lambda *failed: failures.append(str(failed)), **nobody
        ) as indexer,
    ):
        await run_each(list_photos([str(folder)]), indexer.one, concurrency=2)
    assert failures == []


@pytest.fixture(scope="module")
def photo(photographs: dict[str, bytes]) -> bytes:
    return photographs["coffee"]


def form(photo: bytes, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"files": {"image": ("coffee.png", photo)}, "data": {name: str(value) for name, value in fields.items()}}


def test_an_analysis_is_the_clients(gateway: Gateway, client: Client, photo: bytes) -> None:
    response = gateway.post("/v1/analyze", **form(photo, embeddings="true", **OPTIONS))
    assert response.status_code == 200, response.text
    answer = Analysis.model_validate(response.json())
    same = client.analyze(photo, score_threshold=0.0, max_garments=3)
    assert answer.garments == without_files(same).garments
    changed = {"timings_ms", "photo", "garments"}
    assert answer.model_dump(exclude=changed) == same.model_dump(exclude=changed)
    assert (answer.photo.width, answer.photo.height) == (same.photo.width, same.photo.height)
    assert answer.photo.name == "coffee"
    assert {"decode", "detect", "total", "request"} <= set(answer.timings_ms)


def without_files(analysis: Analysis) -> Analysis:
    """As JSON has it."""
    return Analysis.model_validate_json(analysis.model_dump_json())


def test_boxes_alone_are_those_of_the_analysis(gateway: Gateway, client: Client, photo: bytes) -> None:
    document = gateway.post("/v1/detect", **form(photo, **OPTIONS)).json()
    same = client.analyze(photo, score_threshold=0.0, max_garments=3)
    assert [tuple(one["box_xyxy"]) for one in document["detections"]] == [one.box_xyxy for one in same.garments]
    assert [one["phrase"] for one in document["detections"]] == [one.phrase for one in same.garments]
    assert document["photo"] == {**same.photo.model_dump(), "name": "coffee"}
    body = {"images": ["data:image/png;base64," + _base64(photo)], "prompts": ["cup", "spoon"], "threshold": 0}
    (result,) = gateway.post("/inference/grounding-dino", json=body).json()["results"]
    assert {one["label"] for one in result["detections"]} <= {"cup", "spoon"}
    assert (result["width"], result["height"]) == (same.photo.width, same.photo.height)


def test_a_depth_map_is_the_clients(gateway: Gateway, client: Client, photo: bytes) -> None:
    depth = client.depth_map(photo)
    npy = gateway.post("/v1/depth", headers={**gateway.headers, "Accept": "application/x-npy"}, **form(photo))
    assert np.array_equal(np.load(io.BytesIO(npy.content)), depth)
    png = gateway.post("/v1/depth", **form(photo))
    with Image.open(io.BytesIO(png.content)) as opened:
        low, high = float(png.headers["x-depth-minimum"]), float(png.headers["x-depth-maximum"])
        values = np.asarray(opened, np.float64) / 65_535 * (high - low) + low
    assert np.abs(values - depth).max() <= (high - low) / 65_535


def test_texts_and_images_are_embedded_in_one_space(gateway: Gateway, client: Client, photo: bytes) -> None:
    body = {"input": ["a cup of coffee", "data:image/png;base64," + _base64(photo), "a cat"]}
    document = gateway.post("/v1/embeddings", json=body).json()
    vectors = np.asarray([one["embedding"] for one in document["data"]])
    assert vectors.shape == (3, 512)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert not np.allclose(vectors[0], vectors[2])
    size = Image.open(io.BytesIO(photo)).size
    whole = client.analyze(photo, boxes_xyxy=[[0, 0, *size]], box_phrases=["photo"], crop_padding=0.0)
    assert vectors[1] == pytest.approx(np.asarray(whole.garments[0].embedding), abs=1e-6)
    too_long = {"input": "word " * 2000}
    response = gateway.post("/v1/embeddings", json=too_long)
    refused(response, 422, "option")


def test_a_search_finds_what_the_command_finds(
    gateway: Gateway, server: EmbeddedServer, photographs: dict[str, bytes], tmp_path: Path
) -> None:
    settings = searched(server, Path(gateway.settings.catalogue.get_secret_value()))  # type: ignore[union-attr]
    path = tmp_path / "astronaut.png"
    path.write_bytes(photographs["astronaut"])

    async def commands() -> list[SearchAnswer]:
        async with open_catalogue(place_of(settings)) as catalogue:
            words = await search_by_words(catalogue, settings, "an orange suit", Wanted(limit=2))
            photo = await search_by_photo(catalogue, settings, str(path), Wanted(limit=1))
            box = await search_by_photo(catalogue, settings, str(path), Wanted(), box_xyxy=(9, 9, 200, 300))
            garment = await search_by_garment(catalogue, words.found[0].photos[0].garments[0].id, Wanted())
            return [words, photo, box, garment]

    words, photo, box, garment = asyncio.run(commands())
    files = {"image": ("astronaut.png", path.read_bytes())}
    id_ = words.found[0].photos[0].garments[0].id
    options = {name: str(value) for name, value in OPTIONS.items()}
    for same, response in (
        (words, gateway.post("/v1/search", json={"words": "an orange suit", "limit": 2})),
        (photo, gateway.post("/v1/search", data={"limit": "1", **options}, files=files)),
        (box, gateway.post("/v1/search", data={"box_xyxy": ["9", "9", "200", "300"]}, files=files)),
        (garment, gateway.post("/v1/search", json={"garment": id_})),
    ):
        assert response.status_code == 200, response.text
        assert found(SearchAnswer.model_validate(response.json())) == found(same)
        assert found(same), "something is found"
    assert photo.found[0].photos[0].similarity == pytest.approx(1, abs=1e-3), "the photo itself"
    crops = gateway.post("/v1/search", json={"words": "a suit", "crops": True, "limit": 1}).json()
    url = crops["found"][0]["photos"][0]["garments"][0]["garment"]["crop"]["url"]
    assert url.startswith("data:image/jpeg;base64,")


def found(answer: SearchAnswer) -> list[tuple[str, str, list[tuple[str, float]]]]:
    """Each query with its garments; how near they are in four digits, which a batch in the server may not change."""
    return [
        (
            one.query.kind,
            one.query.text,
            [(garment.id, round(garment.similarity, 4)) for photo in one.photos for garment in photo.garments],
        )
        for one in answer.found
    ]


def test_what_the_server_refuses_is_the_callers_to_mend(gateway: Gateway, photo: bytes) -> None:
    response = gateway.post("/v1/detect", json={"image": {"base64": _base64(photo)}, "vocabulary": ["   "]})
    assert "vocabulary" in refused(response, 422, "option").lower()
    cut = gateway.post("/v1/detect", **form(photo[: len(photo) // 2]))
    assert "cut short" in refused(cut, 422, "photo")


def test_an_unloaded_model_stays_unloaded_until_it_is_loaded_again(
    gateway: Gateway, server: EmbeddedServer, photo: bytes
) -> None:
    def state() -> str:
        models = gateway.get("/models/status").json()["models"]
        return str(next(one["state"] for one in models if one["name"] == "depth-anything"))

    assert state() == "ready"
    answer = gateway.post("/models/unload", json={"model": "depth-anything"})
    assert answer.status_code == 200, answer.text
    try:
        _until(lambda: state() == "unavailable")
        _until(lambda: _told(server, "depth_estimator") == "unloaded")
        time.sleep(1.5)  # several looks of the watchdog
        assert state() == "unavailable"
        assert _told(server, "depth_estimator") == "unloaded"
        refused(gateway.post("/v1/depth", **form(photo)), 503, "unavailable")
        assert gateway.post("/v1/detect", **form(photo)).status_code == 200
    finally:
        assert gateway.post("/models/load", json={"model": "depth-anything"}).status_code == 200
    assert state() == "ready"
    assert gateway.post("/v1/depth", **form(photo)).status_code == 200
    status = server.state
    assert status is not None
    assert status.repairs == 0


def test_the_readme_has_the_gateways_calls() -> None:
    text = "".join(BLOCKS)
    for path in (
        "/api/analyze",
        "/v1/analyze",
        "/v1/depth",
        "/v1/embeddings",
        "/v1/search",
        "/models/status",
        "/inference/",
        "/health",
    ):
        assert path in text, f"{path} is in no block of README.md that is marked `runs as printed: gateway`"


@pytest.mark.parametrize("code", BLOCKS, ids=[re.search(r"localhost:8080(\S*)", code)[1] for code in BLOCKS])  # type: ignore[index]
def test_a_call_works_as_printed(gateway: Gateway, photographs: dict[str, bytes], tmp_path: Path, code: str) -> None:
    Image.open(io.BytesIO(photographs["astronaut"])).save(tmp_path / "photo.jpg")
    command = ["bash", "-euo", "pipefail", "-c", code.replace("localhost:8080", f"localhost:{gateway.port}")]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "KEY": gateway.key},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.strip() or (tmp_path / "depth.png").stat().st_size > 100


def _base64(data: bytes) -> str:
    import base64  # noqa: PLC0415

    return base64.b64encode(data).decode()


def _told(server: EmbeddedServer, model: str) -> str:
    state = server.state
    return "" if state is None else state.models[model]


def _until(holds: Any) -> None:  # noqa: ANN401 - a question
    end_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.1)
