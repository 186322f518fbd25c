"""The KEDA ScaledObject of a service, in place of a HorizontalPodAutoscaler: KEDA makes that itself. Pure.

Fields: KEDA's own CustomResourceDefinition (keda.sh/v1alpha1), and its Prometheus scaler.
"""

from __future__ import annotations

from typing import Any

from paddock.operator.autoscaling import Autoscaling, ScalingMetric
from paddock.operator.plan.labels import metadata_of
from paddock.operator.quantities import amount
from paddock.operator.resource import GROUP, KIND, VERSION, InferenceService

_FIRST_TOKEN = "sum(rate(vllm:time_to_first_token_seconds_{}{{OF}}[1m]))"
QUERIES = {
    "RequestsWaiting": ("AverageValue", "sum(vllm:num_requests_waiting{OF})"),
    "RequestsRunning": ("AverageValue", "sum(vllm:num_requests_running{OF})"),
    "KVCacheUsage": ("Value", "avg(vllm:kv_cache_usage_perc{OF})"),
    "TokensPerSecond": ("AverageValue", "sum(rate(vllm:generation_tokens_total{OF}[1m]))"),
    "TimeToFirstToken": ("Value", f"{_FIRST_TOKEN.format('sum')} / ({_FIRST_TOKEN.format('count')} > 0)"),
}
"""AverageValue is divided by the replicas. The labels are those that the chart's PodMonitors set."""


def scaled_object(service: InferenceService, wanted: Autoscaling) -> dict[str, Any]:
    behavior = wanted.behavior.model_dump(by_alias=True, exclude_none=True) if wanted.behavior else {}
    advanced = {"advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}}} if behavior else {}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata_of(service, service.name),
        "spec": {
            "scaleTargetRef": {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "name": service.name},
            "minReplicaCount": wanted.min_replicas,
            "maxReplicaCount": wanted.max_replicas,
            **advanced,
            "triggers": [
                _trigger(service, metric, str(wanted.prometheus_address)) for metric in wanted.metrics
            ],
        },
    }


def _trigger(service: InferenceService, metric: ScalingMetric, address: str) -> dict[str, Any]:
    kind, query = QUERIES[metric.type]
    of = f'{{namespace="{service.namespace}",inference_service="{service.name}"}}'
    return {
        "type": "prometheus",
        "name": metric.type,
        "metricType": kind,
        "metadata": {
            "serverAddress": address,
            "query": query.replace("{OF}", of),
            "threshold": format(float(amount(str(metric.target)) or 0), "g"),
        },
    }
