"""The same for every request: an id, limits, an answer in any case, and nothing told that should not be."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fashioncrop import errors
from fashioncrop.errors import (
    BudgetError,
    ContractError,
    CredentialError,
    DeadlineError,
    FashionCropError,
    FetchError,
    OptionError,
    OverloadedError,
    PhotoError,
    ServerFaultError,
    ServerUnavailableError,
    StorageError,
)
from fashioncrop.gateway import serving
from fashioncrop.gateway.problems import KINDS, problem_of
from fashioncrop.gateway.telling import JsonLines
from gateway_world import PHOTO, Gateway, eventually, refused

FILE = {"image": ("photo.png", PHOTO)}
SECRET = "PLANTED-0123456789"  # noqa: S105 - looked for where it must not be


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What the gateway writes into its log."""
    written: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(self.format(record))

    handler = Kept()
    handler.setFormatter(JsonLines())
    loggers = [logging.getLogger(name) for name in ("fashioncrop", "uvicorn")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    yield written
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("small"), rate_limit="1000000/minute", max_body_bytes=10_000) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "_HEAD_WITHIN_S", 0.3)
        patch.setattr(serving, "_REST_WITHIN_S", 0.3)
        patch.setattr(serving, "_IDLE_S", 1)
        with Gateway(tmp_path_factory.mktemp("hasty"), max_body_bytes=10_000) as running:
            yield running


@pytest.fixture(scope="module")
def open_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("open"), needs_keys=False) as running:
        yield running


class TestRequestId:
    def test_each_request_has_one_and_it_is_in_answer_and_log(self, gateway: Gateway, lines: list[str]) -> None:
        one, other = (gateway.get("/models/status") for _ in range(2))
        assert re.fullmatch(r"[0-9a-f]{16}", one.headers["x-request-id"])
        assert one.headers["x-request-id"] != other.headers["x-request-id"]
        eventually(lambda: any(one.headers["x-request-id"] in line for line in lines))

    def test_the_callers_own_is_kept(self, gateway: Gateway) -> None:
        own = "shop-1.A_b"
        response = gateway.post("/v1/detect", headers={**gateway.headers, "X-Request-Id": own})
        assert response.headers["x-request-id"] == own
        assert response.json()["request_id"] == own

    @pytest.mark.parametrize("given", ["a b", "a\tb", "<script>", "x" * 65, '"', "a;b=c"])
    def test_one_that_could_be_more_than_an_id_is_refused(self, gateway: Gateway, given: str) -> None:
        response = gateway.get("/health", headers={"X-Request-Id": given})
        assert "X-Request-Id must have" in refused(response, 400, "bad-request")
        assert given not in response.headers.values()

    @pytest.mark.parametrize(
        "head",
        [
            b"X-Request-Id: a\r\n Set-Cookie: stolen=1\r\n",
            b"X-Request-Id: a\rSet-Cookie: stolen=1\r\n",
            b"X-Request-Id: a\x00b\r\n",
            b"X-Request-Id : a\r\n",
            b"Content-Length: 5\r\nContent-Length: 6\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\nX-A: 1\r\nTransfer-Encoding: gzip\r\n",
            b"Content-Length: -1\r\n",
            b"X-Long: " + b"a" * 600_000 + b"\r\n",
        ],
    )
    def test_headers_within_headers_are_refused(self, hasty: Gateway, head: bytes) -> None:
        answer = hasty.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + head + b"Connection: close\r\n\r\n")
        status = answer.split(b" ", 2)[1]
        assert status.startswith(b"4"), answer
        assert b"stolen" not in answer
        assert answer.partition(b"\r\n\r\n")[2].endswith((b".", b"}")), "a sentence"


def test_every_answer_keeps_browsers_from_guessing(gateway: Gateway) -> None:
    for response in (gateway.get("/health"), gateway.get("/nothing"), gateway.post("/v1/detect", headers={})):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in response.headers


