"""The model names what is worn: a vocabulary that a detector takes, repaired once, or an error that says what to do."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image

from fashioncrop.describing import Describer
from fashioncrop.describing.schema import NAMES_SCHEMA
from fashioncrop.errors import PhotoError, ServerFaultError
from scripted_answers import refusal, says
from scripted_openai import ScriptedOpenAI

Serve = Callable[..., ScriptedOpenAI]
Describe = Callable[..., Describer]


def listed(*names: object) -> object:
    return says({"garments": list(names)})


async def test_the_whole_photo_is_shown_small_and_named(
    serve: Serve, describer: Describe, jpeg: Callable[..., bytes]
) -> None:
    server = serve()
    named = await describer(server, language="French").name_garments(jpeg(2000, 1000))
    assert named.phrases == ("white shirt", "blue trousers")
    assert named.left_out == ()
    assert named.usage.calls == 1
    assert named.usage.dollars is not None
    [request] = server.requests
    assert request.details == ["low"]
    assert Image.open(io.BytesIO(request.images[0])).size == (512, 256)
    assert request.body["response_format"]["json_schema"] == {
        "name": "garment_names",
        "strict": True,
        "schema": NAMES_SCHEMA,
    }
    assert "French" not in request.text, "the detector reads English"


async def test_names_are_made_fit_for_a_detector(serve: Serve, describer: Describe, jpeg: Callable[..., bytes]) -> None:
    server = serve(listed(" White  Shirt. ", "white shirt", "HAT!", "jeans"))
    assert (await describer(server).name_garments(jpeg())).phrases == ("white shirt", "hat", "jeans")
    assert len(server.requests) == 1


async def test_a_photo_where_nothing_is_worn_has_no_names(
    serve: Serve, describer: Describe, jpeg: Callable[..., bytes]
) -> None:
    server = serve(listed())
    assert (await describer(server).name_garments(jpeg())).phrases == ()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (says("a shirt, I think"), "not JSON"),
        (says({"clothes": ["shirt"]}), "no list `garments`"),
        (refusal(), "refused"),
        (listed("a shirt. a hat"), "full stop or a question mark inside"),
        (listed("a very long and quite unusual winter coat"), "more than 6 words"),
        (listed(7, "hat"), "7 is not a phrase"),
        (listed(*(f"hat number {'x' * n}" for n in range(1, 24))), "one of more than 20 phrases"),
    ],
)
async def test_a_bad_answer_is_repaired_once(
    serve: Serve, describer: Describe, jpeg: Callable[..., bytes], bad: object, words: str
) -> None:
    server = serve(bad)
    named = await describer(server).name_garments(jpeg())
    assert named.phrases == ("white shirt", "blue trousers")
    assert named.usage.calls == 2
    assert words in server.requests[1].text


async def test_what_is_usable_of_two_bad_answers_is_used_and_the_rest_named(
    serve: Serve, describer: Describe, jpeg: Callable[..., bytes]
) -> None:
    server = serve(default=listed("shirt", "what. is this"))
    named = await describer(server).name_garments(jpeg())
    assert named.phrases == ("shirt",)
    assert named.left_out == ("what. is this has a full stop or a question mark inside",)
    server = serve(listed("shirt", "a. b"), says("nonsense"))
    assert (await describer(server).name_garments(jpeg())).phrases == ("shirt",)


async def test_two_useless_answers_are_an_error(serve: Serve, describer: Describe, jpeg: Callable[..., bytes]) -> None:
    server = serve(default=refusal("No."))
    with pytest.raises(ServerFaultError, match=r"refused: No\..*asked twice.*give a vocabulary"):
        await describer(server).name_garments(jpeg())
    assert len(server.requests) == 2


async def test_a_photo_that_cannot_be_read_is_not_sent(serve: Serve, describer: Describe) -> None:
    server = serve()
    with pytest.raises(PhotoError):
        await describer(server).name_garments(b"no photo")
    assert server.requests == []
