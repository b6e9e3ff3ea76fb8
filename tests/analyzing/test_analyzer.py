"""The flow around the server: who is asked, who is not, and what stands when somebody fails."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fashioncrop._client import AnalyzeOptions, AsyncClient
from fashioncrop._fetch import FetchLimits
from fashioncrop._sources import Photo, Source, read_photo
from fashioncrop.analyzing import Analyzer, Mode
from fashioncrop.describing import CropToDescribe, Described, DescriberSettings, NamedGarments
from fashioncrop.dinox import CloudDetections
from fashioncrop.errors import BudgetError, CredentialError, FashionCropError, OptionError, OverloadedError
from fashioncrop.results import Analysis, Colour, Crop, Depth, Description, Garment, PhotoInfo, Usage
from fashioncrop.storing import open_store

RED = Image.new("RGB", (20, 10), "red")


def encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


PHOTO = encoded(RED)


class Server(AsyncClient):
    """Finds one garment for each phrase or box."""

    def __init__(self) -> None:  # nothing is connected
        self.asked: list[dict[str, Any]] = []
        self.models = "one"

    async def read(self, source: Source) -> Photo:
        return await read_photo(source, limits=FetchLimits())

    async def server_identity(self) -> str:
        return json.dumps({"models": self.models, "vocabulary": ["shirt", "hat"]})

    async def analyze_photo(self, photo: Photo, **options: Any) -> Analysis:  # noqa: ANN401 - as they come
        self.asked.append(options)
        phrases = options.get("box_phrases", options.get("vocabulary", ["shirt", "hat"]))
        crop = photo.data if options.get("crops", True) else None
        garments = tuple(
            Garment(
                id=index,
                phrase=phrase,
                phrase_id=index,
                category=None,
                score=0.5,
                box_xyxy=(0, 0, 5, 5),
                crop=Crop(box_xyxy=(0, 0, 5, 5), jpeg=crop),
                depth=Depth(median=1, spread=0, order=1),
                colours=(Colour(hex="#ff0000", name="red", share=1),),
                flags=(),
                overlapped_by=(),
            )
            for index, phrase in enumerate(phrases)
        )
        info = PhotoInfo(name=photo.name, width=20, height=10, format="PNG")
        return Analysis(
            photo=info, vocabulary=tuple(phrases), garments=garments, models=(), warnings=(), timings_ms={"total": 3.0}
        )


def usage_of(model: str, calls: int = 1) -> Usage:
    return Usage(
        model=model, calls=calls, input_tokens=100, cached_input_tokens=0, output_tokens=10, dollars=0.001 * calls
    )


def description_of(sentence: str) -> Description:
    nothing = dict.fromkeys(("type", "pattern", "material", "sleeve", "neckline", "length", "fit"), "not visible")
    return Description(**nothing, colours=(), details=(), sentence=sentence)


class Words:
    """Describes everything, except what it is told to fail at."""

    def __init__(self, error: FashionCropError | None = None, *, without: Sequence[str] = ()) -> None:
        self.settings = DescriberSettings(base_url="http://localhost:1/v1")
        self.error, self.without = error, without
        self.described: list[list[str]] = []
        self.named = 0
        self.names: tuple[str, ...] = ("red cap", "boot")

    async def describe(self, crops: Sequence[CropToDescribe]) -> Described:
        self.described.append([crop.phrase for crop in crops])
        if self.error is not None:
            raise self.error
        problems = {crop.id: "No usable description." for crop in crops if crop.phrase in self.without}
        good = {crop.id: description_of(f"A fine {crop.phrase}") for crop in crops if crop.id not in problems}
        return Described(good, problems, usage_of("words"))

    async def name_garments(self, photo: bytes) -> NamedGarments:
        assert photo
        self.named += 1
        return NamedGarments(self.names, (), usage_of("words"))


class Cloud:
    """A detector elsewhere."""

    identity = "cloud 1"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def detect(self, photo: bytes, vocabulary: Sequence[str]) -> CloudDetections:
        assert photo
        self.asked.append(list(vocabulary))
        return CloudDetections(
            np.asarray([[1, 1, 4, 4]], np.float32), ["hat"], np.asarray([0.9], np.float32), "cloud", ("7",), ("Odd.",)
        )


class Memory:
    """A cache."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def set(self, key: str, value: bytes) -> None:
        self.kept[key] = value


async def analyzed(analyzer: Analyzer, photo: bytes = PHOTO) -> Analysis:
    return (await analyzer.analyze(photo))[0]


