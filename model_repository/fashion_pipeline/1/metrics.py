"""The pipeline's own Prometheus metrics: Triton sees no queue here, so what it measures of this model is wrong."""

from __future__ import annotations

import time
from threading import Lock

import triton_python_backend_utils as pb_utils

_BUCKETS_S = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]


class RequestMetrics:
    """Requests in flight, and how long each took from its arrival.

    One lock for all calls: server 2.51 ends with a segmentation fault within a few hundred requests where custom
    metrics are touched from several threads at a time.
    """

    def __init__(self) -> None:
        durations = pb_utils.MetricFamily(
            name="fashioncrop_request_duration_seconds",
            description="Time from a photo's arrival to its answer, waiting included",
            kind=pb_utils.MetricFamily.HISTOGRAM,
        )
        in_flight = pb_utils.MetricFamily(
            name="fashioncrop_requests_in_flight",
            description="Requests taken and not yet answered",
            kind=pb_utils.MetricFamily.GAUGE,
        )
        self._families = (durations, in_flight)  # a metric dies with its family
        self._durations = durations.Metric(labels={}, buckets=_BUCKETS_S)
        self._in_flight = in_flight.Metric(labels={})
        self._lock = Lock()

    def taken(self) -> None:
        """A request has arrived."""
        with self._lock:
            self._in_flight.increment(1)

    def answered(self, arrived_s: float) -> None:
        """A request that arrived at `arrived_s` (`time.perf_counter`) has its answer."""
        with self._lock:
            self._in_flight.increment(-1)
            self._durations.observe(time.perf_counter() - arrived_s)
