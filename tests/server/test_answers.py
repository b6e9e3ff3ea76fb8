"""What the pipeline answers, over gRPC, HTTP and the client."""

from __future__ import annotations

import base64
import io
import json
import time
import urllib.request
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tritonclient import grpc, http

from fashioncrop import AnalyzeOptions, AsyncClient, Client
from fashioncrop._embedded.server import EmbeddedServer
from fashioncrop.errors import OptionError
from fashioncrop.model_repository import PIPELINE, Role, read_config, shipped_repository

pytestmark = [pytest.mark.server, pytest.mark.export]

THREE: AnalyzeOptions = {"max_garments": 3}


def test_an_answer_is_whole(client: Client, photographs: dict[str, bytes]) -> None:
    answer = client.analyze(photographs["astronaut"], score_threshold=0.0, max_garments=5)
    assert (answer.photo.width, answer.photo.height, answer.photo.format) == (512, 512, "PNG")
    assert len(answer.vocabulary) == 34
    assert len(answer.garments) == 5
    scores = [garment.score for garment in answer.garments]
    assert scores == sorted(scores, reverse=True)
    for number, garment in enumerate(answer.garments):
        assert garment.id == number
        assert garment.phrase == answer.vocabulary[garment.phrase_id]
        assert garment.category is not None
        x0, y0, x1, y1 = garment.box_xyxy
        assert 0 <= x0 < x1 <= 512
        assert 0 <= y0 < y1 <= 512
        left, top, right, bottom = garment.crop.box_xyxy
        assert left <= x0
        assert right >= x1
        assert garment.crop.jpeg is not None
        assert Image.open(io.BytesIO(garment.crop.jpeg)).size == (right - left, bottom - top)
        assert garment.embedding is not None
        assert np.linalg.norm(garment.embedding) == pytest.approx(1, abs=1e-5)
        assert garment.colours
    orders = {garment.id: garment.depth.order for garment in answer.garments}
    nearest = max(answer.garments, key=lambda garment: garment.depth.median)
    assert orders[nearest.id] == 1
    took_part = [Role.VOCABULARY_ENCODER, Role.GARMENT_DETECTOR, Role.DEPTH_ESTIMATOR, Role.IMAGE_EMBEDDER]
    assert [model.role for model in answer.models] == took_part
    assert all(model.digest.startswith("sha256:") and not model.trained for model in answer.models)
    assert len(answer.warnings) == 4, "random weights are never passed off as real"
    stages = {"queue", "decode", "encode_text", "detect", "depth", "crop", "embed", "measure", "total", "request"}
    assert stages == set(answer.timings_ms)


def test_http_answers_as_grpc_does(server: EmbeddedServer, photographs: dict[str, bytes]) -> None:
    names = [tensor.name for tensor in read_config(shipped_repository(), PIPELINE).output]

    def ask(module: Any, url: str) -> dict[str, Any]:  # noqa: ANN401 - two modules of one shape
        connection = module.InferenceServerClient(url)
        photo = module.InferInput("image", [1], "BYTES")
        photo.set_data_from_numpy(np.asarray([photographs["coffee"]], np.object_))
        limit = module.InferInput("max_garments", [1], "INT32")
        limit.set_data_from_numpy(np.asarray([4], np.int32))
        result = connection.infer(PIPELINE, [photo, limit])
        connection.close()
        return {name: result.as_numpy(name) for name in names}

    over_grpc = ask(grpc, server.grpc_url)
    over_http = ask(http, server.http_url.removeprefix("http://"))
    for name in names:
        if name != "analysis":  # holds timings
            np.testing.assert_array_equal(over_grpc[name], over_http[name])
    documents = [json.loads(answer["analysis"][0]) for answer in (over_grpc, over_http)]
    for document in documents:
        del document["timings_ms"]
    assert documents[0] == documents[1]
    assert over_grpc["depth_map"].ndim == 2


async def test_the_server_says_who_it_is_without_a_photo(server: EmbeddedServer, photographs: dict[str, bytes]) -> None:
    async with AsyncClient(server.grpc_url) as asking:
        identity = json.loads(await asking.server_identity())
        assert json.dumps(identity) == await asking.server_identity()
        models = (await asking.analyze(photographs["coffee"], max_garments=1)).models
    *of_photos, of_texts = identity["models"]
    assert [model.model_dump() for model in models] == of_photos
    assert of_texts["role"] == "text_embedder"
    assert identity["pipeline"].startswith("sha256:")


