"""DINO-X, asked over real sockets of a service that plays its API by script: what is sent and what comes back."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import SecretStr

from asked_dinox import PHOTO, detect, one, picture, settings
from fashioncrop.dinox import DinoX, DinoXSettings
from fashioncrop.dinox.answers import MOST_BOXES, merged, read_result
from fashioncrop.dinox.photo import SentPhoto, prepare
from fashioncrop.dinox.prompts import as_sent, prompts
from fashioncrop.errors import (
    OptionError,
    PhotoError,
)
from scripted_dinox import (
    CREATE,
    KEY,
    STATUS,
    ScriptedDinoX,
    scripted_dinox,
    state,
)


@pytest.fixture
def service() -> Iterator[ScriptedDinoX]:
    with scripted_dinox() as running:
        yield running


# --- what is sent and what comes back ---------------------------------------------------------------------------------


async def test_a_photo_and_phrases_become_boxes_for_the_pipeline(service: ScriptedDinoX) -> None:
    service.find = lambda _phrases, _size: [one("pants", (0, 20, 60.5, 40), 0.4), one("shirt")]
    found = await detect(service)
    assert found.boxes_xyxy.dtype == found.scores.dtype == np.float32
    assert found.boxes_xyxy.tolist() == [[10, 5, 30, 35], [0, 20, 60, 40]], "best first, cut at the photo's edge"
    assert found.phrases == ["shirt", "pants"]
    assert found.scores.tolist() == pytest.approx([0.9, 0.4])
    assert (found.model, found.warnings, len(found.tasks)) == ("DINO-X-1.0", (), 1)
    created = service.created()[0]
    assert created.path == CREATE
    assert created.headers["token"] == KEY
    assert created.headers["content-type"] == "application/json"
    assert {name: created.body[name] for name in created.body if name != "image"} == {
        "model": "DINO-X-1.0",
        "prompt": {"type": "text", "text": "shirt.pants"},
        "targets": ["bbox"],
        "bbox_threshold": 0.25,
        "iou_threshold": 0.8,
    }
    assert created.body["image"].startswith("data:image/jpeg;base64,")
    assert [request.path for request in service.asked()] == [STATUS + found.tasks[0]] * 2
    assert "idempotency-key" not in service.asked()[0].headers


async def test_nothing_found_is_an_answer(service: ScriptedDinoX) -> None:
    found = await detect(service)
    assert found.boxes_xyxy.shape == (0, 4)
    assert (found.phrases, found.scores.shape, found.warnings) == ([], (0,), ())


@pytest.mark.parametrize("result", [{"objects": []}, {"objects": None}])
async def test_no_objects_are_none(service: ScriptedDinoX, result: object) -> None:
    service.states.append(state("success", result=result))
    assert (await detect(service)).phrases == []


def marked(orientation: int) -> bytes:
    """300 x 200 as stored, red where the upright photo has its top left corner."""
    image = Image.new("RGB", (300, 200), (40, 40, 40))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "CAMERA OF SOMEBODY"
    image.paste((250, 30, 30), {1: (0, 0, 40, 40), 3: (260, 160, 300, 200), 6: (0, 160, 40, 200)}[orientation])
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize(("orientation", "size_wh"), [(1, (300, 200)), (3, (300, 200)), (6, (200, 300))])
async def test_the_photo_is_sent_upright_and_small_and_the_boxes_come_back_in_its_own_pixels(
    service: ScriptedDinoX, orientation: int, size_wh: tuple[int, int]
) -> None:
    service.find = lambda _phrases, size: [one("shirt", (0, 0, size[0] / 2, size[1] / 2))]
    found = await detect(service, photo=marked(orientation), max_side_px=100)
    sent = service.created()[0].image
    assert sent.format == "JPEG"
    assert max(sent.size) == 100
    assert sent.size[0] / sent.size[1] == pytest.approx(size_wh[0] / size_wh[1], rel=0.02)
    red, green, _ = sent.convert("RGB").getpixel((4, 4))  # type: ignore[misc]
    assert red > 2 * green, "the red corner is at the top left"
    assert found.boxes_xyxy[0].tolist() == pytest.approx([0, 0, size_wh[0] / 2, size_wh[1] / 2], abs=0.01)


async def test_nothing_but_pixels_is_sent(service: ScriptedDinoX) -> None:
    await detect(service, photo=marked(6))
    sent = service.created()[0].image
    assert not sent.getexif()
    assert b"SOMEBODY" not in json.dumps(service.created()[0].body).encode()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "I;16", "CMYK", "1"])
def test_every_kind_of_pixels_is_sent_as_jpeg(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (50, 30)).save(file, "TIFF" if mode == "CMYK" else "PNG")
    sent = prepare(file.getvalue(), max_side_px=64)
    assert sent.size_wh == sent.sent_wh == (50, 30)


def test_transparency_is_white() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(file, "PNG")
    data = prepare(file.getvalue(), max_side_px=64).data_url.partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(data))).getpixel((5, 5)) == (255, 255, 255)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(64, 512))
def test_whatever_its_shape_a_photo_fits(width: int, height: int, side: int) -> None:
    width, height = (width, min(height, 40)) if width > height else (min(width, 40), height)
    sent = prepare(picture(width, height), max_side_px=side)
    assert sent.size_wh == (width, height)
    assert max(sent.sent_wh) == min(side, max(width, height))
    assert min(sent.sent_wh) >= 1


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (b"", "not an image"),
        (b"hello", "not an image"),
        (PHOTO[:60], "damaged|not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
)
async def test_what_is_no_photo_is_not_sent(service: ScriptedDinoX, photo: bytes, words: str) -> None:
    with pytest.raises(PhotoError, match=words):
        await detect(service, photo=photo)
    assert not service.received


async def test_a_photo_of_very_many_pixels_is_refused_by_its_header(service: ScriptedDinoX) -> None:
    file = io.BytesIO()
    Image.new("1", (10_000, 8_950)).save(file, "PNG")
    with pytest.raises(PhotoError, match="pixels"):
        await detect(service, photo=file.getvalue())
    assert not service.received


# --- vocabulary and categories ----------------------------------------------------------------------------------------


async def test_categories_find_their_phrase_again(service: ScriptedDinoX) -> None:
    categories = ["t shirt", "SKIRT ", "button up", "no 1 vest", "skirt."]
    service.find = lambda _phrases, _size: [one(name) for name in categories]
    vocabulary = ["T.Shirt", "Skirt", "button up shirt", "No. 1  vest", "skirt"]
    found = await detect(service, vocabulary)
    assert service.created()[0].prompt == "t shirt.skirt.button up shirt.no 1 vest"
    assert found.phrases == ["T.Shirt", "Skirt", "button up shirt", "No. 1  vest", "Skirt"]
    assert found.warnings == ()


async def test_categories_that_are_no_phrase_are_left_out_and_told(service: ScriptedDinoX) -> None:
    names = ["person", "shirt pants", "\x1b[31m" + "x" * 80, "person", "jacket"]
    service.find = lambda _phrases, _size: [*(one(name) for name in names), one("shirt")]
    found = await detect(service, ["shirt", "pants", "leather jacket", "denim jacket"])
    assert found.phrases == ["shirt"]
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("DINO-X named 5 objects by words nobody asked for (person, shirt pants, ")
    assert "\x1b" not in found.warnings[0]


async def test_a_long_vocabulary_is_several_tasks_and_one_answer(service: ScriptedDinoX) -> None:
    service.find = lambda phrases, _size: [one(phrases[-1], score=len(phrases[-1]) / 20)]
    found = await detect(service, ["a", "bbb", "cc", "dddd", "e"], max_prompt_phrases=2)
    assert sorted(request.prompt for request in service.created()) == ["a.bbb", "cc.dddd", "e"]
    assert found.phrases == ["dddd", "bbb", "e"], "best first over all tasks"
    assert len(set(found.tasks)) == 3


async def test_of_very_many_objects_the_best_are_kept(service: ScriptedDinoX) -> None:
    service.find = lambda _phrases, _size: [one(score=index / 400) for index in range(400)]
    found = await detect(service)
    assert len(found.phrases) == MOST_BOXES
    assert found.scores.min() == pytest.approx(0.25)
    assert found.warnings == ("DINO-X found 400 objects; the best 300 are kept.",)


@pytest.mark.parametrize(
    "vocabulary", [[], "shirt", ["shirt", ""], ["..."], ["\ud800"], ["x" * 1001], [None], None, ["a"] * 10_001]
)
async def test_a_vocabulary_that_cannot_be_asked_for_is_not_sent(service: ScriptedDinoX, vocabulary: Any) -> None:  # noqa: ANN401
    async with DinoX(settings(service)) as dinox:
        with pytest.raises(OptionError, match=r"vocabulary"):
            await dinox.detect(PHOTO, vocabulary)
    assert not service.received


@given(st.lists(st.text(max_size=30).filter(as_sent), min_size=1, max_size=60), st.integers(1, 8), st.integers(30, 80))
def test_any_vocabulary_is_divided_without_loss(vocabulary: list[str], max_phrases: int, max_characters: int) -> None:
    vocabulary = [phrase for phrase in vocabulary if len(as_sent(phrase)) <= max_characters] or ["shirt"]
    parts = prompts(vocabulary, max_phrases=max_phrases, max_characters=max_characters)
    sent = [phrase for part in parts for phrase in part.text.split(".")]
    assert sent == list(dict.fromkeys(as_sent(phrase) for phrase in vocabulary)), "each once, in order"
    for part in parts:
        assert len(part.text) <= max_characters
        assert len(part.phrases) <= max_phrases
        assert "<" not in part.text
        for text, phrase in part.phrases.items():
            assert phrase in vocabulary
            assert part.phrase_of(text) == part.phrase_of(f" {text}. ") == phrase


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
BOX = st.lists(st.floats(-1e5, 1e5) | st.integers() | JSON, max_size=5)
OBJECT = st.fixed_dictionaries({"bbox": BOX | JSON, "score": st.floats(-0.1, 1.1) | JSON, "category": st.text() | JSON})


@given(st.lists(OBJECT | JSON, max_size=8), st.tuples(st.integers(1, 9000), st.integers(1, 9000)))
def test_whatever_is_answered_the_pipeline_can_take_it(objects: list[Any], size_wh: tuple[int, int]) -> None:
    photo = SentPhoto("", size_wh, (max(1, size_wh[0] // 3), max(1, size_wh[1] // 3)))
    (prompt,) = prompts(["shirt", "pants"], max_phrases=9, max_characters=99)
    result = read_result("t", {"objects": objects}, prompt, photo)
    found = merged([result], model="m")
    boxes = found.boxes_xyxy
    assert boxes.shape == (len(found.phrases), 4)
    assert found.scores.shape == (len(found.phrases),)
    assert set(found.phrases) <= {"shirt", "pants"}
    assert np.isfinite(boxes).all()
    assert (boxes >= 0).all()
    assert (boxes[:, 2:] <= np.asarray(size_wh)).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    assert len(found.phrases) + len(result.strange) + result.unreadable == len(objects)
    assert all(warning.isprintable() for warning in found.warnings)


async def test_objects_that_cannot_be_read_are_left_out_and_told(service: ScriptedDinoX) -> None:
    service.find = lambda _phrases, _size: [one(), one(box=(70, 5, 90, 35)), one(score="high"), {"category": "shirt"}]
    found = await detect(service)
    assert found.phrases == ["shirt"]
    assert found.warnings == ("3 of DINO-X's objects have no box inside the photo or no score; they are left out.",)


# --- the script itself ------------------------------------------------------------------------------------------------


async def test_the_scripted_service_runs_by_itself() -> None:
    script = Path(__file__).parents[1] / "scripted_dinox.py"
    objects = json.dumps([one(score=0.5)])
    command = [sys.executable, str(script), "--key", "k", "--objects", objects]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220 - it is waited for below
    try:
        assert process.stdout is not None
        url = (await asyncio.to_thread(process.stdout.readline)).strip()
        chosen = DinoXSettings(api_key=SecretStr("k"), base_url=url, poll_interval_s=0.01)
        async with DinoX(chosen) as dinox:
            assert (await dinox.detect(PHOTO, ["shirt"])).phrases == ["shirt"]
    finally:
        process.terminate()
        process.communicate(timeout=10)
