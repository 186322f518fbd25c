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


def autoscaler(service: InferenceService, wanted: Autoscaling) -> dict[str, Any]:
    own = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "name": service.name}
    behavior = wanted.behavior.model_dump(by_alias=True, exclude_none=True) if wanted.behavior else {}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata_of(service, service.name),
        "spec": {
            "scaleTargetRef": own,
            "minReplicas": wanted.min_replicas,
            "maxReplicas": wanted.max_replicas,
            "metrics": [_metric(metric, own) for metric in wanted.metrics],
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
            "target": {"type": kind, kind[0].lower() + kind[1:]: _target(str(metric.target))},
        },
    }


def _of_an_adapter(metric: ScalingMetric) -> dict[str, Any]:
    """A metric that somebody else serves, averaged over the replicas."""
    selector = metric.selector.model_dump(by_alias=True, exclude_none=True) if metric.selector else None
    chosen = {"name": metric.name} | ({"selector": selector} if selector else {})
    target = {"type": "AverageValue", "averageValue": _target(str(metric.target))}
    return {"type": metric.type, metric.type.lower(): {"metric": chosen, "target": target}}


def _target(given: str) -> str:
    """As the API server writes it, so that the live object shows no difference."""
    value = amount(given)
    assert value is not None, "the schema lets only quantities pass"
    return str(int(value)) if value == int(value) else f"{math.ceil(value * 1000)}m"
