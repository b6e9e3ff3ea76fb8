"""What is told of requests: a line of JSON each in the log, and figures for Prometheus. Never a key, query or body."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from fashioncrop.results import Analysis, Cost, Usage

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 150.0)
_WHOLE = frozenset({"total", "request"})
_PREFIX = "fashioncrop_gateway_"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody reads

log = logging.getLogger("fashioncrop.gateway")


class JsonLines(logging.Formatter):
    """A line of JSON for each record: time, level, event, and whatever was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def start_logging() -> None:
    """Send this project's and uvicorn's records to standard error, a line of JSON each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("fashioncrop", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO)


def trace_id() -> str | None:
    """The current trace's id in 32 hexadecimal digits; None where there is no trace."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


class Figures:
    """One gateway's counters, in a registry of their own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(_PREFIX + name, words, labels, registry=registry)

        def histogram(name: str, words: str, label: str) -> Histogram:
            return Histogram(_PREFIX + name, words, [label], buckets=_SECONDS, registry=registry)

        self._requests = counter("requests", "Requests that were answered.", "route", "method", "status")
        self._seconds = histogram("request_seconds", "From a request's first byte to its answer's last.", "route")
        self._stages = histogram("stage_seconds", "Stages of an analysis, as its timings say.", "stage")
        self._photos = counter("photos", "Photos that were analysed, by who answered.", "answered_by")
        self._searches = counter("searches", "Searches of the catalogue that were answered, by what was asked.", "by")
        self._tokens = counter("tokens", "Tokens of paid models.", "model", "direction")
        self._dollars = counter("dollars", "Dollars by the price table.", "model")
        self._jobs = Gauge(_PREFIX + "jobs", "Jobs that are kept, by state.", ["state"], registry=registry)
        self._in_flight = Gauge(_PREFIX + "in_flight", "Requests being worked on.", registry=registry)

    def in_flight(self, count: int) -> None:
        """So many requests are being worked on."""
        self._in_flight.set(count)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request has ended."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def analysis(self, analysis: Analysis) -> None:
        """A photo was analysed."""
        self._photos.labels("cache" if analysis.cached else "models").inc()
        for stage, milliseconds in analysis.timings_ms.items():
            if stage not in _WHOLE:
                self._stages.labels(stage).observe(milliseconds / 1000)
        self.cost(analysis.cost)

    def cost(self, cost: Cost | None) -> None:
        """Paid models were asked."""
        for usage in cost.usages if cost is not None else ():
            self.usage(usage)

    def usage(self, usage: Usage) -> None:
        """A paid model was asked."""
        self._tokens.labels(usage.model, "in").inc(usage.input_tokens)
        self._tokens.labels(usage.model, "out").inc(usage.output_tokens)
        self._dollars.labels(usage.model).inc(usage.dollars or 0.0)

    def search(self, by: str) -> None:
        """A search was answered: by words, by a photo, or by a garment of the catalogue."""
        self._searches.labels(by).inc()

    def jobs(self, states: Mapping[str, int]) -> None:
        """So many jobs are in each state."""
        for state, count in states.items():
            self._jobs.labels(state).set(count)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
