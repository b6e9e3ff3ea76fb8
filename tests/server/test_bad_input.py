"""Each bad input gets a clear error, and costs no neighbour its answer."""

from __future__ import annotations

import math
import struct
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tritonclient import grpc

from fashioncrop import Client
from fashioncrop._embedded.server import EmbeddedServer
from fashioncrop.errors import FetchError, InputError, OptionError, PhotoError
from fashioncrop.model_repository import PIPELINE

pytestmark = [pytest.mark.server, pytest.mark.export]


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is this large and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (b"hello, this is text", "not an image"),
        (png_of(30_000, 30_000), "30000 x 30000"),
        (png_of(100, 100), "damaged|cut short"),
    ],
)
def test_what_is_no_photo_is_a_photo_error(client: Client, photo: bytes, words: str) -> None:
    with pytest.raises(PhotoError, match=words):
        client.analyze(photo)


def test_a_truncated_jpeg_is_a_photo_error(client: Client, photographs: dict[str, bytes]) -> None:
    with pytest.raises(PhotoError, match="damaged or cut short"):
        client.analyze(photographs["rocket"][:50_000])


def test_empty_and_oversized_files_are_refused_here_and_by_the_server(client: Client, server: EmbeddedServer) -> None:
    for data in (b"", b"x" * 70_000_000):
        with pytest.raises(PhotoError):
            client.analyze(data)
        with grpc.InferenceServerClient(server.grpc_url) as connection:
            photo = grpc.InferInput("image", [1], "BYTES")
            photo.set_data_from_numpy(np.asarray([data], np.object_))
            with pytest.raises(grpc.InferenceServerException, match=r"empty|at most 33554432") as caught:
                connection.infer(PIPELINE, [photo])
            assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_a_request_is_of_a_photo_or_of_texts(server: EmbeddedServer, photographs: dict[str, bytes]) -> None:
    def tensor(name: str, data: bytes) -> grpc.InferInput:
        made = grpc.InferInput(name, [1], "BYTES")
        made.set_data_from_numpy(np.asarray([data], np.object_))
        return made

    photo, texts = tensor("image", photographs["coffee"]), tensor("texts", b"a red hat")
    with grpc.InferenceServerClient(server.grpc_url) as connection:
        for sent, output, words in (
            ([], "scores", "The photo is missing: scores cannot be answered without `image`"),
            ([], "text_embeddings", "`texts` is missing"),
            ([texts], "analysis", "The photo is missing"),
            ([photo, texts], "text_embeddings", "`image` and `texts` were both sent"),
        ):
            with pytest.raises(grpc.InferenceServerException, match=words) as caught:
                connection.infer(PIPELINE, sent, outputs=[grpc.InferRequestedOutput(output)])
            assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
        only = [grpc.InferRequestedOutput("text_embeddings")]
        assert connection.infer(PIPELINE, [texts], outputs=only).as_numpy("text_embeddings").shape == (1, 512)


