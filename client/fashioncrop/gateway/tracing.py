"""Traces by OpenTelemetry, joined with the model server's. Needs the extra `traces` where they are sent anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.trace import TracerProvider

from fashioncrop.errors import OptionError

_QUERY = "url.query"


@dataclass(frozen=True)
class Tracing:
    """How spans are made.

    Attributes:
        provider: None where none are.
        headers: what goes along with a call so that the server's spans belong to the same trace.
    """

    provider: TracerProvider | None
    headers: Callable[[], Mapping[str, str]]


@contextmanager
def open_tracing(url: str | None) -> Iterator[Tracing]:
    """Tracing to an OTLP endpoint; what is not sent yet is sent at the end.

    Args:
        url: such as `http://localhost:4318/v1/traces`; None makes no spans.

    Raises:
        OptionError: the extra `traces` is not installed.
    """
    if url is None:
        yield Tracing(None, dict)
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import Span, SpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider as Provider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise OptionError("Traces need OpenTelemetry's SDK. Run pip install 'fashioncrop[traces]'.") from error

    class WithoutQuery(SpanProcessor):
        """Somebody may put a key into an address, where it does not belong, and it belongs in no trace either."""

        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            del parent_context
            if _QUERY in (span.attributes or {}):
                span.set_attribute(_QUERY, "")

    provider = Provider(resource=Resource.create({"service.name": "fashioncrop-gateway"}))
    provider.add_span_processor(WithoutQuery())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    try:
        yield Tracing(provider, trace_headers)
    finally:
        provider.shutdown()


def trace_headers() -> dict[str, str]:
    """The current trace's context as headers (W3C Trace Context); nothing outside of a trace."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers
