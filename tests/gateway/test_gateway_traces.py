"""Traces: a span for each request, joined with the caller's and with the server's."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fashioncrop._triton import TritonConnection
from fashioncrop.errors import OptionError
from fashioncrop.gateway import tracing
from fashioncrop.gateway.tracing import open_tracing, trace_headers
from gateway_world import PHOTO, Gateway, eventually

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"


class Collector:
    """Takes OTLP over HTTP, and keeps it."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"

    def spans(self) -> list[Any]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    one = Collector()
    thread = threading.Thread(target=one.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield one
    one.server.shutdown()
    thread.join()
    one.server.server_close()


def test_a_request_is_a_span_of_the_callers_trace_and_the_server_gets_its_context(
    collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, str]] = []

    def told() -> list[dict[str, Any]]:
        return [vars(record) for record in caplog.records if record.getMessage() == "request"]

    with open_tracing(collector.url) as opened, Gateway(tmp_path, tracer_provider=opened.provider) as own:
        assert opened.headers is trace_headers
        detect = own.fake.detect

        async def detecting(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
            sent.append(trace_headers())
            return await detect(*arguments, **options)

        monkeypatch.setattr(own.fake, "detect", detecting)
        headers = {**own.headers, "traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
        with caplog.at_level("INFO", "fashioncrop"):
            own.post("/v1/detect?key=PLANTED", files={"image": ("a.png", PHOTO)}, headers=headers)
            own.post("/v1/detect", headers={"X-API-Key": "PLANTED"})
            eventually(lambda: len(told()) == 2)
    first, second = sorted(collector.spans(), key=lambda span: span.start_time_unix_nano)
    assert first.trace_id.hex() == TRACE_ID
    assert first.parent_span_id.hex() == PARENT_ID
    assert first.name == "POST /v1/detect"
    attributes = {one.key: one.value for one in first.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["http.route"].string_value == "/v1/detect"
    assert second.trace_id.hex() != TRACE_ID
    assert sent == [{"traceparent": f"00-{TRACE_ID}-{first.span_id.hex()}-01"}]
    assert [line["trace_id"] for line in told()] == [TRACE_ID, second.trace_id.hex()]
    assert "PLANTED" not in str(collector.requests)
    service = {one.key: one.value.string_value for one in collector.requests[0].resource_spans[0].resource.attributes}
    assert service["service.name"] == "fashioncrop-gateway"


def test_without_an_address_there_are_no_spans_and_nothing_goes_along(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_tracing(None) as opened, Gateway(tmp_path, tracer_provider=opened.provider) as own:
        assert opened.provider is None
        assert opened.headers() == {}
        with caplog.at_level("INFO", "fashioncrop"):
            own.post("/v1/detect", files={"image": ("a.png", PHOTO)})
            eventually(lambda: bool(caplog.records))
    assert trace_headers() == {}
    assert "trace_id" not in vars(caplog.records[-1])


def test_a_collector_that_is_not_there_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with (
        open_tracing("http://127.0.0.1:9/v1/traces") as opened,
        Gateway(tmp_path, tracer_provider=opened.provider) as own,
    ):
        assert own.post("/v1/detect", files={"image": ("a.png", PHOTO)}).status_code == 200


def test_without_the_extra_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(OptionError, match=r"fashioncrop\[traces\]"), tracing.open_tracing("http://localhost:4318"):
        pass


async def test_what_goes_along_reaches_the_server_as_metadata() -> None:
    seen: list[Mapping[str, str] | None] = []

    class Answer:
        def as_numpy(self, _name: str) -> Any:  # noqa: ANN401
            return np.zeros(1, np.float32)

    class Stub:
        async def infer(
            self, _model: str, _inputs: Sequence[object], *, headers: Mapping[str, str] | None, **_: object
        ) -> Answer:
            seen.append(headers)
            return Answer()

        async def close(self) -> None:
            """Nothing is open."""

    context = {"traceparent": json.dumps("x")}
    for headers in (lambda: context, dict):
        connection = TritonConnection("localhost:1", timeout_s=5, headers=headers)
        connection._made = Stub()
        connection._checked.add("m")
        await connection.infer("m", {}, ["a"])
        await connection.close()
    assert seen == [context, None]
