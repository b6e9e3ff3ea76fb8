"""`/v1/...`: one image or a batch, as JSON or as a form, and every bad input told."""

from __future__ import annotations

import base64
import io
import json
import zlib
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from fashioncrop.errors import OverloadedError
from fashioncrop.gateway.bodies import JSON
from fashioncrop.gateway.depths import NPY, PNG, accepted
from fashioncrop.results import Analysis
from gateway_world import PHOTO, Gateway, picture, refused

B64 = base64.b64encode(PHOTO).decode()
DATA_URL = f"data:image/png;base64,{B64}"
ONE = {"image": {"base64": B64}}
PATHS = ("/v1/analyze", "/v1/detect", "/v1/depth")


def asked_of(gateway: Gateway) -> dict[str, Any]:
    (what,) = gateway.fake.asked
    return what[1]


class TestAnalyze:
    @pytest.mark.parametrize("image", [{"base64": B64}, {"url": DATA_URL}, {"url": DATA_URL.replace("=", "%3D")}])
    def test_an_image_is_analysed_however_it_is_sent(self, gateway: Gateway, image: dict[str, str]) -> None:
        response = gateway.post("/v1/analyze", json={"image": image})
        assert response.status_code == 200, response.text
        analysis = Analysis.model_validate(response.json())
        assert analysis.photo.name == "image"
        assert (analysis.photo.width, analysis.photo.height) == (60, 40)
        assert [garment.phrase for garment in analysis.garments] == ["shirt", "shoe"]
        assert analysis.timings_ms["detect"] == 20
        assert {garment.embedding for garment in analysis.garments} == {None}
        assert {garment.crop.url for garment in analysis.garments} == {None}
        assert asked_of(gateway) == {"crops": False, "embeddings": False}

    def test_every_option_reaches_the_server(self, gateway: Gateway) -> None:
        options = {
            "vocabulary": ["red hat", "scarf"],
            "threshold": 0.25,
            "iou_threshold": 1,
            "crop_padding": 0.1,
            "max_garments": 7,
            "embeddings": True,
            "crops": True,
            "mode": "off",
            "detector": "served",
        }
        document = gateway.post("/v1/analyze", json={**ONE, **options}).json()
        renamed = {
            "vocabulary": ["red hat", "scarf"],
            "score_threshold": 0.25,
            "iou_threshold": 1,
            "crop_padding": 0.1,
            "max_garments": 7,
            "embeddings": True,
            "crops": True,
        }
        assert asked_of(gateway) == renamed
        garment = document["garments"][0]
        assert len(garment["embedding"]) == 512
        crop = Image.open(io.BytesIO(base64.b64decode(garment["crop"]["url"].removeprefix("data:image/jpeg;base64,"))))
        assert crop.size == (18, 29)

    def test_a_form_says_the_same(self, gateway: Gateway) -> None:
        fields = {
            "vocabulary": ["red hat", "scarf"],
            "threshold": "0.25",
            "max_garments": "7",
            "embeddings": "true",
            "mode": "off",
        }
        response = gateway.post("/v1/analyze", files={"image": ("C:\\photos\\my shirt.png", PHOTO)}, data=fields)
        assert response.json()["photo"]["name"] == "my shirt"
        assert asked_of(gateway) == {
            "vocabulary": ["red hat", "scarf"],
            "score_threshold": 0.25,
            "max_garments": 7,
            "embeddings": True,
            "crops": False,
        }


