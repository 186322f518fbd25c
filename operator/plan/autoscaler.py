"""The HorizontalPodAutoscaler of a service: on the scale subresource of the InferenceService, where a group of several
pods counts as one.
"""

from __future__ import annotations

import math
import re
from typing import Any

from paddock.operator.autoscaling import Autoscaling, ScalingMetric
from paddock.operator.plan.labels import metadata_of
from paddock.operator.quantities import amount
from paddock.operator.resource import GROUP, KIND, VERSION, InferenceService

_AVERAGED = ("TimeToFirstToken",)
"""These are no sums over replicas: the autoscaler compares them as they are."""

ADAPTER_NAMES = {
    "RequestsWaiting": "vllm_num_requests_waiting",
    "RequestsRunning": "vllm_num_requests_running",
    "KVCacheUsage": "vllm_kv_cache_usage_perc",
    "TokensPerSecond": "vllm_generation_tokens_per_second",
    "TimeToFirstToken": "vllm_time_to_first_token_seconds",
}
"""What prometheus-adapter calls the figures of a pod, with the rules in examples/prometheus-adapter."""


def autoscaler(service: InferenceService, wanted: Autoscaling) -> dict[str, Any]:
    own = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "name": service.name}
    behavior = wanted.behavior.model_dump(by_alias=True, exclude_none=True) if wanted.behavior else {}
    by_adapter = wanted.provider == "prometheus-adapter"
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata_of(service, service.name),
        "spec": {
            "scaleTargetRef": own,
            "minReplicas": wanted.min_replicas,
            "maxReplicas": wanted.max_replicas,
            "metrics": [
                _of_an_adapter(metric) if by_adapter else _metric(metric, own) for metric in wanted.metrics
            ],
            **({"behavior": behavior} if behavior else {}),
        },
    }


def metric_name(metric_type: str) -> str:
    """The name in custom.metrics.k8s.io: RequestsWaiting is requests_waiting."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=V)(?=Cache)", "_", metric_type).lower()


def _metric(metric: ScalingMetric, own: dict[str, str]) -> dict[str, Any]:
    if metric.type in ("Pods", "External"):
        return _of_an_adapter(metric)
    kind = "Value" if metric.type in _AVERAGED else "AverageValue"
    return {
        "type": "Object",
        "object": {
            "describedObject": own,
            "metric": {"name": metric_name(metric.type)},
            "target": {"type": kind, kind[0].lower() + kind[1:]: plain_target(str(metric.target))},
        },
    }


def _of_an_adapter(metric: ScalingMetric) -> dict[str, Any]:
    """A metric that somebody else serves, averaged over the replicas."""
    selector = metric.selector.model_dump(by_alias=True, exclude_none=True) if metric.selector else None
    chosen = {"name": metric.name or ADAPTER_NAMES[metric.type]} | (
        {"selector": selector} if selector else {}
    )
    kind = "External" if metric.type == "External" else "Pods"
    target = {"type": "AverageValue", "averageValue": plain_target(str(metric.target))}
    return {"type": kind, kind.lower(): {"metric": chosen, "target": target}}


def plain_target(given: str) -> str:
    """As the API server writes it, so that the live object shows no difference."""
    value = amount(given)
    assert value is not None, "the schema lets only quantities pass"
    return str(int(value)) if value == int(value) else f"{math.ceil(value * 1000)}m"