async def test_off_asks_the_server_alone() -> None:
    server = Server()
    answer = await analyzed(Analyzer(server, options=AnalyzeOptions(max_garments=3)))
    assert server.asked == [{"max_garments": 3}]
    assert answer.cost is None
    assert not answer.cached
    assert {"total", "request"} == set(answer.timings_ms)


async def test_hybrid_describes_every_garment_and_counts_what_it_took() -> None:
    words = Words()
    answer = await analyzed(Analyzer(Server(), mode=Mode.HYBRID, describer=words, options=AnalyzeOptions(crops=False)))
    assert words.described == [["shirt", "hat"]]
    sentences = [garment.description.sentence for garment in answer.garments if garment.description]
    assert sentences == ["A fine shirt", "A fine hat"]
    assert answer.cost is not None
    assert answer.cost.dollars == pytest.approx(0.001)
    assert "describe" in answer.timings_ms


async def test_vision_looks_for_what_the_large_model_named() -> None:
    server, words = Server(), Words()
    answer = await analyzed(Analyzer(server, mode=Mode.VISION, describer=words))
    assert server.asked[0]["vocabulary"] == ["red cap", "boot"]
    assert [garment.phrase for garment in answer.garments] == ["red cap", "boot"]
    assert answer.cost is not None
    assert [(usage.model, usage.calls) for usage in answer.cost.usages] == [("words", 2)]


async def test_a_photo_in_which_nothing_is_worn_is_an_answer() -> None:
    server, words = Server(), Words()
    words.names = ()
    answer = await analyzed(Analyzer(server, mode=Mode.VISION, describer=words))
    assert answer.garments == ()
    assert server.asked[0]["boxes_xyxy"].shape == (0, 4)
    assert words.described == []


async def test_another_detector_finds_and_the_server_measures() -> None:
    server, cloud = Server(), Cloud()
    answer = await analyzed(Analyzer(server, detector=cloud, options=AnalyzeOptions(score_threshold=0.4)))
    assert cloud.asked == [["shirt", "hat"]], "the server's own vocabulary"
    assert server.asked[0]["box_phrases"] == ["hat"]
    assert "score_threshold" not in server.asked[0]
    assert answer.warnings == ("Odd.",)
    await analyzed(Analyzer(server, detector=cloud, options=AnalyzeOptions(vocabulary=["cape"])))
    assert cloud.asked[1] == ["cape"]


async def test_a_describer_that_fails_leaves_the_rest_of_the_answer() -> None:
    words = Words(OverloadedError("No more calls now."))
    memory = Memory()
    answer = await analyzed(Analyzer(Server(), mode=Mode.HYBRID, describer=words, cache=memory))
    assert [garment.description_problem for garment in answer.garments] == ["No more calls now."] * 2
    assert answer.warnings == ("No garment was described: No more calls now.",)
    words.error = None
    again = await analyzed(Analyzer(Server(), mode=Mode.HYBRID, describer=words, cache=memory))
    assert all(garment.description for garment in again.garments), "a failure is not kept"


@pytest.mark.parametrize("error", [BudgetError("b"), CredentialError("c"), OptionError("o")])
async def test_what_every_photo_would_fail_of_is_raised(error: FashionCropError) -> None:
    with pytest.raises(type(error)):
        await analyzed(Analyzer(Server(), mode=Mode.HYBRID, describer=Words(error)))


async def test_a_garment_without_a_description_keeps_its_reason_and_is_asked_for_again() -> None:
    words, memory = Words(without=["hat"]), Memory()
    analyzer = Analyzer(Server(), mode=Mode.HYBRID, describer=words, cache=memory)
    answer = await analyzed(analyzer)
    assert [garment.description_problem for garment in answer.garments] == [None, "No usable description."]
    await analyzed(analyzer)
    assert len(words.described) == 2