class TestBatch:
    def test_each_image_has_a_result_or_a_problem_in_order(self, gateway: Gateway) -> None:
        wide = base64.b64encode(picture(70)).decode()
        images = [
            {"base64": B64},
            {"base64": "no image"},
            {"base64": wide},
            {"url": "file:///etc/passwd"},
            {"url": "http://localhost/x"},
            {"url": "https://127.0.0.1/x"},
            {"url": DATA_URL},
        ]
        response = gateway.post("/v1/analyze", json={"images": images})
        assert response.status_code == 200, response.text
        results = response.json()["results"]
        assert [result["index"] for result in results] == [*range(7)]
        assert [result.get("analysis", {}).get("photo", {}).get("width") for result in results] == [
            *(60, None, 70),
            *(None, None, None, 60),
        ]
        kinds = [result.get("problem", {}).get("type", "").rpartition(":")[2] for result in results]
        assert kinds == ["", "photo", "", "photo", "fetch", "fetch", ""]
        assert all(result["problem"]["detail"].endswith(".") for result in results if "problem" in result)

    def test_a_batch_of_one_is_a_batch(self, gateway: Gateway) -> None:
        for path, field in zip(PATHS, ("analysis", "detections", "depth"), strict=True):
            (result,) = gateway.post(path, json={"images": [{"base64": B64}]}).json()["results"]
            assert set(result) == {"index", field}
            (result,) = gateway.post(path, files=[("images", ("a.png", PHOTO))]).json()["results"]
            assert set(result) == {"index", field}

    def test_a_server_that_fails_is_each_images_problem(self, gateway: Gateway) -> None:
        gateway.fake.error = OverloadedError("10.0.0.7 is full.")
        results = gateway.post("/v1/detect", json={"images": [{"base64": B64}] * 3}).json()["results"]
        assert {result["problem"]["status"] for result in results} == {503}
        assert "10.0.0.7" not in json.dumps(results)

    @pytest.mark.parametrize("path", PATHS)
    def test_more_than_are_taken_at_once_are_refused(self, gateway: Gateway, path: str) -> None:
        most = gateway.settings.max_batch
        body = {"images": [{"base64": B64}] * (most + 1)}
        assert f"at most {most}" in refused(gateway.post(path, json=body), 422, "invalid")
        assert gateway.post(path, json={"images": body["images"][1:]}).status_code == 200
        files = [("images", ("a.png", PHOTO))] * (most + 1)
        assert gateway.post(path, files=files).status_code == 422
        assert gateway.post(path, files=files * 5).status_code == 400


class TestWrongRequests:
    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, "/image"),
            ([], ""),
            ("text", ""),
            (None, ""),
            (7, ""),
            ({"image": None}, "/image"),
            ({"image": B64}, "/image"),
            ({"image": {}}, "/image"),
            ({"image": {"url": DATA_URL, "base64": B64}}, "/image"),
            ({"image": {"url": 7}}, "/image"),
            ({"image": {"base64": ""}}, "/image"),
            ({"image": {"path": "/etc/passwd"}}, "/image"),
            ({"images": []}, "/images"),
            ({"images": {}}, "/images"),
            ({"images": [{"base64": B64}, 7]}, "/images/1"),
            ({"images": [{"base64": B64}], "image": {"base64": B64}}, "/image"),
            ({**ONE, "threshold": "0.5"}, "/threshold"),
            ({**ONE, "threshold": 1.5}, "/threshold"),
            ({**ONE, "threshold": -0.1}, "/threshold"),
            ({**ONE, "threshold": True}, "/threshold"),
            ({**ONE, "max_garments": 0}, "/max_garments"),
            ({**ONE, "max_garments": 301}, "/max_garments"),
            ({**ONE, "max_garments": 1.5}, "/max_garments"),
            ({**ONE, "vocabulary": []}, "/vocabulary"),
            ({**ONE, "vocabulary": "shirt"}, "/vocabulary"),
            ({**ONE, "vocabulary": ["shirt", 1]}, "/vocabulary/1"),
            ({**ONE, "vocabulary": ["shirt"] * 1001}, "/vocabulary"),
            ({**ONE, "detector": "yolo"}, "/detector"),
            ({**ONE, "treshold": 0.5}, "/treshold"),
        ],
    )
    def test_what_is_wrong_is_told_where_it_is(self, gateway: Gateway, body: Any, pointer: str) -> None:  # noqa: ANN401
        headers = {**gateway.headers, "Content-Type": "application/json"}
        for path in ("/v1/analyze", "/v1/detect"):
            response = gateway.post(path, content=json.dumps(body), headers=headers)
            assert pointer in refused(response, 422, "invalid")
            assert any(one["pointer"].startswith(pointer) for one in response.json()["errors"])
        assert gateway.fake.asked == []

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
    def test_what_json_does_not_have_is_no_number(self, gateway: Gateway, number: str) -> None:
        content = json.dumps(ONE)[:-1] + f', "threshold": {number}}}'
        headers = {**gateway.headers, "Content-Type": "application/json"}
        assert gateway.post("/v1/detect", content=content.encode(), headers=headers).status_code in {400, 422}

    @pytest.mark.parametrize(
        ("parts", "words"),
        [
            ({"data": {"threshold": "0.5"}}, "one file `image`"),
            ({"files": [("image", ("a", PHOTO))] * 2}, "one file `image`"),
            ({"files": [("image", ("a", PHOTO)), ("images", ("a", PHOTO))]}, "one file `image`"),
            ({"files": [("image", ("a", PHOTO)), ("threshold", ("b", b"0.5"))]}, "not a file"),
            ({"files": {"image": ("a", PHOTO)}, "data": {"threshold": "much"}}, "/threshold"),
            ({"files": {"image": ("a", PHOTO)}, "data": {"threshold": "nan"}}, "/threshold"),
            ({"files": {"image": ("a", PHOTO)}, "data": {"threshold": ["0.1", "0.2"]}}, "more than once"),
            ({"files": {"image": ("a", PHOTO)}, "data": {"strange": "1"}}, "/strange"),
            ({"files": {"image": ("a", PHOTO)}, "data": {"max_garments": "1.5"}}, "/max_garments"),
            ({"files": {"image": ("a", PHOTO)}, "data": {"embeddings": "0"}}, "/embeddings"),
            ({"files": {"image": ("a", PHOTO)}, "data": {"crops": "[]"}}, "/crops"),
            ({"files": {"image": (None, B64)}}, "must be a file"),
        ],
    )
    def test_a_form_that_is_not_as_documented_is_told(
        self, gateway: Gateway, parts: dict[str, Any], words: str
    ) -> None:
        if "files" not in parts:
            parts = {**parts, "files": {"other": (None, "1")}}
        assert words in refused(gateway.post("/v1/analyze", **parts), 422, "invalid")
        assert gateway.fake.asked == []


