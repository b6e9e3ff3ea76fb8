"""The flow of a request, with the four models played by a few lines of arithmetic.

The fake models take and give only what the configurations declare, so that the flow is held to them as well.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from categories import DEFAULT_VOCABULARY
from fake_models import (
    BLUE_BOX,
    DEPTH,
    DETECTOR,
    EMBEDDER,
    ENCODER,
    EVERYTHING,
    RED_BOX,
    UNKNOWN,
    WIDTH,
    WORDS,
    FakeModels,
    Tensors,
    assert_declared,
    save_sentence_tokenizer,
    write_engine,
)
from fashioncrop.model_repository import PIPELINE
from identity import ENGINES, TEXT_EMBEDDER
from photo import Limits
from pipeline import EMBED_BATCH, FashionPipeline, Settings
from problems import Code, ProblemError
from stopwatch import Stopwatch

Encoded = Callable[..., bytes]

PATIENCE_S = 10


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for role in (*ENGINES, TEXT_EMBEDDER):
        write_engine(tmp_path, role)
    save_sentence_tokenizer(tmp_path / TEXT_EMBEDDER / "1")
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / ENCODER / "1" / "tokenizer.json"))
    return tmp_path


@pytest.fixture
def fake() -> FakeModels:
    return FakeModels({"red": (RED_BOX, 3), "blue": (BLUE_BOX, 2)})


def settings(**changes: int) -> Settings:
    options: dict[str, Any] = {
        "kept_vocabularies": 4,
        "max_vocabulary_phrases": 300,
        "max_vocabulary_passes": 3,
        "workers": 2,
        "embedding_width": WIDTH,
    }
    return Settings(limits=Limits(max_bytes=1_000_000, max_pixels=1_000_000), **options | changes)


@pytest.fixture
def pipeline(repository: Path, fake: FakeModels) -> Iterator[FashionPipeline]:
    made = FashionPipeline(repository, settings(), fake)
    yield made
    made.close()


@pytest.fixture(scope="module")
def photo(encoded: Encoded) -> bytes:
    image = Image.new("RGB", (100, 80), "white")
    image.paste("red", RED_BOX)
    image.paste("blue", BLUE_BOX)
    return encoded(image, "PNG")


def texts(*values: bytes | str) -> NDArray[Any]:
    array = np.empty(len(values), np.object_)
    array[:] = [value.encode() if isinstance(value, str) else value for value in values]
    return array


def request(photo: bytes, *phrases: str, **more: NDArray[Any]) -> Tensors:
    return {"image": texts(photo)} | ({"vocabulary": texts(*phrases)} if phrases else {}) | more


def given(photo: bytes, *boxes: tuple[float, ...], **more: NDArray[Any]) -> Tensors:
    return request(
        photo,
        boxes_xyxy=np.asarray(boxes, np.float32).reshape(-1, 4),
        box_phrases=texts(*[f"thing {index}" for index in range(len(boxes))]),
        **more,
    )


def never() -> bool:
    return False


def ask(pipeline: FashionPipeline, tensors: Tensors, *wanted: str) -> Tensors:
    names = frozenset(wanted or EVERYTHING)
    answer = pipeline.answer(tensors, names, never, Stopwatch())
    assert answer.keys() == names
    assert_declared(PIPELINE, "output", answer)
    return answer


def analysis_of(answer: Tensors) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    (document,) = answer["analysis"]
    found: dict[str, Any] = json.loads(document, parse_constant=refuse)
    return found


def test_one_photo_gives_every_garment_with_all_that_is_known_of_it(pipeline: FashionPipeline, photo: bytes) -> None:
    answer = ask(pipeline, request(photo, "blue hat", "Red  Shirt."))
    np.testing.assert_allclose(answer["boxes_xyxy"], [RED_BOX, BLUE_BOX], atol=1e-4)
    np.testing.assert_allclose(answer["scores"], [1 / (1 + np.e**-3), 1 / (1 + np.e**-2)], atol=1e-6)
    assert answer["phrase_ids"].tolist() == [1, 0]
    assert answer["phrases"].tolist() == [b"Red  Shirt.", b"blue hat"]
    crop = Image.open(io.BytesIO(answer["crops"][0]))
    assert crop.size == (40 + 2 * 2, 60 + 2 * 3), "a twentieth is added on every side"
    np.testing.assert_allclose(answer["embeddings"][:, 0] > answer["embeddings"][:, 2], [True, False])
    assert answer["depth_medians"][0] < answer["depth_medians"][1]

    analysis = analysis_of(answer)
    assert analysis["photo"] == {"width": 100, "height": 80, "format": "PNG"}
    assert analysis["vocabulary"] == ["blue hat", "Red  Shirt."], "as it was sent"
    red, blue = analysis["garments"]
    assert (red["id"], red["phrase"], red["phrase_id"]) == (0, "Red  Shirt.", 1)
    assert blue["category"] == {"id": 14, "name": "hat", "supercategory": "head"}
    assert red["score"] == pytest.approx(float(answer["scores"][0]))
    assert red["box_xyxy"] == pytest.approx(RED_BOX, abs=1e-4)
    assert red["crop_box_xyxy"] == [8, 7, 52, 73]
    assert red["depth"]["median"] == pytest.approx(float(answer["depth_medians"][0]))
    assert (red["depth"]["order"], blue["depth"]["order"]) == (2, 1)
    assert red["depth"]["spread"] > 0
    assert (red["colours"][0]["hex"], blue["colours"][0]["hex"]) == ("#ff0000", "#0000ff")
    assert blue["flags"] == ["too_small", "blurred"]
    assert red["overlapped_by"] == blue["overlapped_by"] == []
    assert analysis["warnings"] == []


def test_every_stage_is_timed(pipeline: FashionPipeline, photo: bytes) -> None:
    timings_ms = analysis_of(ask(pipeline, request(photo, "red")))["timings_ms"]
    stages = {"queue", "decode", "encode_text", "detect", "depth", "crop", "embed", "measure"}
    assert set(timings_ms) == {*stages, "total"}
    assert all(0 <= timings_ms[stage] <= timings_ms["total"] for stage in stages)


@pytest.mark.parametrize(
    ("wanted", "called"),
    [
        ({"boxes_xyxy"}, [DETECTOR, ENCODER]),
        ({"scores", "phrases", "phrase_ids"}, [DETECTOR, ENCODER]),
        ({"crops"}, [DETECTOR, ENCODER]),
        ({"embeddings"}, [DETECTOR, EMBEDDER, ENCODER]),
        ({"depth_medians"}, [DEPTH, DETECTOR, ENCODER]),
        ({"depth_map"}, [DEPTH, DETECTOR, ENCODER]),
        ({"analysis"}, [DEPTH, DETECTOR, ENCODER]),
        (EVERYTHING, [DEPTH, DETECTOR, EMBEDDER, ENCODER]),
    ],
)
def test_what_nobody_wants_is_not_computed(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes, wanted: frozenset[str], called: list[str]
) -> None:
    ask(pipeline, request(photo, "red"), *wanted)
    assert fake.called == sorted(called)


def test_the_identity_alone_reads_no_photo_and_changes_with_a_model(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes, repository: Path
) -> None:
    identity = ask(pipeline, {}, "identity")["identity"]
    assert fake.called == []
    models = [one["role"] for one in json.loads(identity[0])["models"]]
    assert models == [ENCODER, DETECTOR, DEPTH, EMBEDDER, TEXT_EMBEDDER]
    assert ask(pipeline, request(photo, "red"), "identity", "scores")["identity"] == identity
    assert ask(FashionPipeline(repository, settings(), fake), {}, "identity")["identity"] == identity
    write_engine(repository, EMBEDDER, digest="sha256:another")
    assert ask(FashionPipeline(repository, settings(), fake), {}, "identity")["identity"] != identity


def test_texts_are_embedded_without_a_photo_as_many_at_a_time_as_the_model_takes(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes
) -> None:
    wanted = ["red hat", *["blue"] * EMBED_BATCH]
    embeddings = ask(pipeline, {"texts": texts(*wanted)}, "text_embeddings", "identity")["text_embeddings"]
    start, end = len(WORDS), len(WORDS) + 1
    assert embeddings[0, :4].tolist() == [start, WORDS.index("red"), WORDS.index("hat"), end]
    assert embeddings[1, :4].tolist() == [start, WORDS.index("blue"), end, end]
    assert embeddings[-1, :3].tolist() == [start, WORDS.index("blue"), end]
    assert [len(inputs["input_ids"]) for inputs in fake.inputs_of(TEXT_EMBEDDER)] == [EMBED_BATCH, 1]
    assert fake.called == [TEXT_EMBEDDER] * 2
    for no_text in ({"texts": texts()}, request(photo, "red")):
        assert ask(pipeline, no_text, "text_embeddings")["text_embeddings"].shape == (0, WIDTH)
    assert fake.called == [TEXT_EMBEDDER] * 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("red", " "), "Text 1 of `texts` is empty"),
        (("red " * 7,), "Text 0 of `texts` has 9 tokens, .* at most 8"),
        (("red",) * 257, "at most 256"),
        ((b"\xff",), "Element 0 of `texts` is not UTF-8"),
    ],
)
def test_texts_that_cannot_be_read_are_refused(
    pipeline: FashionPipeline, fake: FakeModels, given: tuple[str | bytes, ...], words: str
) -> None:
    with pytest.raises(ProblemError, match=words) as caught:
        ask(pipeline, {"texts": texts(*given)}, "text_embeddings")
    assert caught.value.code is Code.INVALID_ARG
    assert fake.called == []


@pytest.mark.parametrize(
    ("sent", "wanted", "words"),
    [
        (set(), {"text_embeddings"}, "^`texts` is missing"),
        (set(), {"text_embeddings", "identity"}, "^`texts` is missing"),
        (set(), {"scores"}, "^The photo is missing: scores cannot be answered without `image`"),
        (set(), {"identity", "crops", "analysis"}, "^The photo is missing: analysis, crops cannot"),
        ({"texts"}, {"text_embeddings", "embeddings"}, "^The photo is missing: embeddings cannot"),
        ({"vocabulary"}, {"analysis"}, "^The photo is missing: analysis cannot"),
        ({"image", "texts"}, {"text_embeddings"}, "^`image` and `texts` were both sent"),
        ({"image", "texts"}, {"scores"}, "^`image` and `texts` were both sent"),
        ({"image", "texts"}, EVERYTHING, "^`image` and `texts` were both sent"),
    ],
)
def test_a_request_is_of_a_photo_or_of_texts(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes, sent: set[str], wanted: set[str], words: str
) -> None:
    possible = {"image": texts(photo), "texts": texts("red"), "vocabulary": texts("red")}
    with pytest.raises(ProblemError, match=words) as caught:
        ask(pipeline, {name: possible[name] for name in sent}, *wanted)
    assert caught.value.code is Code.INVALID_ARG
    assert fake.called == []


def test_without_a_vocabulary_the_default_one_is_looked_for(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes
) -> None:
    fake.finds = {"shoe": (RED_BOX, 3)}
    answer = ask(pipeline, request(photo))
    assert answer["phrases"].tolist() == [b"shoe"]
    assert analysis_of(answer)["vocabulary"] == list(DEFAULT_VOCABULARY)
    assert analysis_of(answer)["garments"][0]["category"]["id"] == 23


def test_text_features_of_a_vocabulary_are_kept(pipeline: FashionPipeline, fake: FakeModels, photo: bytes) -> None:
    for _ in range(2):
        ask(pipeline, request(photo, "red", "blue"), "scores")
    ask(pipeline, request(photo, " RED", "blue."), "scores")
    assert fake.called == [DETECTOR] * 3 + [ENCODER], "what is read as the same is computed once"
    first = fake.inputs_of(DETECTOR)
    assert first[0]["text_features"] is first[2]["text_features"]
    ask(pipeline, request(photo, "blue", "red"), "scores")
    assert fake.called.count(ENCODER) == 2, "another order, other phrase ids"


def test_a_long_vocabulary_takes_several_passes_that_are_joined(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes
) -> None:
    phrases = [f"word{index} pants" for index in range(120)]  # three tokens each with the full stop
    fake.finds = {"word119": (RED_BOX, 3), "word2": (BLUE_BOX, 2), "word50": ((0, 70, 100, 80), 1)}
    answer = ask(pipeline, request(photo, *phrases))
    assert fake.called.count(ENCODER) == fake.called.count(DETECTOR) == 2
    assert max(one["input_ids"].shape[1] for one in fake.inputs_of(ENCODER)) <= 256
    assert answer["phrase_ids"].tolist() == [119, 2, 50]
    assert answer["phrases"].tolist() == [b"word119 pants", b"word2 pants", b"word50 pants"]
    np.testing.assert_allclose(answer["boxes_xyxy"][:2], [RED_BOX, BLUE_BOX], atol=1e-4)


def test_a_vocabulary_of_too_many_passes_is_refused_before_any_model_runs(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes
) -> None:
    phrases = [f"word{index} " + "pants " * 99 for index in range(8)]  # two fit into a pass
    with pytest.raises(ProblemError, match=r"needs 4 runs of the detector.* at most 3"):
        ask(pipeline, request(photo, *phrases))
    assert fake.called.count(ENCODER) == fake.called.count(DETECTOR) == 0


def test_a_box_found_in_two_passes_is_one_garment(pipeline: FashionPipeline, fake: FakeModels, photo: bytes) -> None:
    phrases = [f"word{index} pants" for index in range(120)]
    fake.finds = {"word119": (RED_BOX, 2), "word2": (RED_BOX, 3)}
    assert ask(pipeline, request(photo, *phrases), "phrase_ids")["phrase_ids"].tolist() == [2]


def test_given_boxes_skip_detection_and_keep_the_callers_order(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes
) -> None:
    scores = np.asarray([0.1, 0.9], np.float32)
    answer = ask(pipeline, given(photo, BLUE_BOX, RED_BOX, box_scores=scores))
    assert fake.called == [DEPTH, EMBEDDER]
    assert answer["boxes_xyxy"].tolist() == [list(BLUE_BOX), list(RED_BOX)]
    assert answer["scores"].tolist() == scores.tolist(), "no threshold: the caller chose"
    assert answer["phrases"].tolist() == [b"thing 0", b"thing 1"]
    assert answer["phrase_ids"].tolist() == [0, 1]
    assert [one["colours"][0]["hex"] for one in analysis_of(answer)["garments"]] == ["#0000ff", "#ff0000"]


def test_given_boxes_alone_need_no_model(pipeline: FashionPipeline, fake: FakeModels, photo: bytes) -> None:
    answer = ask(pipeline, given(photo, RED_BOX), "scores", "crops", "boxes_xyxy")
    assert fake.called == []
    assert answer["scores"].tolist() == [1]


def test_given_boxes_are_limited_too(pipeline: FashionPipeline, photo: bytes) -> None:
    answer = ask(pipeline, given(photo, RED_BOX, BLUE_BOX, max_garments=np.asarray([1], np.int32)))
    assert answer["boxes_xyxy"].tolist() == [list(RED_BOX)]
    assert len(answer["crops"]) == len(answer["embeddings"]) == len(analysis_of(answer)["garments"]) == 1


@pytest.mark.parametrize("how", ["nothing is found", "no box is given"])
def test_no_garment_is_an_answer_of_the_same_ranks(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes, how: str
) -> None:
    fake.finds = {}
    answer = ask(pipeline, request(photo, "red") if how == "nothing is found" else given(photo))
    empty = {name: array.shape for name, array in answer.items() if name not in {"analysis", "depth_map", "identity"}}
    assert empty == {
        "boxes_xyxy": (0, 4),
        "scores": (0,),
        "phrase_ids": (0,),
        "phrases": (0,),
        "crops": (0,),
        "embeddings": (0, WIDTH),
        "depth_medians": (0,),
        "text_embeddings": (0, WIDTH),
    }
    assert analysis_of(answer)["garments"] == []
    assert answer["depth_map"].size > 0
    assert EMBEDDER not in fake.called


@pytest.mark.parametrize(
    ("count", "chunks"), [(1, [1]), (EMBED_BATCH, [EMBED_BATCH]), (2 * EMBED_BATCH + 3, [EMBED_BATCH, EMBED_BATCH, 3])]
)
def test_crops_are_embedded_in_stacks(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes, count: int, chunks: list[int]
) -> None:
    boxes = [BLUE_BOX if index % 3 else RED_BOX for index in range(count)]
    answer = ask(pipeline, given(photo, *boxes), "embeddings")
    assert [len(one["image"]) for one in fake.inputs_of(EMBEDDER)] == chunks
    is_red = answer["embeddings"][:, 0] > answer["embeddings"][:, 2]
    assert is_red.tolist() == [index % 3 == 0 for index in range(count)], "in the order of the boxes"


@pytest.mark.parametrize(
    ("after", "called"),
    [
        (None, []),
        (ENCODER, [ENCODER, ENCODER]),
        (DETECTOR, [DETECTOR, ENCODER, ENCODER]),
        (EMBEDDER, [DETECTOR, DETECTOR, EMBEDDER, ENCODER, ENCODER]),
    ],
)
def test_a_cancelled_request_calls_no_further_model(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes, after: str | None, called: list[str]
) -> None:
    phrases = ["red", *(f"word{index} pants" for index in range(120))]  # two passes

    def is_cancelled() -> bool:
        return after is None or after in fake.called

    with pytest.raises(ProblemError) as caught:
        pipeline.answer(request(photo, *phrases), frozenset({"embeddings"}), is_cancelled, Stopwatch())
    assert caught.value.code is Code.CANCELLED
    assert fake.called == sorted(called)


@pytest.mark.parametrize("role", ENGINES)
def test_a_failing_models_problem_reaches_the_caller(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes, role: str
) -> None:
    problem = ProblemError(Code.UNAVAILABLE, f"The model {role} is not serving just now.")

    def fail() -> None:
        raise problem

    fake.before[role] = fail
    with pytest.raises(ProblemError) as caught:
        pipeline.answer(request(photo, "red"), EVERYTHING, never, Stopwatch())
    assert caught.value is problem
    fake.before.clear()
    assert len(analysis_of(ask(pipeline, request(photo, "red")))["garments"]) == 1, "and nothing is left of it"


def test_work_on_depth_that_nobody_awaits_any_more_is_dropped(repository: Path, fake: FakeModels, photo: bytes) -> None:
    pipeline = FashionPipeline(repository, settings(workers=1), fake)
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)

    fake.before[DEPTH] = wait
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, pipeline, request(photo, "red"))
        assert begun.wait(PATIENCE_S)
        with pytest.raises(ProblemError, match="no word that the text encoder knows"):
            # Its depth waits for the first request's; the failure does not.
            pipeline.answer(request(photo, "unheard"), EVERYTHING, never, Stopwatch())
        assert not first.done()
        go_on.set()
        assert len(first.result(PATIENCE_S)["scores"]) == 1
    pipeline.close()
    assert fake.called.count(DEPTH) == 1


@pytest.mark.parametrize(
    ("detected", "wanted", "roles"),
    [
        (True, {"analysis"}, [ENCODER, DETECTOR, DEPTH]),
        (True, {"analysis", "embeddings"}, [ENCODER, DETECTOR, DEPTH, EMBEDDER]),
        (False, {"analysis"}, [DEPTH]),
        (False, {"analysis", "embeddings"}, [DEPTH, EMBEDDER]),
    ],
)
def test_an_answer_names_the_models_that_took_part(
    pipeline: FashionPipeline, photo: bytes, wanted: set[str], roles: list[str], *, detected: bool
) -> None:
    tensors = request(photo, "red") if detected else given(photo, RED_BOX)
    identities = analysis_of(ask(pipeline, tensors, *wanted))["models"]
    assert [one["role"] for one in identities] == roles
    assert identities[0] == {
        "role": roles[0],
        "name": f"someone/{roles[0]}",
        "version": "abc",
        "digest": f"sha256:{roles[0]}",
        "variant": "",
        "source": "full",
        "trained": True,
        "domain": None,
    }


def test_untrained_models_that_took_part_are_warned_of(fake: FakeModels, photo: bytes, repository: Path) -> None:
    for role in (DEPTH, EMBEDDER):
        write_engine(repository, role, trained=False)
    pipeline = FashionPipeline(repository, settings(), fake)
    warning = "depth_estimator has random weights: what it says means nothing."
    assert analysis_of(ask(pipeline, request(photo, "red"), "analysis"))["warnings"] == [warning]
    assert len(analysis_of(ask(pipeline, request(photo, "red")))["warnings"]) == 2


def test_models_of_a_narrow_domain_are_warned_of(fake: FakeModels, photo: bytes, repository: Path) -> None:
    for role in (DETECTOR, DEPTH):
        write_engine(repository, role, domain="drawn scenes")
    pipeline = FashionPipeline(repository, settings(), fake)
    analysis = analysis_of(ask(pipeline, request(photo, "red"), "analysis"))
    warning = f"{DETECTOR}, {DEPTH}: trained on drawn scenes only. Of photographs, what they say means little."
    assert analysis["warnings"] == [warning]
    assert [one["domain"] for one in analysis["models"]] == [None, "drawn scenes", "drawn scenes"]


def test_an_export_beside_a_running_server_does_not_change_what_it_says_of_itself(
    pipeline: FashionPipeline, photo: bytes, repository: Path
) -> None:
    write_engine(repository, DETECTOR, digest="sha256:not served yet", name="somebody else")
    models = analysis_of(ask(pipeline, request(photo, "red"), "analysis"))["models"]
    assert "sha256:not served yet" not in {one["digest"] for one in models}


def test_a_model_that_answers_nan_never_gets_into_the_answer(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes
) -> None:
    fake.finds = {"red": (RED_BOX, np.nan), "blue": (BLUE_BOX, 2)}
    answer = ask(pipeline, request(photo, "red", "blue"))
    assert answer["phrases"].tolist() == [b"blue"]
    assert [one["phrase"] for one in analysis_of(answer)["garments"]] == ["blue"]


def test_a_depth_of_nan_is_a_failure_and_not_an_answer(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        return {"depth": np.full(inputs["image"].shape[:3], np.nan, np.float32)}

    monkeypatch.setattr(fake, "_depth", unknown)
    with pytest.raises(ValueError, match="JSON"):
        pipeline.answer(request(photo, "red"), EVERYTHING, never, Stopwatch())


def test_thresholds_and_limits_are_the_requests(pipeline: FashionPipeline, fake: FakeModels, photo: bytes) -> None:
    def share(value: float) -> NDArray[np.float32]:
        return np.asarray([value], np.float32)

    def found(**options: NDArray[Any]) -> list[int]:
        ids: list[int] = ask(pipeline, request(photo, "red", "blue", "hat", **options), "phrase_ids")[
            "phrase_ids"
        ].tolist()
        return ids

    fake.finds = {"red": (RED_BOX, 3), "blue": (BLUE_BOX, 2), "hat": (RED_BOX, -2)}
    assert found() == [0, 1]
    assert found(score_threshold=share(0.9)) == [0]
    assert found(score_threshold=share(0.05), iou_threshold=share(1)) == [0, 1, 2]
    assert found(max_garments=np.asarray([1], np.int32)) == [0]
    (crop,) = ask(pipeline, request(photo, "red", crop_padding=share(0)), "crops")["crops"]
    assert Image.open(io.BytesIO(crop)).size == (40, 60)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": texts(b"a", b"b")}, "`image` must hold one photo; got 2"),
        ({"image": texts(b"no photo")}, "^The photo"),
        ({"score_threshold": np.asarray([2], np.float32)}, "`score_threshold`"),
        ({"vocabulary": texts(b"\xff")}, "not UTF-8"),
        ({"boxes_xyxy": np.zeros((1, 4), np.float32)}, "Send one of the two"),
    ],
)
def test_a_wrong_request_is_refused_before_any_model_is_asked(
    pipeline: FashionPipeline, fake: FakeModels, photo: bytes, changes: Tensors, words: str
) -> None:
    with pytest.raises(ProblemError, match=words) as caught:
        pipeline.answer(request(photo, "red") | changes, EVERYTHING, never, Stopwatch())
    assert caught.value.code is Code.INVALID_ARG
    assert fake.called == []


def test_an_engine_that_is_missing_is_told_before_the_first_request(repository: Path, fake: FakeModels) -> None:
    (repository / DEPTH / "1" / "model.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"depth_estimator.*run fashioncrop-export"):
        FashionPipeline(repository, settings(), fake)


def test_the_answer_is_the_same_alone_and_among_others(pipeline: FashionPipeline, photo: bytes) -> None:
    def garments(phrase: str) -> Any:  # noqa: ANN401 - JSON
        return analysis_of(ask(pipeline, request(photo, phrase)))["garments"]

    phrases = ["red", "blue", "red hat", "blue hat"]
    alone = [garments(phrase) for phrase in phrases]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(garments, phrases * 4)) == alone * 4
