"""The fashion-crop API field by field, the vision-models API, the description API, and what operators look at."""

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr

from asked_dinox import one as found
from asked_dinox import settings as dinox_settings
from fashioncrop import _sources
from fashioncrop._fetch import FetchLimits, Network, fetch_photo
from fashioncrop.analyzing.opening import Parts
from fashioncrop.caching import open_cache
from fashioncrop.describing import Budget, Describer, DescriberSettings
from fashioncrop.dinox import DinoX
from fashioncrop.errors import ModelControlError
from fashioncrop.gateway.coarse import COARSE, OTHER
from fashioncrop.gateway.keys import Scope
from fashioncrop.gateway.vision_models import VISION_MODELS
from fashioncrop.storing import StoreOptions, open_store
from gateway_world import PHOTO, FakeClient, Gateway, refused
from scripted_answers import Step, fault, rate_limited
from scripted_dinox import ScriptedDinoX, scripted_dinox
from scripted_openai import ScriptedOpenAI

B64 = base64.b64encode(PHOTO).decode()
DATA_URL = f"data:image/png;base64,{B64}"
FILE = {"image": ("my photo.png", PHOTO)}


@pytest.fixture(scope="module")
def words() -> Iterator[ScriptedOpenAI]:
    with ScriptedOpenAI() as server:
        yield server


@pytest.fixture(scope="module")
def cloud() -> Iterator[ScriptedDinoX]:
    objects = [found("shirt"), found("shoe", (30, 5, 59, 35), 0.4)]
    with scripted_dinox(ScriptedDinoX(find=lambda _phrases, _size: objects)) as service:
        yield service