class TestCache:
    async def test_the_second_time_nobody_is_asked_and_the_answer_is_the_same(self) -> None:
        server, words, cloud, memory = Server(), Words(), Cloud(), Memory()
        analyzer = Analyzer(server, mode=Mode.VISION, describer=words, detector=cloud, cache=memory)
        first, second = await analyzed(analyzer), await analyzed(analyzer)
        assert (len(server.asked), words.named, len(words.described), len(cloud.asked)) == (1, 1, 1, 1)
        assert (first.cached, second.cached) == (False, True)
        assert second.cost is None
        changed = {"cached", "cost", "timings_ms"}
        assert second.model_dump(exclude=changed) == first.model_dump(exclude=changed)
        assert [garment.crop.jpeg for garment in second.garments] == [garment.crop.jpeg for garment in first.garments]
        assert set(second.timings_ms) <= {"request", "describe"}, "not what the first answer took"

    @pytest.mark.parametrize("what", ["photo", "models", "options", "detector"])
    async def test_another_question_is_asked(self, what: str) -> None:
        server, memory, cloud = Server(), Memory(), Cloud()
        await analyzed(Analyzer(server, detector=cloud, cache=memory))
        photo, options = PHOTO, AnalyzeOptions()
        if what == "photo":
            photo = encoded(RED.resize((21, 10)))
        elif what == "models":
            server.models = "two"
        elif what == "options":
            options = AnalyzeOptions(max_garments=1)
        else:
            cloud.identity = "cloud 2"
        answer = await analyzed(Analyzer(server, options=options, detector=cloud, cache=memory), photo)
        assert not answer.cached
        assert len(server.asked) == 2

    @pytest.mark.parametrize("change", [{"model": "other"}, {"detail": "high"}, {"language": "French"}])
    async def test_another_describer_is_asked_and_the_server_is_not(self, change: dict[str, Any]) -> None:
        server, words, memory = Server(), Words(), Memory()
        await analyzed(Analyzer(server, mode=Mode.HYBRID, describer=words, cache=memory))
        words.settings = DescriberSettings(base_url="http://localhost:1/v1", **change)
        answer = await analyzed(Analyzer(server, mode=Mode.HYBRID, describer=words, cache=memory))
        assert (len(server.asked), len(words.described)) == (1, 2)
        assert not answer.cached

    async def test_a_new_prompt_never_answers_from_the_old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        words, memory = Words(), Memory()
        analyzer = Analyzer(Server(), mode=Mode.VISION, describer=words, cache=memory)
        await analyzed(analyzer)
        monkeypatch.setattr("fashioncrop.analyzing.kept.PROMPT_VERSION", "new")
        await analyzed(analyzer)
        assert (words.named, len(words.described)) == (1, 2)
        monkeypatch.setattr("fashioncrop.analyzing.kept.NAMING_VERSION", "new")
        await analyzed(analyzer)
        assert (words.named, len(words.described)) == (2, 2)

    async def test_what_is_kept_and_damaged_is_asked_again(self) -> None:
        server, words, memory = Server(), Words(), Memory()
        analyzer = Analyzer(server, mode=Mode.VISION, describer=words, cache=memory)
        first = await analyzed(analyzer)
        for key in memory.kept:
            memory.kept[key] = b"fc1\nnothing"
        second = await analyzed(analyzer)
        assert not second.cached
        assert [g.description for g in second.garments] == [g.description for g in first.garments]
        assert words.named == 2


async def test_what_is_stored_has_its_url_and_what_is_not_is_told(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    answer = await analyzed(Analyzer(Server(), store=store, options=AnalyzeOptions(crops=False), cache=Memory()))
    assert all(garment.crop.url for garment in answer.garments)
    assert len(list((tmp_path / "store" / "crops").rglob("*.jpg"))) == 1, "two garments of one crop"
    assert answer.warnings == ()
    (tmp_path / "full").write_text("a file in the way")
    answer = await analyzed(Analyzer(Server(), store=open_store(tmp_path / "full")))
    assert [garment.crop.url for garment in answer.garments] == [None, None]
    assert "objects are not stored" in answer.warnings[0]


def test_parts_that_do_not_go_together_are_told() -> None:
    boxes = AnalyzeOptions(boxes_xyxy=[[0, 0, 1, 1]], box_phrases=["hat"])
    with pytest.raises(OptionError, match="needs a describer"):
        Analyzer(Server(), mode=Mode.HYBRID)
    with pytest.raises(OptionError, match="chooses the vocabulary"):
        Analyzer(Server(), mode=Mode.VISION, describer=Words(), options=AnalyzeOptions(vocabulary=["hat"]))
    with pytest.raises(OptionError, match="nobody has to detect"):
        Analyzer(Server(), detector=Cloud(), options=boxes)
    with pytest.raises(OptionError, match="nobody has to detect"):
        Analyzer(Server(), mode=Mode.VISION, describer=Words(), options=boxes)


async def test_many_photos_at_a_time_do_not_mix() -> None:
    words = Words()
    analyzer = Analyzer(Server(), mode=Mode.HYBRID, describer=words, cache=Memory())
    photos = [encoded(RED.resize((20 + index, 10))) for index in range(20)]
    answers = await asyncio.gather(*(analyzed(analyzer, photo) for photo in photos))
    assert [answer.cost and answer.cost.usages[0].calls for answer in answers] == [1] * 20
    assert [garment.crop.jpeg for answer in answers for garment in answer.garments][::2] == photos