HOSTILE = {
    "empty": b"",
    "text": b"no image at all",
    "html": b"<html><script>alert(1)</script></html>",
    "zip": b"PK\x03\x04" + b"\0" * 100,
    "cut off": PHOTO[:40],
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
}


class TestPhotos:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_what_is_no_photo_is_told_before_the_server_is_asked(self, gateway: Gateway, name: str) -> None:
        for path in PATHS:
            refused(gateway.post(path, files={"image": ("a.png", HOSTILE[name])}), 422, "photo")
        assert gateway.fake.asked == []

    def test_one_that_unpacks_to_far_more_is_refused_by_its_header(self, gateway: Gateway) -> None:
        file = io.BytesIO()
        Image.new("1", (9000, 9000)).save(file, "PNG")
        assert len(file.getvalue()) < 20_000
        words = refused(gateway.post("/v1/detect", files={"image": ("a", file.getvalue())}), 422, "photo")
        assert "measures 9000 x 9000 pixels" in words
        assert "64000000" in words
        assert gateway.fake.asked == []

    @pytest.mark.parametrize(
        ("format_", "at", "order"), [("PNG", 16, "big"), ("GIF", 6, "little"), ("BMP", 18, "little")]
    )
    def test_one_that_lies_about_its_size_is_refused_without_decoding(
        self, gateway: Gateway, format_: str, at: int, order: Literal["big", "little"]
    ) -> None:
        lying = bytearray(picture(64, 64, format_))
        bytes_each = 2 if format_ == "GIF" else 4
        for offset in (at, at + bytes_each):
            lying[offset : offset + bytes_each] = (60_000).to_bytes(bytes_each, order)
        lying[29:33] = zlib.crc32(lying[12:29]).to_bytes(4) if format_ == "PNG" else lying[29:33]
        words = refused(gateway.post("/v1/detect", files={"image": ("a", bytes(lying))}), 422, "photo")
        assert "pixels" in words
        assert gateway.fake.asked == []

    def test_a_photo_on_its_side_is_measured_upright(self, gateway: Gateway) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        sideways = picture(60, 40, "JPEG", exif=exif)
        photo = gateway.post("/v1/detect", files={"image": ("a.jpg", sideways)}).json()["photo"]
        assert (photo["width"], photo["height"], photo["format"]) == (40, 60, "JPEG")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("not base64!", "base64"),
            (B64[:-1], "base64"),
            (B64 + "\n", "base64"),
            ("QUJD", "not an image"),
            ("\u00e4", "base64"),
        ],
    )
    def test_what_is_no_base64_is_told(self, gateway: Gateway, text: str, words: str) -> None:
        assert words in refused(gateway.post("/v1/detect", json={"image": {"base64": text}}), 422, "photo")

    @pytest.mark.parametrize(
        "url",
        [
            "file:///etc/passwd",
            "/etc/passwd",
            "-",
            "photo.jpg",
            "ftp://example.com/a.jpg",
            "gopher://example.com",
            "data:image/png,plain",
            "data:image/png;base64",
            "data:text/html;base64,!!!!",
            "  ",
            "\x00",
        ],
    )
    def test_a_url_that_is_no_web_address_never_reaches_a_file(self, gateway: Gateway, url: str) -> None:
        refused(gateway.post("/v1/detect", json={"image": {"url": url}}), 422, "photo")

    @pytest.mark.parametrize(
        "url",
        [
            "https://127.0.0.1/",
            "https://localhost/",
            "https://[::1]/",
            "https://10.0.0.1/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://[fe80::1]/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://[::ffff:127.0.0.1]/",
            "http://127.0.0.1/",
            "https://user:secret@example.com/",
            "https://example.com:0/",
            "https://exa mple.com/",
            "https:\\\\127.0.0.1/",
            "https://",
        ],
    )
    def test_a_url_to_what_only_this_machine_reaches_is_refused(self, gateway: Gateway, url: str) -> None:
        response = gateway.post("/v1/detect", json={"image": {"url": url}})
        assert response.status_code == 422
        assert "secret" not in response.text
        assert "127.0.0.1" not in response.json()["detail"] or "127.0.0.1" in url