@pytest.fixture(scope="module")
def paid(words: ScriptedOpenAI, cloud: ScriptedDinoX, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with everything: describer, DINO-X, cache and store."""
    folder = tmp_path_factory.mktemp("paid")
    describer = Describer(DescriberSettings(base_url=words.url, model="gpt-4o-mini"), budget=Budget(1.0))
    store = open_store(folder / "store", StoreOptions(urls="public", public_base_url="https://cdn.example/crops"))
    parts = Parts(FakeClient(), describer, DinoX(dinox_settings(cloud)), open_cache(folder / "cache"), store)
    with Gateway(folder, parts=parts, base_url=words.url, rate_limit="1000000/minute") as running:
        yield running


def fresh(width: int) -> str:
    """A photo that no cache knows, as a data: URL."""
    file = io.BytesIO()
    Image.new("RGB", (width, 40), (width % 256, 10, 10)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


class TestFashionCrop:
    def test_the_shape_is_the_older_systems_field_by_field(self, paid: Gateway) -> None:
        response = paid.post("/api/analyze", json={"imageUrl": fresh(61)})
        assert response.status_code == 200, response.text
        document = response.json()
        assert list(document) == ["items", "cached", "timing"]
        assert document["cached"] is False
        first, second = document["items"]
        assert list(first) == [
            *("category", "groundingdino_prompt", "description", "croppedImageUrl", "confidence", "bbox"),
        ]
        assert first["category"] == "top"
        assert first["groundingdino_prompt"] == "shirt"
        assert first["description"].startswith("Light beige shirt with a relaxed fit")
        assert re.fullmatch(r"https://cdn\.example/crops/crops/[0-9a-f]{2}/[0-9a-f]{64}\.jpg", first["croppedImageUrl"])
        assert first["confidence"] == 0.9
        assert first["bbox"] == [3, 2, 21, 31]
        assert all(type(edge) is int for edge in first["bbox"])
        assert (second["category"], second["groundingdino_prompt"]) == ("shoes", "shoe")
        timing = document["timing"]
        assert list(timing) == [
            *("download_seconds", "gpt4o_seconds", "groundingdino_seconds", "processing_seconds"),
            *("upload_seconds", "total_seconds"),
        ]
        assert all(isinstance(seconds, float) and seconds >= 0 for seconds in timing.values())
        assert timing["groundingdino_seconds"] == 0.02
        assert timing["gpt4o_seconds"] > 0
        assert timing["upload_seconds"] > 0
        parts = sum(
            seconds for name, seconds in timing.items() if name not in {"total_seconds", "groundingdino_seconds"}
        )
        assert parts <= timing["total_seconds"] + 0.01

    def test_the_second_time_it_is_cached(self, paid: Gateway, words: ScriptedOpenAI) -> None:
        one = paid.post("/api/analyze", json={"imageUrl": fresh(62)}).json()
        asked = len(words.requests)
        again = paid.post("/api/analyze", json={"imageUrl": fresh(62)}).json()
        assert (one["cached"], again["cached"]) == (False, True)
        assert again["items"] == one["items"]
        assert len(words.requests) == asked

    def test_true_is_dino_x_with_short_descriptions(self, paid: Gateway, cloud: ScriptedDinoX) -> None:
        before = len(cloud.received)
        document = paid.post("/api/analyze", json={"imageUrl": fresh(60), "use_dinox": True}).json()
        assert [item["groundingdino_prompt"] for item in document["items"]] == ["shirt", "shoe"]
        assert [item["description"] for item in document["items"]] == ["light beige shirt", "light beige shoe"]
        assert document["timing"]["groundingdino_seconds"] > 0
        assert len(cloud.received) > before

    def test_false_is_the_large_models_way(self, paid: Gateway, words: ScriptedOpenAI) -> None:
        document = paid.post("/api/analyze", json={"imageUrl": fresh(64), "use_dinox": False}).json()
        assert [item["groundingdino_prompt"] for item in document["items"]] == ["white shirt", "blue trousers"]
        assert [item["category"] for item in document["items"]] == [OTHER, OTHER], "of no category to the fake server"
        assert words.requests[-2].indices == []
        assert document["timing"]["gpt4o_seconds"] > 0

    def test_without_describer_or_store_it_still_has_every_field(self, gateway: Gateway) -> None:
        document = gateway.post("/api/analyze", json={"imageUrl": DATA_URL}).json()
        assert document["items"][0]["description"] == "red shirt"
        assert document["items"][0]["croppedImageUrl"].startswith("data:image/jpeg;base64,")
        assert document["timing"]["gpt4o_seconds"] == document["timing"]["upload_seconds"] == 0

    @pytest.mark.parametrize(
        ("body", "status", "kind"),
        [
            ({}, 422, "invalid"),
            ({"imageUrl": ""}, 422, "invalid"),
            ({"imageUrl": 7}, 422, "invalid"),
            ({"image_url": DATA_URL}, 422, "invalid"),
            ({"imageUrl": DATA_URL, "use_dinox": "yes"}, 422, "invalid"),
            ({"imageUrl": "/etc/passwd"}, 422, "photo"),
            ({"imageUrl": "https://localhost/a.jpg"}, 422, "fetch"),
            ({"imageUrl": DATA_URL, "use_dinox": True}, 501, "not-offered"),
            ({"imageUrl": DATA_URL, "use_dinox": False}, 501, "not-offered"),
        ],
    )
    def test_what_it_cannot_do_is_told(self, gateway: Gateway, body: dict[str, Any], status: int, kind: str) -> None:
        refused(gateway.post("/api/analyze", json=body), status, kind)

    def test_every_category_of_fashionpedia_has_a_coarse_one(self) -> None:
        assert list(COARSE) == list(range(27))
        assert set(COARSE.values()) == {"top", "bottom", "dress", "outerwear", "shoes", "bag", "hat", "accessory"}


class TestUrls:
    @pytest.fixture
    def web(self) -> Iterator[str]:
        """A web server with a photo at every path but one."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                page = self.path == "/page"
                self.send_header("Content-Type", "text/html" if page else "image/png")
                self.end_headers()
                self.wfile.write(b"<html>" if page else PHOTO)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
        server.server_close()

    def test_an_operator_may_let_private_addresses_in(self, gateway: Gateway, web: str) -> None:
        gateway.fake.limits = FetchLimits(allow_http=True, allow_private_addresses=True)
        try:
            for body in ({"image": {"url": f"{web}/my%20shirt.png"}}, {"images": [{"url": f"  {web}/a.png"}]}):
                assert gateway.post("/v1/detect", json=body).status_code == 200
            named = gateway.post("/v1/analyze", json={"image": {"url": f"{web}/my%20shirt.png"}}).json()
            assert named["photo"]["name"] == "my_shirt"
            detail = refused(gateway.post("/v1/detect", json={"image": {"url": f"{web}/page"}}), 422, "fetch")
            assert "a web page" in detail
        finally:
            gateway.fake.limits = FetchLimits()

    @pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["169.254.169.254"], ["::1"]])
    def test_a_name_that_leads_inside_is_refused_whatever_it_says_next(
        self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
    ) -> None:
        asked: list[str] = []

        async def resolve(host: str, _port: int) -> list[str]:
            asked.append(host)
            return addresses if len(asked) == 1 else ["93.184.216.34"]

        monkeypatch.setattr(_sources, "fetch_photo", partial(fetch_photo, network=Network(resolve=resolve)))
        detail = refused(
            gateway.post("/v1/detect", json={"image": {"url": "https://rebinding.example/a.jpg"}}), 422, "fetch"
        )
        assert "not public" in detail
        assert not any(address in detail for address in addresses)
        assert asked == ["rebinding.example"]
        assert gateway.fake.asked == []


