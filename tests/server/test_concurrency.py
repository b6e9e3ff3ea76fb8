"""The answer for a photo is the same alone or beside any others, and a full server says so at once."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient import grpc

from fashioncrop import Analysis, Client
from fashioncrop._embedded.control import Control, Health
from fashioncrop._embedded.server import EmbeddedServer
from fashioncrop.errors import DeadlineError, OverloadedError
from fashioncrop.model_repository import PIPELINE

pytestmark = [pytest.mark.server, pytest.mark.export]

TOLERANCE = 1e-5

VOCABULARIES: list[dict[str, Any]] = [
    {},
    {"vocabulary": ["shirt", "red leather bag", "hat"]},
    {"vocabulary": ["person"]},
    {"vocabulary": [f"shirt {letter} {number}" for letter in "abcdefgh" for number in range(12)]},
]


def assert_same(one: Analysis, other: Analysis) -> None:
    assert [garment.phrase for garment in one.garments] == [garment.phrase for garment in other.garments]
    for left, right in zip(one.garments, other.garments, strict=True):
        np.testing.assert_allclose(left.box_xyxy, right.box_xyxy, atol=TOLERANCE)
        np.testing.assert_allclose(left.score, right.score, atol=TOLERANCE)
        np.testing.assert_allclose(left.embedding, right.embedding, atol=TOLERANCE)  # type: ignore[arg-type]
        np.testing.assert_allclose(left.depth.median, right.depth.median, atol=TOLERANCE)
        assert left.crop.jpeg == right.crop.jpeg
        assert left.colours == right.colours
        assert left.flags == right.flags


def test_sixteen_clients_get_the_answers_of_one_alone(client: Client, photographs: dict[str, bytes]) -> None:
    work = [(name, number) for name in photographs for number in range(len(VOCABULARIES))]

    def ask(item: tuple[str, int]) -> Analysis:
        name, number = item
        return client.analyze(photographs[name], score_threshold=0.1, max_garments=6, **VOCABULARIES[number])

    alone = {item: ask(item) for item in work}
    assert any(answer.garments for answer in alone.values()), "or nothing would be compared"
    mixture = work * 4
    random.Random(7).shuffle(mixture)
    with ThreadPoolExecutor(16) as pool:
        for item, answer in zip(mixture, pool.map(ask, mixture), strict=True):
            assert_same(alone[item], answer)


@pytest.fixture
def small_server(own_repository: Path, start: Callable[[Path], EmbeddedServer]) -> EmbeddedServer:
    """One photo at a time, two in all."""
    config = own_repository / PIPELINE / "config.pbtxt"
    text = config.read_text()
    for key, value in (("workers", 1), ("max_in_flight", 2)):
        text, count = re.subn(rf'(key: "{key}" value {{ string_value: )"\d+"', rf'\1"{value}"', text)
        assert count == 1
    config.write_text(text)
    return start(own_repository)


def test_a_full_server_turns_away_and_a_patient_client_is_served(
    small_server: EmbeddedServer, photographs: dict[str, bytes]
) -> None:
    def ask(patience_s: float) -> str:
        with Client(small_server.grpc_url, timeout_s=patience_s) as client:
            try:
                client.analyze(photographs["coffee"], max_garments=1)
            except (OverloadedError, DeadlineError) as error:
                return type(error).__name__
            return "answered"

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(ask, [60.0] * 12)) == {"answered"}, "turned away, and back later"
    with grpc.InferenceServerClient(small_server.grpc_url) as connection:
        photo = grpc.InferInput("image", [1], "BYTES")
        photo.set_data_from_numpy(np.asarray([photographs["coffee"]], np.object_))

        def impatient(_: int) -> str:
            try:
                connection.infer(PIPELINE, [photo])
            except grpc.InferenceServerException as error:
                return f"{error.status()}: {error.message()}"
            return "answered"

        with ThreadPoolExecutor(12) as pool:
            outcomes = list(pool.map(impatient, range(12)))
    turned_away = [outcome for outcome in outcomes if outcome != "answered"]
    assert 0 < len(turned_away) < len(outcomes)
    assert all(o.startswith("StatusCode.UNAVAILABLE") and "2 photos in flight" in o for o in turned_away)


def test_a_full_server_is_not_taken_for_dead(small_server: EmbeddedServer, photographs: dict[str, bytes]) -> None:
    state = small_server.state
    assert state is not None
    metadata = grpc.InferenceServerClient(state.grpc_url).get_server_metadata()
    control = Control(state.grpc_url, metadata.name)
    assert control.is_live()
    assert not Control(state.grpc_url, "another").is_live()
    with Client(small_server.grpc_url, timeout_s=60) as client, ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(client.analyze, photographs["coffee"], max_garments=1) for _ in range(40)]
        seen = [control.probe(PIPELINE, timeout_s=5)[0] for _ in range(10)]
        assert all(one.result() for one in waiting)
    assert Health.DEAD not in seen
    control.close()


def test_a_cancelled_request_stops_its_work(small_server: EmbeddedServer, photographs: dict[str, bytes]) -> None:
    """A vocabulary of many passes asks the detector many times; after a cancel it must not."""
    with grpc.InferenceServerClient(small_server.grpc_url) as connection:

        def detections() -> int:
            return int(connection.get_inference_statistics("garment_detector").model_stats[0].inference_count)

        photo = grpc.InferInput("image", [1], "BYTES")
        photo.set_data_from_numpy(np.asarray([photographs["astronaut"]], np.object_))
        many = [f"shirt {a} {b} {c}" for a in "abcdefgh" for b in "abcdefgh" for c in "abcdefgh"]
        words = grpc.InferInput("vocabulary", [len(many)], "BYTES")
        words.set_data_from_numpy(np.asarray([word.encode() for word in many], np.object_))
        connection.infer(PIPELINE, [photo, words])
        before = detections()
        connection.infer(PIPELINE, [photo, words])
        passes = detections() - before
        assert passes > 8

        answered = threading.Event()
        before = detections()
        call = connection.async_infer(PIPELINE, [photo, words], callback=lambda **_: answered.set())
        while detections() < before + 2:
            time.sleep(0.005)
        call.cancel()
        assert answered.wait(10)
        time.sleep(1)
        stopped = detections()
        assert stopped < before + passes
        time.sleep(1)
        assert detections() == stopped, "nothing goes on behind a cancelled request"
        connection.infer(PIPELINE, [photo])