class TestDepth:
    @pytest.mark.parametrize("accept", [None, "*/*", "image/png", "image/*", "application/json;q=0.5, image/png"])
    def test_a_picture_of_16_bits(self, gateway: Gateway, accept: str | None) -> None:
        headers = dict(gateway.headers) if accept is None else {**gateway.headers, "Accept": accept}
        response = gateway.post("/v1/depth", json=ONE, headers=headers)
        assert response.headers["content-type"] == "image/png"
        low, high = (float(response.headers[f"x-depth-{name}"]) for name in ("minimum", "maximum"))
        assert (low, high) == (-1.5, 6)
        with Image.open(io.BytesIO(response.content)) as opened:
            assert (opened.mode, opened.size) == ("I;16", (4, 3))
            assert opened.text == {"depth-minimum": "-1.5", "depth-maximum": "6.0"}  # type: ignore[attr-defined]
            values = np.asarray(opened, np.float64) / 65_535 * (high - low) + low
        assert values == pytest.approx(np.linspace(-1.5, 6, 12).reshape(3, 4), abs=1e-3)

    def test_an_array(self, gateway: Gateway) -> None:
        response = gateway.post("/v1/depth", json=ONE, headers={**gateway.headers, "Accept": "application/x-npy"})
        array = np.load(io.BytesIO(response.content), allow_pickle=False)
        assert array.dtype == np.float32
        assert np.array_equal(array, np.linspace(-1.5, 6, 12, dtype=np.float32).reshape(3, 4))
        document = gateway.post("/v1/depth", json=ONE, headers={**gateway.headers, "Accept": "application/json"}).json()
        assert document["shape_hw"] == [3, 4]
        assert (document["minimum"], document["maximum"]) == (-1.5, 6)
        assert np.asarray(document["values"]) == pytest.approx(array, abs=1e-4)

    @pytest.mark.parametrize("accept", ["text/html", "image/png;q=0", "application/octet-stream", "nonsense"])
    def test_another_form_cannot_be_had(self, gateway: Gateway, accept: str) -> None:
        response = gateway.post("/v1/depth", json=ONE, headers={**gateway.headers, "Accept": accept})
        assert "image/png" in refused(response, 406, "not-acceptable")

    def test_a_batch_is_json_or_nothing(self, gateway: Gateway) -> None:
        body = {"images": [{"base64": B64}, {"base64": "!"}]}
        response = gateway.post("/v1/depth", json=body, headers={**gateway.headers, "Accept": "image/png"})
        refused(response, 406, "not-acceptable")
        good, bad = gateway.post("/v1/depth", json=body).json()["results"]
        assert good["depth"]["shape_hw"] == [3, 4]
        assert bad["problem"]["status"] == 422

    @pytest.mark.parametrize(
        ("accept", "form"),
        [
            (None, PNG),
            ("", PNG),
            ("*/*", PNG),
            ("application/*", NPY),
            ("application/json", JSON),
            ("application/json, */*;q=0.1", JSON),
            ("*/*, image/png;q=0", NPY),
            ("APPLICATION/JSON", JSON),
            ("image/png;q=x, application/json", JSON),
            ("text/html", None),
        ],
    )
    def test_the_form_that_is_liked_best_is_taken(self, accept: str | None, form: str | None) -> None:
        assert accepted(accept, (PNG, NPY, JSON)) == form