class TestVisionModels:
    def test_what_this_is(self, gateway: Gateway) -> None:
        document = gateway.get("/").json()
        assert document["models"] == ["grounding-dino", "depth-anything"]
        assert gateway.get(document["documentation"]).json()["openapi"].startswith("3.1")

    def test_health_follows_the_server(self, gateway: Gateway) -> None:
        assert gateway.get("/health").json() == {"status": "healthy", "server": True, "draining": False}
        gateway.fake.ready, gateway.workshop._ready = False, (0.0, False)
        assert gateway.get("/health").json()["status"] == "unhealthy"
        refused(gateway.get("/health/ready"), 503, "unavailable")
        assert gateway.get("/health/live").status_code == 200
        gateway.fake.ready, gateway.workshop._ready = True, (0.0, False)
        assert gateway.get("/health/ready").status_code == 200

    def test_grounding_dino(self, gateway: Gateway) -> None:
        body = {"images": [B64, DATA_URL, "no image"], "prompts": ["red hat", "scarf"], "threshold": 0.2}
        document = gateway.post("/inference/grounding-dino", json=body).json()
        assert document["model"] == "grounding-dino"
        assert document["processing_time_ms"] > 0
        first, second, third = document["results"]
        assert first["index"] == 0
        assert (first["width"], first["height"]) == (60, 40)
        assert first["detections"] == second["detections"]
        assert first["detections"][0] == {"label": "red hat", "score": 0.5, "box": [1, 2, 30, 40]}
        assert third["detections"] is None
        assert third["problem"]["status"] == 422
        assert gateway.fake.asked[0][1] == {"vocabulary": ["red hat", "scarf"], "score_threshold": 0.2}

    def test_depth_anything(self, gateway: Gateway) -> None:
        (result,) = gateway.post("/inference/depth-anything", json={"images": [B64]}).json()["results"]
        assert result["shape_hw"] == [3, 4]
        with Image.open(io.BytesIO(base64.b64decode(result["png"]))) as opened:
            values = np.asarray(opened, np.float64) / 65_535
        low, high = result["minimum"], result["maximum"]
        assert values * (high - low) + low == pytest.approx(np.linspace(-1.5, 6, 12).reshape(3, 4), abs=1e-3)

    @pytest.mark.parametrize(
        "body",
        [
            {"images": [B64]},
            {"images": [], "prompts": ["hat"]},
            {"images": B64, "prompts": ["hat"]},
            {"images": [B64], "prompts": []},
            {"images": [B64], "prompts": [""]},
            {"images": [B64], "prompts": "hat"},
            {"images": [B64], "prompts": ["hat"], "threshold": 2},
            {"images": [B64] * 33, "prompts": ["hat"]},
        ],
    )
    def test_what_it_does_not_take_is_told(self, gateway: Gateway, body: dict[str, Any]) -> None:
        refused(gateway.post("/inference/grounding-dino", json=body), 422, "invalid")

    @pytest.mark.parametrize("path", ["/inference/sam", "/models/load", "/models/unload"])
    def test_an_unknown_model_is_answered_with_the_known(self, gateway: Gateway, path: str) -> None:
        response = gateway.post(path, json={"model": "sam\n"})
        refused(response, 404, "not-found")
        assert response.json()["known"] == list(VISION_MODELS)

    def test_models_are_unloaded_and_loaded(self, gateway: Gateway) -> None:
        def states() -> dict[str, str]:
            return {one["name"]: one["state"] for one in gateway.get("/models/status").json()["models"]}

        assert states() == {"grounding-dino": "ready", "depth-anything": "ready"}
        answer = gateway.post("/models/unload", json={"model": "grounding-dino"}).json()
        assert [part["name"] for part in answer["models"][0]["served_as"]] == ["vocabulary_encoder", "garment_detector"]
        assert "unloaded" in answer["models"][0]["reason"]
        assert states() == {"grounding-dino": "unavailable", "depth-anything": "ready"}
        gateway.post("/models/unload-all")
        assert set(states().values()) == {"unavailable"}
        for name in VISION_MODELS:
            assert gateway.post("/models/load", json={"model": name}).status_code == 200
        assert set(states().values()) == {"ready"}
        others = {one["name"] for one in gateway.get("/models/status").json()["others"]}
        assert others == {"image_embedder", "text_embedder", "fashion_pipeline"}

    def test_a_model_that_the_server_lacks_is_missing(self, gateway: Gateway) -> None:
        kept = gateway.fake.states.pop("depth_estimator")
        try:
            status = gateway.get("/models/status").json()["models"][1]
            assert (status["state"], status["version"], status["memory_bytes"]) == ("missing", None, None)
        finally:
            gateway.fake.states["depth_estimator"] = kept

    def test_a_server_that_takes_no_orders_is_told(self, gateway: Gateway) -> None:
        gateway.fake.error = ModelControlError("10.0.0.7:8001 did not load: not allowed")
        detail = refused(gateway.post("/models/load", json={"model": "depth-anything"}), 409, "conflict")
        assert "10.0.0.7" not in detail
        refused(gateway.get("/models/status"), 409, "conflict")


