"""`spec.autoscaling`: between which bounds, and by what, the number of replicas follows the load."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from paddock.operator.part import Part, Quantity, rules
from paddock.operator.placement import LabelSelector

OwnMetric = Literal[
    "RequestsWaiting", "RequestsRunning", "KVCacheUsage", "TokensPerSecond", "TimeToFirstToken"
]
"""Those that the operator serves."""
MetricType = Literal[OwnMetric, "Pods", "External"]


class ScalingMetric(Part):
    """One measure of load; the one that asks for most replicas counts."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("string(self.target).matches('^[^-]*[1-9]')", "target must be above 0"),
            (
                "has(self.name) == (self.type in ['Pods', 'External'])",
                "name is needed with type Pods or External, and belongs to them only",
            ),
            (
                "!has(self.selector) || self.type in ['Pods', 'External']",
                "selector belongs to type Pods or External only",
            ),
        )
    )
    type: MetricType = Field(
        description="RequestsWaiting, RequestsRunning: requests per replica. KVCacheUsage: share of the cache, 0 to 1. "
        "TokensPerSecond: generated per replica. TimeToFirstToken: seconds, the mean of the last minute. Pods, External: "
        "name, as an adapter of yours serves it for the first pod of each replica, or for something outside the cluster."
    )
    target: Quantity = Field(
        description="What the autoscaler aims at, per replica, as 4, 0.8 or 500m (TimeToFirstToken: over all replicas)."
    )
    name: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^/%\s]+$")] | None = Field(
        default=None, description="Name of a metric of type Pods or External."
    )
    selector: LabelSelector | None = Field(
        default=None, description="Which series of that name count; all when left out."
    )


class ScalingPolicy(Part):
    """How much may change in a period."""

    type: Literal["Pods", "Percent"] = Field(description="Pods means replicas here.")
    value: Annotated[int, Field(ge=1)] = Field(description="Replicas, or percent of them.")
    period_seconds: Annotated[int, Field(ge=1, le=1800)] = Field(description="Length of the period.")


class ScalingRules(Part):
    """How fast, in one direction."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        default=None, description="Past recommendations that are taken into account."
    )
    select_policy: Literal["Max", "Min", "Disabled"] | None = Field(
        default=None, description="Which policy counts; Disabled forbids the direction."
    )
    policies: Annotated[list[ScalingPolicy], Field(min_length=1, max_length=8)] | None = Field(
        default=None, description="Limits on the speed."
    )


class Behavior(Part):
    """As spec.behavior of a HorizontalPodAutoscaler."""

    scale_up: ScalingRules | None = Field(default=None, description="Towards more replicas.")
    scale_down: ScalingRules | None = Field(default=None, description="Towards fewer replicas.")


class Autoscaling(Part):
    """An autoscaler for this service. It owns spec.replicas: leave that out of the manifest."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.minReplicas <= self.maxReplicas", "minReplicas must be at most maxReplicas"),
            (
                "(self.provider == 'keda') == has(self.prometheusAddress)",
                "prometheusAddress is needed with provider keda, and belongs to it only",
            ),
            (
                "self.provider != 'keda' || self.metrics.all(m, !(m.type in ['Pods', 'External']))",
                "provider keda takes the operator's own metrics; for others write a ScaledObject of your own",
            ),
        )
    )
    provider: Literal["paddock", "keda", "prometheus-adapter"] = Field(
        default="paddock",
        description="What scales by whose figures: paddock, a HorizontalPodAutoscaler by those that the operator serves; "
        "prometheus-adapter, one by those that the adapter serves under its names; keda, a ScaledObject by queries to "
        "Prometheus.",
    )
    prometheus_address: (
        Annotated[str, Field(max_length=512, pattern=r"^https?://[^/@\s]+(/\S*)?$")] | None
    ) = Field(
        default=None, description="For keda: where it asks Prometheus, as http://prometheus.monitoring:9090."
    )
    min_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(default=1, description="Never fewer replicas.")
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(description="Never more replicas.")
    metrics: Annotated[list[ScalingMetric], Field(min_length=1, max_length=5)] = Field(
        description="What is measured."
    )
    behavior: Behavior | None = Field(default=None, description="How fast the number may change.")