class TestEmbeddings:
    def embed(self, gateway: Gateway, **body: Any) -> dict[str, Any]:  # noqa: ANN401
        response = gateway.post("/v1/embeddings", json=body)
        assert response.status_code == 200, response.text
        document: dict[str, Any] = response.json()
        return document

    def test_texts_and_images_in_openais_form(self, gateway: Gateway) -> None:
        answer = self.embed(gateway, input=["a red skirt", DATA_URL, "shoes"])
        assert answer["object"] == "list"
        assert answer["model"] == "tiny-clip"
        assert answer["usage"] == {"prompt_tokens": 0, "total_tokens": 0}
        assert [one["index"] for one in answer["data"]] == [0, 1, 2]
        assert {one["object"] for one in answer["data"]} == {"embedding"}
        assert [np.argmax(one["embedding"]) for one in answer["data"]] == [12, 0, 6]
        assert gateway.fake.asked[0] == ("embed_texts", {"texts": ["a red skirt", "shoes"]})

    def test_one_text_alone_and_numbers_packed(self, gateway: Gateway) -> None:
        (plain,) = self.embed(gateway, input="hat", model="clip", dimensions=512, user="me")["data"]
        (packed,) = self.embed(gateway, input="hat", model="tiny-clip", encoding_format="base64")["data"]
        assert np.frombuffer(base64.b64decode(packed["embedding"]), "<f4").tolist() == plain["embedding"]

    @pytest.mark.parametrize(
        ("body", "status", "kind"),
        [
            ({}, 422, "invalid"),
            ({"input": ""}, 422, "invalid"),
            ({"input": []}, 422, "invalid"),
            ({"input": [1, 2]}, 422, "invalid"),
            ({"input": [["hat"]]}, 422, "invalid"),
            ({"input": ["hat"] * 257}, 422, "invalid"),
            ({"input": "hat", "encoding_format": "int8"}, 422, "invalid"),
            ({"input": "hat", "dimensions": 64}, 422, "invalid"),
            ({"input": ["hat", "https://127.0.0.1/a.jpg"]}, 422, "fetch"),
            ({"input": ["hat", "data:image/png;base64,AAAA"]}, 422, "photo"),
            ({"input": [DATA_URL] * 33}, 422, "invalid"),
        ],
    )
    def test_what_cannot_be_embedded_is_told(
        self, gateway: Gateway, body: dict[str, Any], status: int, kind: str
    ) -> None:
        refused(gateway.post("/v1/embeddings", json=body), status, kind)

    def test_an_unknown_model_is_answered_with_the_known(self, gateway: Gateway) -> None:
        response = gateway.post("/v1/embeddings", json={"input": "hat", "model": "text-embedding-3-small"})
        refused(response, 404, "not-found")
        assert response.json()["known"] == ["clip", "tiny-clip"]

    def test_a_form_is_not_taken(self, gateway: Gateway) -> None:
        refused(gateway.post("/v1/embeddings", files={"image": ("a", PHOTO)}), 415, "media-type")