class TestDescriptions:
    def test_pictures_of_garments_are_described_on_one_sheet(self, paid: Gateway, words: ScriptedOpenAI) -> None:
        asked = len(words.requests)
        images = [{"url": fresh(71)}, {"base64": "AAAA"}, {"url": fresh(72)}]
        document = paid.post("/v1/describe", json={"images": images, "phrase": "scarf"}).json()
        assert [one["index"] for one in document["results"]] == [0, 1, 2]
        assert document["results"][0]["description"]["type"] == "scarf"
        assert document["results"][1]["problem"]["status"] == 422
        assert document["cost"]["usages"][0]["calls"] == 1
        assert len(words.requests) == asked + 1
        assert words.requests[-1].phrases == {1: "scarf", 2: "scarf"}
        again = paid.post("/v1/describe", json={"images": images, "phrase": "scarf"}).json()
        assert (again["cached"], again["cost"]) == (True, None)
        assert len(words.requests) == asked + 1

    def test_one_picture_and_one_that_cannot_be_shown(self, paid: Gateway) -> None:
        document = paid.post("/v1/describe", json={"image": {"url": fresh(73)}}).json()
        assert document["description"]["type"] == "garment"
        assert document["cached"] is False
        file = io.BytesIO()
        Image.new("RGB", (9, 9)).save(file, "GIF")
        refused(paid.post("/v1/describe", files={"image": ("a.gif", file.getvalue())}), 422, "photo")

    def test_a_prompt_is_answered_and_not_paid_twice(self, paid: Gateway, words: ScriptedOpenAI) -> None:
        asked = len(words.requests)
        document = paid.post("/api/v1/describe", files=FILE, data={"prompt": "Which colour?"}).json()
        assert list(document) == ["description", "model", "cached", "usage", "processing_time"]
        assert document["description"] == "Scripted: Which colour?"
        assert document["model"] == "gpt-4o-mini"
        assert document["usage"]["calls"] == 1
        assert document["usage"]["dollars"] > 0
        again = paid.post("/api/v1/describe", files=FILE, data={"prompt": "Which colour?"}).json()
        assert (again["cached"], again["usage"]["calls"], again["description"]) == (True, 0, document["description"])
        other = paid.post("/api/v1/describe", files=FILE).json()
        assert other["description"].startswith("Scripted: Describe the garments")
        assert len(words.requests) == asked + 2

    def test_a_batch_keeps_its_order_and_its_failures(self, paid: Gateway) -> None:
        files = [("images", ("a.png", PHOTO)), ("images", ("b.png", b"no")), ("images", ("c.png", PHOTO))]
        document = paid.post("/api/v1/batch", files=files, data={"prompt": "What is it?"}).json()
        assert [one["index"] for one in document["results"]] == [0, 1, 2]
        assert [one["filename"] for one in document["results"]] == ["a", None, "c"]
        assert document["results"][0]["description"] == document["results"][2]["description"]
        assert document["results"][1]["problem"]["status"] == 422

    @pytest.mark.parametrize(
        ("path", "parts", "status", "kind"),
        [
            ("/api/v1/describe", {"json": {"image": {"base64": B64}}}, 415, "media-type"),
            ("/api/v1/describe", {"files": {"images": ("a", PHOTO)}}, 422, "invalid"),
            ("/api/v1/batch", {"files": {"image": ("a", PHOTO)}}, 422, "invalid"),
            ("/api/v1/describe", {"files": FILE, "data": {"prompt": ""}}, 422, "invalid"),
            ("/api/v1/describe", {"files": FILE, "data": {"prompt": "   "}}, 422, "option"),
            ("/api/v1/describe", {"files": FILE, "data": {"prompt": "a" * 2001}}, 422, "invalid"),
            ("/api/v1/describe", {"files": FILE, "data": {"question": "a"}}, 422, "invalid"),
            ("/api/v1/describe", {"files": {"image": ("a", b"no")}}, 422, "photo"),
            ("/v1/describe", {"json": {"image": {"base64": B64}, "phrase": ""}}, 422, "invalid"),
        ],
    )
    def test_what_cannot_be_described_is_told(
        self, paid: Gateway, path: str, parts: dict[str, Any], status: int, kind: str
    ) -> None:
        refused(paid.post(path, **parts), status, kind)

    def test_a_gateway_without_a_describer_says_so(self, gateway: Gateway) -> None:
        for path in ("/v1/describe", "/api/v1/describe", "/api/v1/batch"):
            refused(gateway.post(path, files=FILE), 501, "not-offered")

    def test_no_more_dollars_than_the_operator_allows(self, words: ScriptedOpenAI, tmp_path: Path) -> None:
        describer = Describer(DescriberSettings(base_url=words.url, model="gpt-4o-mini"), budget=Budget(0.0001))
        parts = Parts(FakeClient(), describer, None, None, None)
        with Gateway(tmp_path, parts=parts, base_url=words.url) as own:
            refused(own.post("/api/v1/describe", files=FILE), 402, "budget")
            refused(own.post("/v1/analyze", files=FILE, data={"mode": "hybrid"}), 402, "budget")
            assert own.post("/v1/analyze", files=FILE, data={"mode": "off"}).status_code == 200

    def test_an_endpoint_that_refuses_the_key_is_the_operators_matter(self, tmp_path: Path) -> None:
        with ScriptedOpenAI(default=rate_limited("99999")) as busy:
            settings = DescriberSettings(base_url=busy.url, model="m", api_key=SecretStr("PLANTED-key"), max_retries=0)
            parts = Parts(FakeClient(), Describer(settings), None, None, None)
            with Gateway(tmp_path, parts=parts, base_url=busy.url) as own:
                response = own.post("/api/v1/describe", files=FILE)
                refused(response, 503, "overloaded")
                assert busy.url not in response.text
                assert "PLANTED" not in response.text

    @pytest.mark.parametrize("step", [rate_limited("99999"), fault(404, "no such model"), fault(400, "odd")])
    def test_where_the_describer_is_stays_the_operators_matter(self, tmp_path: Path, step: Step) -> None:
        with ScriptedOpenAI(default=step) as failing:
            settings = DescriberSettings(base_url=failing.url, model="m", max_retries=0)
            parts = Parts(FakeClient(), Describer(settings), None, None, None)
            with Gateway(tmp_path, parts=parts, base_url=failing.url) as own:
                for path, data in (("/v1/analyze", {"mode": "hybrid"}), ("/v1/describe", {}), ("/api/v1/describe", {})):
                    response = own.post(path, files=FILE, data=data)
                    assert failing.url not in response.text
                    assert response.status_code in {200, 502, 503}, response.text

    def test_auto_describes_only_for_whom_it_may(self, paid: Gateway, words: ScriptedOpenAI) -> None:
        asked = len(words.requests)
        body = {"image": {"url": fresh(81)}, "vocabulary": ["kilt"]}
        plain = paid.post("/v1/analyze", json=body, headers=paid.key_for(Scope.ANALYZE)).json()
        assert {garment["description"] for garment in plain["garments"]} == {None}
        assert len(words.requests) == asked
        described = paid.post("/v1/analyze", json=body).json()
        assert all(garment["description"]["sentence"] for garment in described["garments"])
        assert described["cost"]["dollars"] > 0
        off = paid.post("/v1/analyze", json={"image": {"url": fresh(82)}, "mode": "off"}).json()
        assert off["cost"] is None

    def test_boxes_by_dino_x(self, paid: Gateway) -> None:
        body = {"image": {"url": fresh(60)}, "detector": "dinox", "threshold": 0.5}
        document = paid.post("/v1/detect", json=body).json()
        assert [one["phrase"] for one in document["detections"]] == ["shirt"]
        assert document["detections"][0]["box_xyxy"] == [10, 5, 30, 35]


