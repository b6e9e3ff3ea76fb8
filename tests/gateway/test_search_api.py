"""`/v1/search`: garments of the catalogue found again over HTTP, and every way in which they are not."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr

from asked_dinox import one as found
from asked_dinox import settings as dinox_settings
from fashioncrop._postgres.embedded import _is_held
from fashioncrop.analyzing.opening import Parts
from fashioncrop.cataloguing.answers import SearchAnswer
from fashioncrop.cataloguing.entries import Entry, garment_id, photo_id
from fashioncrop.dinox import DinoX
from fashioncrop.errors import CatalogueError, OptionError, OverloadedError
from fashioncrop.gateway import searching
from fashioncrop.gateway.keys import Scope
from fashioncrop.results import Category, Crop
from fashioncrop.settings import Settings
from gateway_world import MODEL, PHOTO, FakeClient, Gateway, eventually, fill, picture, refused
from planted import at_angle, entry, is_alive, planted, reachable_folder
from scripted_dinox import ScriptedDinoX, scripted_dinox

B64 = base64.b64encode(PHOTO).decode()
IMAGE = {"base64": B64}
WORDS = "a red striped skirt"
SECRET = "PLANTED-0123456789"  # noqa: S105 - looked for where it must not be
SECRET_URL = f"https://shop.example/dress.jpg?token={SECRET}"
SHOP_URL = "https://shop.example/bag.jpg"
BAG = Category(id=24, name="bag, wallet", supercategory="others")
NEAR = garment_id(photo_id("/photos/near.jpg"), 0)


def near_words(degrees: float) -> tuple[float, ...]:
    """At this angle to what the client of no server makes of `WORDS`."""
    first, second, *rest = at_angle(degrees, 512)
    vector = [*rest, 0.0, 0.0]
    vector[1 + len(WORDS)], vector[2 + len(WORDS)] = first, second
    return tuple(vector)


def entries(folder: Path) -> list[Entry]:
    """Garments near what is seen in every photo (the first axis), and near the words."""
    whole, crop = folder / "whole.png", folder / "crop.jpg"
    whole.write_bytes(picture(80, 60))
    crop.write_bytes(picture(18, 29, "JPEG"))
    kept = Crop(box_xyxy=(4, 4, 31, 31), url=crop.as_uri())
    cut = Crop(box_xyxy=(10, 20, 40, 50))
    return [
        entry("/photos/near.jpg", planted(0, at_angle(10, 512)), planted(1, at_angle(60, 512)), model=MODEL),
        entry(str(whole), planted(0, at_angle(20, 512), "hat", ("blue",), crop=cut), model=MODEL),
        entry(
            SHOP_URL,
            planted(0, near_words(10), "bag", ("red", "white")).model_copy(update={"category": BAG}),
            model=MODEL,
        ),
        entry(SECRET_URL, planted(0, near_words(20), "dress", crop=kept, description_problem=SECRET), model=MODEL),
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with reachable_folder() as folder:
        fill(folder, entries(tmp_path_factory.mktemp("photos")))
        yield folder


@pytest.fixture(scope="module")
def gateway(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with Gateway(folder, rate_limit="1000000/minute", catalogue=SecretStr(str(place))) as running:
        yield running


def answer_of(gateway: Gateway, **body: Any) -> SearchAnswer:  # noqa: ANN401 - any JSON
    response = gateway.post("/v1/search", json=body)
    assert response.status_code == 200, response.text
    return SearchAnswer.model_validate(response.json())


def sources(answer: SearchAnswer) -> list[list[str]]:
    """Of the photos for each query, the last part."""
    return [[photo.source.rpartition("/")[2] for photo in one.photos] for one in answer.found]


class TestQueries:
    def test_words_find_what_is_near_them_best_first(self, gateway: Gateway) -> None:
        answer = answer_of(gateway, words=WORDS, limit=2)
        (one,) = answer.found
        assert (one.query.kind, one.query.text, one.query.source) == ("words", WORDS, None)
        bag, dress = one.photos
        assert (bag.source, bag.link, bag.name) == (SHOP_URL, SHOP_URL, "photo")
        assert bag.similarity == bag.garments[0].similarity == pytest.approx(0.985, abs=1e-3)
        assert bag.garments[0].garment.phrase == "bag"
        assert bag.garments[0].garment.crop.box_xyxy == (4, 4, 31, 31)
        assert dress.similarity == pytest.approx(0.940, abs=1e-3)
        assert answer.models == (MODEL, MODEL.model_copy(update={"role": "text_embedder"}))
        assert answer.warnings == ("text_embedder has random weights: what it says means nothing.",)
        assert [what for what, _ in gateway.fake.asked] == ["embed_texts"]

    @pytest.mark.parametrize("image", [IMAGE, {"url": f"data:image/png;base64,{B64}"}])
    def test_each_garment_of_a_photo_is_a_query(self, gateway: Gateway, image: dict[str, str]) -> None:
        answer = answer_of(gateway, image=image, limit=1)
        assert sources(answer) == [["near.jpg"]] * 2
        assert [(one.query.kind, one.query.text, one.query.source) for one in answer.found] == [
            ("garment", "shirt", "image"),
            ("garment", "shoe", "image"),
        ]
        assert [one.similarity for one in answer.found[0].photos[0].garments] == pytest.approx([0.985, 0.5], abs=1e-3)
        assert "Random weights." in answer.warnings, "what is said of the photo"

    def test_how_it_is_looked_at_reaches_the_server(self, gateway: Gateway) -> None:
        options = {"vocabulary": ["hat"], "threshold": 0.25, "iou_threshold": 1, "max_garments": 7, "crop_padding": 0.1}
        assert len(answer_of(gateway, image=IMAGE, **options).found) == 1
        assert gateway.fake.asked == [
            (
                "analyze",
                {
                    "vocabulary": ["hat"],
                    "score_threshold": 0.25,
                    "iou_threshold": 1,
                    "max_garments": 7,
                    "crop_padding": 0.1,
                    "crops": True,
                    "embeddings": True,
                },
            )
        ]

    def test_a_box_is_the_only_query(self, gateway: Gateway) -> None:
        answer = answer_of(gateway, image=IMAGE, box_xyxy=[1, 2, 30.5, 40], threshold=0.9)
        assert [(one.query.kind, one.query.text) for one in answer.found] == [("box", "")]
        ((what, options),) = gateway.fake.asked
        assert what == "analyze"
        assert options["boxes_xyxy"] == [[1, 2, 30.5, 40]]
        assert "score_threshold" not in options, "nothing is looked for"

    def test_a_form_says_the_same(self, gateway: Gateway) -> None:
        fields = {
            "box_xyxy": ["1", "2", "30.5", "40"],
            "limit": "2",
            "category": ["hat", "upperbody"],
            "colour": "blue",
        }
        response = gateway.post("/v1/search", files={"image": ("my shirt.png", PHOTO)}, data=fields)
        assert response.status_code == 200, response.text
        answer = SearchAnswer.model_validate(response.json())
        assert sources(answer) == [["whole.png"]]
        assert answer.found[0].query.source == "my shirt"
        assert gateway.fake.asked[0][1]["boxes_xyxy"] == [[1, 2, 30.5, 40]]

    def test_a_garment_finds_those_of_other_photos_and_no_server_is_asked(self, gateway: Gateway) -> None:
        answer = answer_of(gateway, garment=NEAR, limit=1)
        assert sources(answer) == [["whole.png"]]
        (one,) = answer.found
        assert (one.query.kind, one.query.text, one.query.source) == ("catalogue", "shirt", "/photos/near.jpg")
        assert gateway.fake.asked == []

    def test_filters_keep_what_they_name(self, gateway: Gateway) -> None:
        for body, expected in (
            ({"category": ["wallet"]}, ["bag.jpg"]),
            ({"category": ["dress", "others"]}, ["bag.jpg", "dress.jpg"]),
            ({"colour": ["Red", "white"]}, ["bag.jpg"]),
            ({"category": ["bag"], "colour": ["blue"]}, []),
            ({"limit": 2}, ["bag.jpg", "dress.jpg"]),
        ):
            assert sources(answer_of(gateway, words=WORDS, **body)) == [expected], body

    def test_crops_come_along_from_where_they_are_kept_or_out_of_the_photo(self, gateway: Gateway) -> None:
        plain = answer_of(gateway, words=WORDS, limit=4)
        assert {one.garment.crop.url for photo in plain.found[0].photos for one in photo.garments} == {None}
        answer = answer_of(gateway, words=WORDS, limit=4, crops=True)
        sizes = {}
        for photo in answer.found[0].photos:
            url = photo.garments[0].garment.crop.url
            if url is not None:
                jpeg = base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))
                sizes[photo.source.rpartition("/")[2]] = Image.open(io.BytesIO(jpeg)).size
        assert sizes == {"dress.jpg": (18, 29), "whole.png": (30, 30)}, "of the others nothing can be read any more"

    def test_what_is_the_gateways_own_or_secret_is_not_told(self, gateway: Gateway, place: Path) -> None:
        response = gateway.post("/v1/search", json={"words": WORDS, "crops": True})
        assert SECRET not in response.text
        assert "file://" not in response.text
        assert str(place) not in response.text
        links = {photo["source"].rpartition("/")[2]: photo["link"] for photo in response.json()["found"][0]["photos"]}
        assert links == {"bag.jpg": SHOP_URL, "dress.jpg": None, "near.jpg": None, "whole.png": None}
        secret = garment_id(photo_id(SECRET_URL), 0)
        assert answer_of(gateway, garment=secret).found[0].query.source == "https://shop.example/dress.jpg"

    def test_searches_are_counted(self, gateway: Gateway) -> None:
        def counted() -> dict[str, str]:
            lines = [line for line in gateway.get("/metrics").text.splitlines() if "_searches_total{" in line]
            return {line.partition('by="')[2].partition('"')[0]: line.rpartition(" ")[2] for line in lines}

        before = counted()
        answer_of(gateway, words=WORDS)
        after = counted()
        assert float(after["words"]) == float(before["words"]) + 1
        assert set(after) == {"words", "photo", "garment"}
        assert 'requests_total{method="POST",route="/v1/search",status="200"}' in gateway.get("/metrics").text


class TestBatch:
    def test_each_query_has_an_answer_or_a_problem_in_order(self, gateway: Gateway) -> None:
        queries = [
            {"words": WORDS},
            {"garment": "none"},
            {"image": IMAGE},
            {"image": {"base64": "no image"}},
            {"garment": NEAR},
            {"garment": NEAR.replace("-0", "-7")},
            {"image": IMAGE, "box_xyxy": [9, 9, 3, 3]},
            {"image": IMAGE, "box_xyxy": [1, 1, 9, 9]},
            {"image": {"url": "file:///etc/passwd"}},
        ]
        response = gateway.post("/v1/search", json={"queries": queries, "limit": 1, "vocabulary": ["hat"]})
        assert response.status_code == 200, response.text
        results = response.json()["results"]
        assert [result["index"] for result in results] == [*range(len(queries))]
        kinds = [result.get("problem", {}).get("type", "").rpartition(":")[2] for result in results]
        assert kinds == ["", "option", "", "photo", "", "option", "option", "", "photo"]
        answers = [SearchAnswer.model_validate(result["answer"]) for result in results if "answer" in result]
        assert [one.found[0].query.kind for one in answers] == ["words", "garment", "catalogue", "box"]
        assert [len(one.found) for one in answers] == [1, 1, 1, 1], "options are of all queries"
        assert all(result["problem"]["detail"].endswith(".") for result in results if "problem" in result)

    def test_images_are_a_batch_as_elsewhere(self, gateway: Gateway) -> None:
        results = gateway.post("/v1/search", json={"images": [IMAGE, {"base64": "no"}]}).json()["results"]
        assert [set(result) for result in results] == [{"index", "answer"}, {"index", "problem"}]
        files = [("images", ("a.png", PHOTO)), ("images", ("b.png", PHOTO))]
        results = gateway.post("/v1/search", files=files, data={"limit": "1"}).json()["results"]
        assert [result["answer"]["found"][0]["query"]["source"] for result in results] == ["a", "b"]

    def test_each_query_counts_and_more_than_are_taken_are_refused(self, place: Path, tmp_path: Path) -> None:
        with Gateway(tmp_path, catalogue=SecretStr(str(place)), max_batch=3, rate_limit="5/hour") as own:
            body = {"queries": [{"words": WORDS}] * 4}
            assert "4 queries; at most 3" in refused(own.post("/v1/search", json=body), 422, "invalid")
            assert own.post("/v1/search", json={"queries": body["queries"][1:]}).status_code == 200
            refused(own.post("/v1/search", json={"queries": body["queries"][2:]}), 429, "rate")
            document = own.get("/openapi.json").json()
        assert document["components"]["schemas"]["SearchQueries"]["properties"]["queries"]["maxItems"] == 3


class TestWrongRequests:
    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, ""),
            (None, ""),
            ([], ""),
            ("words", ""),
            ({"limit": 3}, ""),
            ({"words": WORDS, "image": IMAGE}, "/words"),
            ({"words": WORDS, "queries": []}, "/queries"),
            ({"words": ""}, "/words"),
            ({"words": 7}, "/words"),
            ({"words": None}, "/words"),
            ({"words": "x" * 1001}, "/words"),
            ({"words": WORDS, "threshold": 0.5}, "/threshold"),
            ({"words": WORDS, "limit": 0}, "/limit"),
            ({"words": WORDS, "limit": 101}, "/limit"),
            ({"words": WORDS, "limit": "3"}, "/limit"),
            ({"words": WORDS, "category": "skirt"}, "/category"),
            ({"words": WORDS, "category": [7]}, "/category/0"),
            ({"words": WORDS, "category": [""]}, "/category/0"),
            ({"words": WORDS, "colour": ["red"] * 21}, "/colour"),
            ({"words": WORDS, "crops": "yes"}, "/crops"),
            ({"words": WORDS, "box_xyxy": [1, 2, 3, 4]}, "/box_xyxy"),
            ({"garment": []}, "/garment"),
            ({"garment": NEAR, "vocabulary": ["hat"]}, "/vocabulary"),
            ({"image": B64}, "/image"),
            ({"image": IMAGE, "box_xyxy": [1, 2, 3]}, "/box_xyxy"),
            ({"image": IMAGE, "box_xyxy": [1, 2, 3, "4"]}, "/box_xyxy/3"),
            ({"image": IMAGE, "box_xyxy": "1,2,3,4"}, "/box_xyxy"),
            ({"images": []}, "/images"),
            ({"queries": []}, "/queries"),
            ({"queries": {}}, "/queries"),
            ({"queries": [7]}, "/queries/0"),
            ({"queries": [{"words": WORDS}, {}]}, "/queries/1"),
            ({"queries": [{"words": WORDS, "garment": NEAR}]}, "/queries/0"),
            ({"queries": [{"words": 7}]}, "/queries/0/words"),
            ({"queries": [{"words": WORDS, "limit": 3}]}, "/queries/0/limit"),
            ({"queries": [{"image": {"url": 7}}]}, "/queries/0/image/url"),
        ],
    )
    def test_what_is_wrong_is_told_where_it_is(self, gateway: Gateway, body: Any, pointer: str) -> None:  # noqa: ANN401
        response = gateway.post("/v1/search", content=json.dumps(body), headers=_json(gateway))
        refused(response, 422, "invalid")
        assert any(one["pointer"] == pointer for one in response.json()["errors"]), response.text
        assert gateway.fake.asked == []

    def test_what_is_asked_for_is_told_where_nothing_is(self, gateway: Gateway) -> None:
        told = refused(gateway.post("/v1/search", json={"text": WORDS}), 422, "invalid")
        assert told.endswith("Say what to look for by one of: words, garment, image, images, queries.")
        told = refused(gateway.post("/v1/search", json={"words": WORDS, "garment": NEAR}), 422, "invalid")
        assert told.endswith("; the request has words and garment.")
        refused(gateway.post("/v1/search", content=b"{", headers=_json(gateway)), 400, "bad-request")
        refused(gateway.post("/v1/search", content=b"words=skirt"), 415, "media-type")

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ({"words": WORDS}, "/words"),
            ({"box_xyxy": ["1", "2", "3"]}, "/box_xyxy"),
            ({"box_xyxy": ["1", "2", "3", "x"]}, "/box_xyxy/3"),
            ({"limit": ["1", "2"]}, "more than once"),
        ],
    )
    def test_a_form_that_is_not_as_documented_is_told(self, gateway: Gateway, data: dict[str, Any], words: str) -> None:
        response = gateway.post("/v1/search", files={"image": ("a.png", PHOTO)}, data=data)
        assert words in refused(response, 422, "invalid")

    def test_names_that_no_garment_has_are_told_with_those_that_there_are(self, gateway: Gateway) -> None:
        for body, words in (
            ({"words": WORDS, "category": ["rat"]}, "It has: bag, wallet; shirt, blouse."),
            ({"words": WORDS, "colour": ["mauve"]}, "The commonest are: red; blue; white."),
            ({"garment": "12"}, "'12' is no garment's ID"),
            ({"garment": "0000000000000001-0"}, "has no garment 0000000000000001-0"),
            ({"image": IMAGE, "box_xyxy": [9, 9, 3, 3]}, "empty or reversed"),
            ({"image": IMAGE, "box_xyxy": [1, 1, 9, 9], "detector": "dinox"}, "nobody has to detect"),
        ):
            response = gateway.post("/v1/search", json=body)
            if "detector" in body:
                refused(response, 501, "not-offered")
                continue
            assert words in refused(response, 422, "option"), body

    def test_what_the_server_says_is_told_as_elsewhere(self, gateway: Gateway) -> None:
        gateway.fake.error = OptionError("The text has 99 tokens, at most 77 are taken.")
        assert "at most 77" in refused(gateway.post("/v1/search", json={"words": "word " * 90}), 422, "option")
        gateway.fake.error = OverloadedError("10.0.0.7 is full.")
        refused(gateway.post("/v1/search", json={"image": IMAGE}), 503, "overloaded")


def _json(gateway: Gateway) -> dict[str, str]:
    return {**gateway.headers, "Content-Type": "application/json"}


class TestScopes:
    def test_it_needs_its_own_scope_and_no_other(self, gateway: Gateway) -> None:
        body = {"image": IMAGE}
        others = gateway.key_for(*(scope for scope in Scope if scope is not Scope.SEARCH))
        assert "the scope search" in refused(gateway.post("/v1/search", json=body, headers=others), 403, "forbidden")
        assert gateway.post("/v1/search", json=body, headers=gateway.key_for(Scope.SEARCH)).status_code == 200
        refused(gateway.post("/v1/search", json=body, headers={}), 401, "unauthorized")

    def test_who_may_cost_nothing_is_answered_by_the_servers_own_detector(self, place: Path, tmp_path: Path) -> None:
        cloud = ScriptedDinoX(find=lambda _phrases, _size: [found("shoe")])
        with scripted_dinox(cloud):
            parts = Parts(FakeClient(), None, DinoX(dinox_settings(cloud)), None, None)
            options: dict[str, Any] = {"catalogue": SecretStr(str(place)), "detector": "dinox"}
            with Gateway(tmp_path, parts=parts, **options) as own:
                poor = own.key_for(Scope.SEARCH)
                body = {"image": IMAGE, "detector": "dinox"}
                refused(own.post("/v1/search", json=body, headers=poor), 403, "forbidden")
                free = own.post("/v1/search", json={"image": IMAGE}, headers=poor).json()
                assert [one["query"]["text"] for one in free["found"]] == ["shirt", "shoe"]
                paid = own.post("/v1/search", json={"image": IMAGE}).json()
                assert [one["query"]["text"] for one in paid["found"]] == ["shoe"]
                boxed = own.post("/v1/search", json={"image": IMAGE, "box_xyxy": [1, 1, 9, 9]}).json()
                assert [one["query"]["kind"] for one in boxed["found"]] == ["box"]


class TestWithout:
    def test_a_catalogue_there_is_no_search(self, tmp_path: Path) -> None:
        with Gateway(tmp_path) as own:
            told = refused(own.post("/v1/search", json={"words": WORDS}), 501, "not-offered")
        assert "pip install 'fashioncrop[catalogue]'" in told

    def test_one_that_is_made_later_is_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(searching, "_LOOK_AGAIN_S", 0.0)
        with reachable_folder() as folder, Gateway(tmp_path, catalogue=SecretStr(str(folder))) as own:
            told = refused(own.post("/v1/search", json={"words": WORDS}), 503, "no-catalogue")
            assert told.endswith("The gateway's operator fills it: fashioncrop index FOLDER.")
            assert [words.partition(" at ")[0] for words in own.warnings] == ["There is no catalogue"]
            assert list(folder.iterdir()) == [], "asking makes none"
            fill(folder, [])
            refused(own.post("/v1/search", json={"image": IMAGE}), 503, "no-catalogue")
            assert own.fake.asked == [], "no photo is looked at for nothing"
            fill(folder, [entry("/later.jpg", planted(0, at_angle(0, 512)), model=MODEL)])
            assert sources(answer_of(own, image=IMAGE, vocabulary=["hat"])) == [["later.jpg"]]

    def test_the_models_that_made_it_nothing_is_compared(self, gateway: Gateway) -> None:
        gateway.fake.model = MODEL.model_copy(update={"digest": "sha256:2", "name": "other-clip"})
        try:
            response = gateway.post("/v1/search", json={"words": WORDS})
            assert "cannot be searched just now" in refused(response, 503, "unavailable")
            assert "other-clip" not in response.text
            assert gateway.fake.asked == []
            assert gateway.post("/v1/search", json={"garment": NEAR}).status_code == 200, "needs no server"
        finally:
            gateway.fake.model = MODEL

    def test_its_database_it_is_started_again(self, gateway: Gateway, place: Path) -> None:
        answer_of(gateway, words=WORDS)
        process = int((place / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(process, signal.SIGKILL)
        eventually(lambda: not is_alive(process))
        statuses = [gateway.post("/v1/search", json={"words": WORDS}).status_code for _ in range(6)]
        assert statuses[-1] == 200
        assert set(statuses) <= {200, 503}, "a connection that was just used may be tried once more"


def test_an_address_where_nobody_is_keeps_the_gateway_from_starting_if_it_was_named() -> None:
    settings = Settings(catalogue=SecretStr("postgresql://jo:PLANTED@127.0.0.1:1/shop"))

    async def open_() -> None:
        async with searching.open_finder(settings, lambda _words: None):
            pass

    with pytest.raises(CatalogueError, match=r"127\.0\.0\.1:1/shop is not reached"):
        asyncio.run(open_())


def test_the_default_one_is_found_and_what_is_wrong_with_it_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []

    async def has_photos() -> bool | None:
        async with searching.open_finder(Settings(), told.append) as finder:
            return None if finder is None else await finder.has_photos()

    with reachable_folder() as folder:
        monkeypatch.setenv("FASHIONCROP_STATE", str(folder))
        assert asyncio.run(has_photos()) is False
        assert told == [], "nobody has asked for one"
        (folder / "catalogue").mkdir()
        fill(folder / "catalogue", entries(tmp_path))
        assert asyncio.run(has_photos()) is True
        version = folder / "catalogue" / "data" / "PG_VERSION"
        eventually(lambda: not _is_held(folder / "catalogue" / "server.lock"))
        version.write_text("15\n")
        assert asyncio.run(has_photos()) is False
        assert "made by PostgreSQL 15" in told[0]
        version.write_text("18\n")


def test_without_the_extra_there_is_no_search_and_a_named_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    async def opened(settings: Settings) -> bool:
        async with searching.open_finder(settings, lambda _words: None) as finder:
            return finder is not None

    assert asyncio.run(opened(Settings())) is False
    with pytest.raises(OptionError, match=r"pip install 'fashioncrop\[catalogue\]'"):
        asyncio.run(opened(Settings(catalogue=SecretStr("/some/where"))))


def test_the_database_stops_with_the_gateway(tmp_path: Path) -> None:
    with reachable_folder() as folder:
        fill(folder, entries(tmp_path))
        with Gateway(tmp_path, catalogue=SecretStr(str(folder))) as own:
            answer_of(own, words=WORDS)
            assert _is_held(folder / "server.lock")
        eventually(lambda: not _is_held(folder / "server.lock"))
