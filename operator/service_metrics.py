"""What the operator knows of each InferenceService, for alerts and dashboards: conditions and replicas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from paddock.operator.workqueue import Key

_SERVICE = ("namespace", "inference_service")


class ServiceMetrics(Collector):
    """The status of every service as last written. Shown by the process that leads only: another's would be old."""

    def __init__(self, leads: Callable[[], bool]) -> None:
        self._leads = leads
        self._statuses: dict[Key, Mapping[str, Any]] = {}

    def saw(self, key: Key, status: Mapping[str, Any]) -> None:
        self._statuses[key] = status

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._statuses.pop(key, None)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        conditions = GaugeMetricFamily(
            "paddock_inference_service_condition",
            "1 where the condition is True, 0 where it is False or Unknown; the reason says which",
            labels=(*_SERVICE, "type", "status", "reason"),
        )
        replicas = GaugeMetricFamily(
            "paddock_inference_service_replicas", "Replicas that exist", labels=_SERVICE
        )
        ready = GaugeMetricFamily(
            "paddock_inference_service_ready_replicas", "Replicas that answer", labels=_SERVICE
        )
        for key, status in self._statuses.items() if self._leads() else ():
            replicas.add_metric(key, status["replicas"])
            ready.add_metric(key, status["readyReplicas"])
            for condition in status["conditions"]:
                labels = (*key, condition["type"], condition["status"], condition["reason"])
                conditions.add_metric(labels, float(condition["status"] == "True"))
        yield from (conditions, replicas, ready)