class TestFigures:
    def test_requests_stages_tokens_and_dollars_are_counted(self, paid: Gateway) -> None:
        paid.post("/v1/analyze", json={"image": {"url": fresh(91)}, "mode": "hybrid"})
        paid.post("/v1/analyze", json={"image": {"url": fresh(91)}, "mode": "hybrid"})
        paid.post("/v1/nothing/of/the/sort")
        paid.client.request("PURGE", "/health")
        text = paid.get("/metrics").text
        for line in (
            r'fashioncrop_gateway_requests_total\{method="POST",route="/v1/analyze",status="200"\} \d+\.0',
            r'fashioncrop_gateway_requests_total\{method="POST",route="unknown",status="404"\} \d+\.0',
            r'fashioncrop_gateway_request_seconds_count\{route="/v1/analyze"\} \d+\.0',
            r'fashioncrop_gateway_stage_seconds_count\{stage="detect"\} \d+\.0',
            r'fashioncrop_gateway_stage_seconds_count\{stage="describe"\} \d+\.0',
            r'fashioncrop_gateway_photos_total\{answered_by="cache"\} \d+\.0',
            r'fashioncrop_gateway_photos_total\{answered_by="models"\} \d+\.0',
            r'fashioncrop_gateway_tokens_total\{direction="in",model="gpt-4o-mini"\} \d+\.0',
            r'fashioncrop_gateway_dollars_total\{model="gpt-4o-mini"\} 0\.\d+',
            r"fashioncrop_gateway_in_flight 0\.0",
            r"process_resident_memory_bytes \d",
        ):
            assert re.search(line, text), line
        assert "PURGE" not in text, "who asks must not be able to make series"
        assert 'stage="total"' not in text
        assert paid.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")