@pytest.mark.parametrize("mode", ["L", "CMYK", "I;16", "P", "RGBA", "LA", "1"])
def test_every_kind_of_pixel_is_answered(
    client: Client, encoded: Callable[..., bytes], noise: Callable[[int, int], Image.Image], mode: str
) -> None:
    image = noise(60, 40)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    answer = client.analyze(encoded(image, "TIFF" if mode == "CMYK" else "PNG"), score_threshold=0.0, max_garments=2)
    assert len(answer.garments) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"vocabulary": []}, "vocabulary is empty"),
        ({"vocabulary": ["shirt", ""]}, "Phrase 1 .* is empty"),
        ({"vocabulary": ["shirt. pants"]}, "end a phrase"),
        ({"vocabulary": ["치마"]}, "no word that the text encoder knows"),
        ({"vocabulary": [f"phrase {n}" for n in range(1001)]}, "at most 1000"),
        ({"vocabulary": ["x" * 10_000]}, "tokens|no word"),
        ({"score_threshold": math.nan}, "from 0 to 1"),
        ({"score_threshold": -0.1}, "from 0 to 1"),
        ({"score_threshold": 1.1}, "from 0 to 1"),
        ({"iou_threshold": math.inf}, "from 0 to 1"),
        ({"crop_padding": -1}, "from 0 to 1"),
        ({"max_garments": 0}, "from 1 to 300"),
        ({"max_garments": 301}, "from 1 to 300"),
        ({"boxes_xyxy": [[600, 600, 700, 700]], "box_phrases": ["a"]}, "no part inside the photo"),
        ({"boxes_xyxy": [[50, 50, 40, 60]], "box_phrases": ["a"]}, "no part inside the photo"),
        ({"boxes_xyxy": [[math.nan, 0, 9, 9]], "box_phrases": ["a"]}, "no part inside the photo"),
        ({"boxes_xyxy": [[0, 0, 9, 9]]}, "as many phrases; got none"),
        ({"boxes_xyxy": [[0, 0, 9, 9]], "box_phrases": ["a"], "box_scores": [2]}, "numbers from 0 to 1"),
        ({"boxes_xyxy": [[0, 0, 9]], "box_phrases": ["a"]}, "boxes_xyxy"),
        ({"box_phrases": ["a"]}, "boxes_xyxy"),
    ],
)
def test_a_bad_option_is_an_option_error(
    client: Client, photographs: dict[str, bytes], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        client.analyze(photographs["coffee"], **options)


def test_a_vocabulary_may_repeat_itself(client: Client, photographs: dict[str, bytes]) -> None:
    answer = client.analyze(
        photographs["coffee"], vocabulary=["shirt", "Shirt.", "hat", "shirt"], score_threshold=0.0, max_garments=50
    )
    assert answer.vocabulary == ("shirt", "Shirt.", "hat", "shirt")
    assert {garment.phrase_id for garment in answer.garments} <= {0, 2}


def test_a_vocabulary_that_is_not_utf8_is_refused(server: EmbeddedServer, photographs: dict[str, bytes]) -> None:
    with grpc.InferenceServerClient(server.grpc_url) as connection:
        photo = grpc.InferInput("image", [1], "BYTES")
        photo.set_data_from_numpy(np.asarray([photographs["coffee"]], np.object_))
        words = grpc.InferInput("vocabulary", [1], "BYTES")
        words.set_data_from_numpy(np.asarray([b"\xff\xfe"], np.object_))
        with pytest.raises(grpc.InferenceServerException, match="not UTF-8"):
            connection.infer(PIPELINE, [photo, words])


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/a.jpg", "https://10.0.0.1/a.jpg", "http://example.com/a.jpg", "https://[::1]/a.jpg"]
)
def test_unsafe_urls_never_reach_the_server(client: Client, url: str) -> None:
    with pytest.raises(FetchError):
        client.analyze(url)


def test_many_bad_requests_at_a_time_do_not_bring_the_server_down(server: EmbeddedServer) -> None:
    """Without the client's repeats, which would hide it."""
    with grpc.InferenceServerClient(server.grpc_url) as connection:
        photo = grpc.InferInput("image", [1], "BYTES")
        photo.set_data_from_numpy(np.asarray([b"hello"], np.object_))

        def ask(_: int) -> str:
            with pytest.raises(grpc.InferenceServerException) as caught:
                connection.infer(PIPELINE, [photo])
            return str(caught.value.status())

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(2000))) == {"StatusCode.INVALID_ARGUMENT"}


def test_a_web_page_cannot_load_a_model(server: EmbeddedServer) -> None:
    """What a browser sends from any page without asking first. Loading a model runs its code."""
    for address in ("repository/models/evil/load", "repository/index", "systemsharedmemory/region/x/register"):
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{server.http_url}/v2/{address}", b"{}", {"Content-Type": "text/plain", "Origin": "https://evil.example"}
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)  # noqa: S310 - loopback
        caught.value.close()
        assert caught.value.code == 403


def test_a_bad_request_costs_no_neighbour_its_answer(client: Client, photographs: dict[str, bytes]) -> None:
    good = client.analyze(photographs["coffee"], max_garments=3)

    def ask(number: int) -> str:
        try:
            answer = client.analyze(b"not a photo" if number % 2 else photographs["coffee"], max_garments=3)
        except InputError:
            return "refused"
        return "same" if [g.box_xyxy for g in answer.garments] == [g.box_xyxy for g in good.garments] else "other"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(ask, range(24)))
    assert outcomes == ["same", "refused"] * 12