def test_what_is_not_there_or_not_done_is_told(gateway: Gateway) -> None:
    refused(gateway.get("/nothing"), 404, "not-found")
    refused(gateway.get("/v1/analyze/"), 404, "not-found")
    response = gateway.get("/v1/analyze")
    refused(response, 405, "method")
    assert response.headers["allow"] == "POST"
    assert gateway.client.options("/jobs/1").headers["allow"] == "DELETE, GET"
    refused(gateway.client.request("TRACE", "/health"), 405, "method")


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "status", "kind", "is_told"),
        [
            (PhotoError("The photo is odd."), 422, "photo", True),
            (FetchError("It is not there.", url="https://x"), 422, "fetch", True),
            (OptionError("`threshold` is odd."), 422, "option", True),
            (BudgetError("$5 are spent."), 402, "budget", False),
            (ServerUnavailableError("10.0.0.7:8001 is down."), 503, "unavailable", False),
            (OverloadedError("10.0.0.7:8001 is full."), 503, "overloaded", False),
            (DeadlineError("10.0.0.7:8001 is slow."), 504, "deadline", False),
            (CredentialError("10.0.0.7 refuses the key."), 502, "server-fault", False),
            (StorageError("s3://10.0.0.7 is full."), 502, "server-fault", False),
            (ServerFaultError("10.0.0.7 is on fire."), 502, "server-fault", False),
            (
                ContractError("10.0.0.7 is old.", model="m", tensor="t", expected="a", got="b"),
                502,
                "server-fault",
                False,
            ),
            (ValueError("10.0.0.7"), 500, "fault", False),
            (TimeoutError("10.0.0.7"), 500, "fault", False),
            (MemoryError("10.0.0.7"), 500, "fault", False),
        ],
    )
    def test_each_is_a_problem_and_what_the_caller_cannot_mend_is_in_the_log(
        self, gateway: Gateway, lines: list[str], error: Exception, status: int, kind: str, *, is_told: bool
    ) -> None:
        gateway.fake.error = error
        response = gateway.post("/v1/detect", files=FILE)
        detail = refused(response, status, kind)
        assert (str(error) == detail) == is_told
        assert "10.0.0.7" not in response.text
        logged = [line for line in lines if str(error) in line]
        assert len(logged) == (not is_told)
        assert all(response.headers["x-request-id"] in line for line in logged)
        assert ("retry-after" in response.headers) == (status == 503)

    def test_every_error_of_the_client_has_a_kind(self) -> None:
        kinds = [
            value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, FashionCropError)
        ]
        assert len(kinds) > 20
        for kind in kinds:
            problem = problem_of(kind.__new__(kind, "Words."), "id").problem()
            assert problem.type.rpartition(":")[2] in KINDS
            assert problem.detail

    def test_a_client_that_goes_away_harms_nobody(self, gateway: Gateway, lines: list[str]) -> None:
        gateway.fake.pause_s = 0.2
        with contextlib.suppress(httpx.ReadTimeout):
            gateway.post("/v1/detect", files=FILE, timeout=0.05)
        gateway.fake.pause_s = 0.0
        assert gateway.post("/v1/detect", files=FILE).status_code == 200
        assert not [line for line in lines if "traceback" in line]