def test_who_it_is_needs_no_input_over_http_either(server: EmbeddedServer) -> None:
    body = json.dumps({"inputs": [], "outputs": [{"name": "identity"}]}).encode()
    with urllib.request.urlopen(f"{server.http_url}/v2/models/{PIPELINE}/infer", body) as answer:  # noqa: S310 - loopback
        (output,) = json.load(answer)["outputs"]
    assert set(json.loads(output["data"][0])) == {"pipeline", "models", "vocabulary"}


async def test_texts_are_embedded_alone_as_among_others(server: EmbeddedServer) -> None:
    texts = ["a red striped skirt", "hat", "A  HAT", "\u00fc\U0001f455", *(f"hat {number}" for number in range(20))]
    async with AsyncClient(server.grpc_url) as asking:
        together = await asking.embed_texts(texts)
        alone = np.concatenate([await asking.embed_texts([text]) for text in texts[:4]])
        assert (await asking.embed_texts([])).shape == (0, 512)
        for bad, words in (([" "], "is empty"), (["hat " * 99], "at most 77"), (["hat"] * 257, "at most 256")):
            with pytest.raises(OptionError, match=words):
                await asking.embed_texts(bad)
    assert together.shape == (24, 512)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(alone, together[:4], atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_no_garment_is_an_answer_over_both_protocols(server: EmbeddedServer, photographs: dict[str, bytes]) -> None:
    for module, url in ((grpc, server.grpc_url), (http, server.http_url.removeprefix("http://"))):
        connection = module.InferenceServerClient(url)
        photo = module.InferInput("image", [1], "BYTES")
        photo.set_data_from_numpy(np.asarray([photographs["coffee"]], np.object_))
        threshold = module.InferInput("score_threshold", [1], "FP32")
        threshold.set_data_from_numpy(np.asarray([1.0], np.float32))
        result = connection.infer(PIPELINE, [photo, threshold])
        shapes = {
            "boxes_xyxy": (0, 4),
            "scores": (0,),
            "phrase_ids": (0,),
            "phrases": (0,),
            "crops": (0,),
            "embeddings": (0, 512),
            "depth_medians": (0,),
        }
        for name, shape in shapes.items():
            assert tuple(next(o.shape for o in _outputs(result) if o.name == name)) == shape
        assert json.loads(result.as_numpy("analysis")[0])["garments"] == []
        connection.close()


def _outputs(result: Any) -> list[Any]:  # noqa: ANN401 - of either module
    response = result.get_response()
    if isinstance(response, dict):
        return [type("Output", (), output)() for output in response["outputs"]]
    return list(response.outputs)


def test_json_and_base64_are_enough(server: EmbeddedServer, photographs: dict[str, bytes]) -> None:
    """What curl sends: no binary, no tritonclient."""
    photo = "data:image/png;base64," + base64.b64encode(photographs["astronaut"]).decode()
    body = {
        "inputs": [
            {"name": "image", "datatype": "BYTES", "shape": [1], "data": [photo]},
            {"name": "vocabulary", "datatype": "BYTES", "shape": [2], "data": ["orange suit", "flag"]},
            {"name": "score_threshold", "datatype": "FP32", "shape": [1], "data": [0.0]},
            {"name": "max_garments", "datatype": "INT32", "shape": [1], "data": [2]},
        ],
        "outputs": [{"name": "analysis"}],
    }
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{server.http_url}/v2/models/{PIPELINE}/infer", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:  # noqa: S310 - loopback
        analysis = json.loads(json.load(response)["outputs"][0]["data"][0])
    assert len(analysis["garments"]) == 2
    assert {garment["phrase"] for garment in analysis["garments"]} <= {"orange suit", "flag"}


def test_only_what_is_asked_for_is_computed(server: EmbeddedServer, photographs: dict[str, bytes]) -> None:
    with grpc.InferenceServerClient(server.grpc_url) as connection:

        def runs(model: str) -> int:
            return int(connection.get_inference_statistics(model).model_stats[0].inference_count)

        before = {role: runs(role) for role in Role}
        photo = grpc.InferInput("image", [1], "BYTES")
        photo.set_data_from_numpy(np.asarray([photographs["coffee"]], np.object_))
        connection.infer(PIPELINE, [photo], outputs=[grpc.InferRequestedOutput("boxes_xyxy")])
        after = {role: runs(role) for role in Role}
    grown = {role for role in Role if after[role] > before[role]}
    assert Role.GARMENT_DETECTOR in grown
    assert not grown & {Role.IMAGE_EMBEDDER, Role.TEXT_EMBEDDER, Role.DEPTH_ESTIMATOR}


def test_boxes_of_another_detector_are_cropped_and_measured(client: Client, photographs: dict[str, bytes]) -> None:
    boxes = np.asarray([[10, 20, 200, 300], [100.5, 50.5, 400, 500], [-50, -50, 60, 60]])
    answer = client.analyze(
        photographs["astronaut"], boxes_xyxy=boxes, box_phrases=["suit", "flag", "suit"], box_scores=[0.5, 0.9, 0.7]
    )
    assert [garment.phrase for garment in answer.garments] == ["suit", "flag", "suit"], "the caller's order"
    assert [garment.score for garment in answer.garments] == pytest.approx([0.5, 0.9, 0.7])
    assert answer.garments[0].box_xyxy == (10, 20, 200, 300)
    assert answer.garments[2].box_xyxy == (0, 0, 60, 60), "clipped to the photo"
    assert [model.role for model in answer.models] == [Role.DEPTH_ESTIMATOR, Role.IMAGE_EMBEDDER]


def test_a_depth_map_covers_the_photo(client: Client, photographs: dict[str, bytes]) -> None:
    depth = client.depth_map(photographs["rocket"])  # 427 x 640
    assert depth.dtype == np.float32
    assert depth.shape[1] / depth.shape[0] == pytest.approx(640 / 427, rel=0.1)
    assert (depth >= 0).all()
    assert np.ptp(depth) > 0


def test_a_large_vocabulary_is_looked_for_in_several_passes(client: Client, photographs: dict[str, bytes]) -> None:
    shades = [f"{colour} {size} garment" for colour in "abcdefghijklmno" for size in "pqrstuvwxyzabcdefghi"]
    words = list(dict.fromkeys(shades))
    assert len(words) == 300
    answer = client.analyze(photographs["coffee"], vocabulary=words, score_threshold=0.0, max_garments=300)
    assert len(answer.vocabulary) == 300
    found = {garment.phrase_id for garment in answer.garments}
    assert min(found) < 60
    assert max(found) > 240, "phrases of the last pass are found too"


def test_a_photo_of_any_shape_is_answered(client: Client, encoded: Any, noise: Any) -> None:  # noqa: ANN401
    for width, height in ((1, 1), (2, 300), (900, 3), (17, 1023), (640, 480)):
        answer = client.analyze(encoded(noise(width, height), "PNG"), score_threshold=0.0, max_garments=3)
        assert (answer.photo.width, answer.photo.height) == (width, height)
        for garment in answer.garments:
            assert garment.box_xyxy[2] <= width
            assert garment.box_xyxy[3] <= height


def test_an_array_is_a_photo(client: Client, astronaut: Image.Image, photographs: dict[str, bytes]) -> None:
    from_array = client.analyze(np.asarray(astronaut), **THREE)
    from_file = client.analyze(photographs["astronaut"], **THREE)
    assert [g.box_xyxy for g in from_array.garments] == [g.box_xyxy for g in from_file.garments]


def test_the_server_measures_itself(server: EmbeddedServer, client: Client, photographs: dict[str, bytes]) -> None:
    client.analyze(photographs["coffee"], **THREE)
    state = server.state
    assert state is not None

    def measured(name: str) -> float:
        with urllib.request.urlopen(state.metrics_url) as response:  # noqa: S310 - loopback
            lines = response.read().decode().splitlines()
        return float(next(line.rsplit(" ", 1)[1] for line in lines if line.startswith(name)))

    deadline_s = time.monotonic() + 20  # an answer is counted after it was sent
    while measured("fashioncrop_requests_in_flight") > 0:
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    assert measured("fashioncrop_request_duration_seconds_count") > 0
