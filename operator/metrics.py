"""What the operator says about itself in Prometheus' text format, and the vital signs behind /livez and
/readyz.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from paddock.operator.service_metrics import ServiceMetrics

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass
class Vitals:
    """Times are of time.monotonic. `state`: starting, standby, waiting for the CRD, or watching."""

    state: str = "starting"
    leading: bool = False
    last_watch_request: float = field(default_factory=time.monotonic)
    last_tick: float = field(default_factory=time.monotonic)
    lag: float = 0.0


def resource_of(path: str) -> str:
    """Plural of the kind that a request is about; empty where it asks for a list of kinds.

    /apis/GROUP/VERSION[/namespaces/NAMESPACE]/PLURAL[/NAME[/SUBRESOURCE]], and /api/VERSION for the oldest kinds.
    """
    parts = urlsplit(path).path.strip("/").split("/")
    parts = parts[3:] if parts[0] == "apis" else parts[2:]
    parts = parts[2:] if len(parts) > 2 and parts[0] == "namespaces" else parts
    return parts[0] if parts else ""


class Metrics:
    """Counters of one operator process, in a registry of their own."""

    def __init__(self, vitals: Vitals) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._vitals = vitals
        ProcessCollector(registry=self.registry)
        self.reconciles = Counter(
            "paddock_operator_reconciles",
            "Passes over an InferenceService by result: changed, settled, gone, failed",
            ["result"],
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "paddock_operator_reconcile_seconds",
            "Duration of a pass",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.requests = Counter(
            "paddock_operator_api_requests",
            "Requests to the API server by verb, resource and HTTP status; status 0: no answer",
            ["verb", "resource", "code"],
            registry=self.registry,
        )
        self.watch_events = Counter(
            "paddock_operator_watch_events", "Watch events by resource", ["resource"], registry=self.registry
        )
        self.watch_restarts = Counter(
            "paddock_operator_watch_restarts",
            "Times that watching ended and was begun again",
            registry=self.registry,
        )
        self.services = ServiceMetrics(lambda: vitals.leading)
        self.registry.register(self.services)
        self._gauge(
            "paddock_operator_leading", "1 while this process holds the Lease", lambda: vitals.leading
        )
        self._gauge("paddock_operator_loop_lag_seconds", "Lateness of the event loop", lambda: vitals.lag)

    def requested(self, verb: str, code: int, path: str) -> None:
        """One finished request of either thread."""
        self.requests.labels(verb, resource_of(path), code).inc()
        if "watch=true" in path:
            self._vitals.last_watch_request = time.monotonic()

    def follow_queue(self, depth: Callable[[], float], oldest_seconds: Callable[[], float]) -> None:
        self._gauge("paddock_operator_queue_depth", "Keys that are due and wait for a worker", depth)
        self._gauge(
            "paddock_operator_queue_oldest_seconds", "How long the longest overdue key waits", oldest_seconds
        )

    def follow_recorder(self, dropped: Callable[[], float]) -> None:
        self._gauge(
            "paddock_operator_events_dropped", "Kubernetes Events not written for their rate", dropped
        )

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        Gauge(name, description, registry=self.registry).set_function(read)