class TestBodies:
    def head(self, gateway: Gateway, *lines: str) -> bytes:
        all_lines = ("POST /v1/detect HTTP/1.1", "Host: localhost", f"X-API-Key: {gateway.key}", *lines, "", "")
        return "\r\n".join(all_lines).encode()

    def test_one_that_says_it_is_too_large_is_not_waited_for(self, small: Gateway) -> None:
        start_s = time.monotonic()
        with socket.create_connection(("127.0.0.1", small.port), timeout=20) as connection:
            connection.sendall(self.head(small, "Content-Type: application/json", "Content-Length: 10001"))
            assert b" 413 " in connection.recv(65536)
        assert time.monotonic() - start_s < 15

    def test_a_hundred_megabytes_are_answered_and_not_kept(self, small: Gateway) -> None:
        body = b"x" * 100_000_000
        response = small.post("/v1/detect", content=body, headers={**small.headers, "Content-Type": "application/json"})
        assert "10000 bytes" in refused(response, 413, "too-large")

    def test_one_that_does_not_say_how_large_it_is_ends_at_the_limit(self, small: Gateway) -> None:
        pieces = [self.head(small, "Content-Type: application/json", "Transfer-Encoding: chunked")]
        pieces += [b"400\r\n" + b"a" * 1024 + b"\r\n"] * 12
        with socket.create_connection(("127.0.0.1", small.port), timeout=20) as connection:
            for piece in pieces:
                connection.sendall(piece)
            assert b" 413 " in connection.recv(65536)

    def test_of_a_form_too(self, small: Gateway) -> None:
        files = {"image": ("large.png", b"x" * 20_000)}
        refused(small.post("/v1/detect", files=files), 413, "too-large")

    def test_a_slow_one_is_not_waited_for(self, tmp_path: Path) -> None:
        start_s = time.monotonic()
        with (
            Gateway(tmp_path, body_timeout_s=0.4) as own,
            socket.create_connection(("127.0.0.1", own.port), timeout=20) as connection,
        ):
            connection.sendall(self.head(own, "Content-Type: application/json", "Content-Length: 100"))
            for _ in range(3):
                connection.sendall(b" ")
                time.sleep(0.05)
            answer = connection.recv(65536)
        assert b" 408 " in answer
        assert b"was not here within 0.4 s." in answer
        assert time.monotonic() - start_s < 15

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[1,", b"nothing", b"\xff\xfe{}", b'{"image": "\\ud800"}', b"[" * 9000]
    )
    def test_what_is_no_json_is_told(self, small: Gateway, body: bytes) -> None:
        headers = {**small.headers, "Content-Type": "application/json"}
        assert "not JSON" in refused(small.post("/v1/detect", content=body, headers=headers), 400, "bad-request")

    @pytest.mark.parametrize(
        "media", ["", "text/plain", "application/xml", "application/x-www-form-urlencoded", "json"]
    )
    def test_another_kind_of_body_is_not_guessed_at(self, small: Gateway, media: str) -> None:
        headers = {**small.headers, "Content-Type": media}
        assert "application/json" in refused(
            small.post("/v1/detect", content=b"{}", headers=headers), 415, "media-type"
        )

    @pytest.mark.parametrize(
        "body", [b"", b"--b", b"--b\r\n\r\n", b"no form", b'--b\r\nContent-Disposition: form-data; name="image"\r\n']
    )
    def test_a_broken_form_is_told(self, small: Gateway, body: bytes) -> None:
        headers = {**small.headers, "Content-Type": "multipart/form-data; boundary=b"}
        response = small.post("/v1/detect", content=body, headers=headers)
        assert response.status_code in {400, 422}, response.text
        refused(response, response.status_code, "bad-request" if response.status_code == 400 else "invalid")

    def test_a_part_with_an_endless_head_is_told(self, gateway: Gateway) -> None:
        body = b'--b\r\nContent-Disposition: form-data; name="' + b"a" * 5_000_000
        headers = {**gateway.headers, "Content-Type": "multipart/form-data; boundary=b"}
        refused(gateway.post("/v1/detect", content=body, headers=headers), 400, "bad-request")

    def test_a_form_without_its_boundary_is_told(self, small: Gateway) -> None:
        headers = {**small.headers, "Content-Type": "multipart/form-data"}
        refused(small.post("/v1/detect", content=b"x", headers=headers), 400, "bad-request")


class TestConnections:
    @pytest.mark.parametrize("sent", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nX-A: 1\r\n"])
    def test_a_head_that_does_not_come_ends_the_connection(self, hasty: Gateway, sent: bytes) -> None:
        start_s = time.monotonic()
        assert hasty.raw(sent) == b""
        assert time.monotonic() - start_s < 15

    def test_neither_does_a_second_one(self, hasty: Gateway) -> None:
        head = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
        answer = hasty.raw(head + b"\r\n" + head)
        assert answer.count(b"HTTP/1.1 200") == 1

    def test_a_body_that_nobody_wants_and_that_does_not_end_is_not_read_for_ever(self, hasty: Gateway) -> None:
        ended = threading.Event()
        with socket.create_connection(("127.0.0.1", hasty.port), timeout=20) as connection:
            connection.sendall(b"POST /v1/detect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                for _ in range(400):
                    connection.sendall(b"4\r\naaaa\r\n")
                    time.sleep(0.02)
            except OSError:
                ended.set()
        assert ended.is_set()

    def test_no_piece_of_an_answer_waits_for_word_of_the_one_before(self, gateway: Gateway) -> None:
        gateway.get("/health/live")
        connections = [one.transport.get_extra_info("socket") for one in gateway.server.server_state.connections]
        assert connections
        assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in connections)

    def test_requests_that_come_at_once_are_answered_in_turn(self, hasty: Gateway) -> None:
        one = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert hasty.raw(one * 3 + last).count(b'{"status":"ok"}') == 4


def test_more_than_the_gateway_works_on_are_turned_away_and_probes_are_not(tmp_path: Path) -> None:
    with Gateway(tmp_path, max_in_flight=2) as own:
        own.fake.pause_s = 1.0
        with contextlib.ExitStack() as stack:
            threads = [
                threading.Thread(target=own.post, args=("/v1/detect",), kwargs={"files": FILE}) for _ in range(2)
            ]
            for thread in threads:
                thread.start()
                stack.callback(thread.join)
            while len(own.fake.asked) < 2:
                time.sleep(0.01)
            response = own.post("/v1/detect", files=FILE)
            assert "works on 2 requests" in refused(response, 503, "overloaded")
            assert response.headers["retry-after"] == "1"
            assert own.get("/health/ready").status_code == 200
            assert "fashioncrop_gateway_in_flight 2.0" in own.get("/metrics").text
        own.fake.pause_s = 0
        assert own.post("/v1/detect", files=FILE).status_code == 200


def test_more_than_memory_holds_is_turned_away(tmp_path: Path) -> None:
    """Eight bodies of the largest size, and no ninth."""
    with Gateway(tmp_path, max_body_bytes=100_000) as own, contextlib.ExitStack() as stack:
        head = (
            f"POST /v1/detect HTTP/1.1\r\nHost: a\r\nX-API-Key: {own.key}\r\nContent-Type: application/json\r\n"
            "Content-Length: 100000\r\n\r\n"
        ).encode()
        slow = []
        for _ in range(8):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", own.port), timeout=30))
            connection.sendall(head + b" " * 99_999)
            slow.append(connection)
        eventually(lambda: "fashioncrop_gateway_in_flight 8.0" in own.get("/metrics").text)
        late = own.post(
            "/v1/detect", content=b" " * 90_000, headers={**own.headers, "Content-Type": "application/json"}
        )
        assert "as many large requests" in refused(late, 503, "overloaded")
        for connection in slow:
            connection.sendall(b" ")
            assert b" 400 " in connection.recv(65536)
        assert own.post("/v1/detect", files={"image": ("a.png", PHOTO + b" " * 90_000)}).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with Gateway(tmp_path, request_timeout_s=0.3) as own:
        own.fake.pause_s = 30
        start_s = time.monotonic()
        assert "within 0.3 s" in refused(own.post("/v1/detect", files=FILE), 504, "deadline")
        assert time.monotonic() - start_s < 20


class TestPagesOfOthers:
    def test_without_leave_no_page_may_read_an_answer(self, gateway: Gateway) -> None:
        response = gateway.get("/health", headers={"Origin": "https://shop.example"})
        assert "access-control-allow-origin" not in response.headers
        asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
        assert gateway.client.options("/v1/analyze", headers=asked).status_code == 405

    def test_with_leave_one_may_and_others_may_not(self, tmp_path: Path) -> None:
        with Gateway(tmp_path, cors_origins=("https://shop.example",)) as own:
            asked = {
                "Origin": "https://shop.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization, content-type",
            }
            preflight = own.client.options("/v1/detect", headers=asked)
            assert preflight.status_code == 200
            assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
            answer = own.post("/v1/detect", files=FILE, headers={**own.headers, "Origin": "https://shop.example"})
            assert answer.headers["access-control-allow-origin"] == "https://shop.example"
            assert "access-control-allow-credentials" not in answer.headers
            wrong = own.post("/v1/detect", headers={"Origin": "https://shop.example"})
            assert wrong.headers["access-control-allow-origin"] == "https://shop.example", "its page may read why"
            stranger = own.client.options("/v1/detect", headers={**asked, "Origin": "https://evil.example"})
            assert "access-control-allow-origin" not in stranger.headers


class TestWithoutKeys:
    def test_this_machine_may_ask_everything(self, open_one: Gateway) -> None:
        assert open_one.post("/v1/detect", headers={}, files=FILE).status_code == 200
        assert open_one.get("/metrics", headers={}).status_code == 200
        document = open_one.get("/openapi.json", headers={}).json()
        assert "security" not in json.dumps(document["paths"])
        assert "securitySchemes" not in document["components"]

    @pytest.mark.parametrize(
        "host", ["evil.example", "evil.example:80", "192.168.1.7", "localhost.evil.example", "", "::"]
    )
    def test_a_name_that_was_bent_to_lead_here_is_refused(self, open_one: Gateway, host: str) -> None:
        response = open_one.post("/v1/detect", headers={"Host": host}, files=FILE)
        refused(response, 403, "forbidden")

    @pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:9", "[::1]:8080"])
    def test_its_own_names_are_not(self, open_one: Gateway, host: str) -> None:
        assert open_one.post("/v1/detect", headers={"Host": host}, files=FILE).status_code == 200

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1234", "http://127.0.0.1"])
    def test_a_page_of_another_origin_may_not_ask(self, open_one: Gateway, origin: str) -> None:
        refused(open_one.post("/v1/detect", headers={"Origin": origin}, files=FILE), 403, "forbidden")

    def test_its_own_page_may(self, open_one: Gateway) -> None:
        own = {"Origin": open_one.url, "Host": open_one.url.removeprefix("http://")}
        assert open_one.post("/v1/detect", headers=own, files=FILE).status_code == 200


class TestLog:
    def test_a_request_is_a_line_of_json_without_what_is_secret(self, gateway: Gateway, lines: list[str]) -> None:
        url = f"https://user:{SECRET}@127.0.0.1/photo.jpg?token={SECRET}"
        gateway.post(f"/v1/detect?key={SECRET}", json={"image": {"url": url}})
        gateway.post("/v1/detect", headers={"Authorization": f"Bearer {SECRET}", "Cookie": SECRET})
        gateway.post(f"/nothing/{SECRET}", json={"image": SECRET})
        gateway.post("/v1/detect", json={"image": {"base64": SECRET}, SECRET: 1})
        gateway.post("/v1/detect", json={"image": {"base64": 7}, "threshold": SECRET})

        def told() -> list[dict[str, Any]]:
            return [line for line in map(json.loads, lines) if line["event"] == "request"]

        eventually(lambda: len(told()) == 5)
        requests = told()
        assert [line["status"] for line in requests] == [422, 401, 404, 422, 422]
        assert requests[0]["route"] == "/v1/detect"
        assert requests[0]["key"] == gateway.record.id
        assert requests[0]["problem"] == "fetch"
        assert requests[2]["route"] == "unknown"
        assert {"time", "level", "ms", "method", "bytes_in", "bytes_out", "request_id"} <= set(requests[0])
        assert SECRET not in "\n".join(lines)
        assert gateway.key not in "\n".join(lines)

    def test_neither_do_answers_repeat_it(self, gateway: Gateway) -> None:
        bodies = [
            {"image": {"base64": SECRET}, "threshold": SECRET},
            {"image": {"url": f"https://a:{SECRET}@b/c?{SECRET}"}},
            {"image": {"url": f"/{SECRET}"}},
        ]
        for body in bodies:
            response = gateway.post("/v1/detect", json=body)
            assert response.status_code == 422
            assert SECRET not in response.text

    def test_probes_that_are_well_write_no_line(self, gateway: Gateway, lines: list[str]) -> None:
        gateway.get("/health/live")
        gateway.get("/metrics")
        assert lines == []
        gateway.fake.ready = False
        gateway.workshop._ready = (0.0, False)
        gateway.get("/health/ready")
        eventually(lambda: len(lines) == 1)
        gateway.workshop._ready = (0.0, False)


async def test_an_answer_that_breaks_off_does_not_look_whole() -> None:
    """The edge cannot mend what has begun: the connection has to end."""
    from fashioncrop.gateway.edge import Edge, Limits  # noqa: PLC0415
    from fashioncrop.gateway.telling import Figures  # noqa: PLC0415

    async def half(_scope: object, _receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        raise ServerFaultError("gone")

    sent: list[str] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(str(message["type"]))

    edge = Edge(half, limits=Limits(100, 1, 1, 1), figures=Figures())
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(ConnectionAbortedError):
        await edge(scope, asyncio.Event().wait, send)  # type: ignore[arg-type]
    assert sent == ["http.response.start"]
