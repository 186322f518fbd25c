"""A service whose autoscaler finds no figures is told so, and only then."""

from collections.abc import Callable
from typing import Any

import pytest

from paddock.operator.autoscaling import Autoscaling
from paddock.operator.custom_metrics.unmeasured import unmeasured
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.snapshot import Snapshot
from paddock.operator.status import status

WHY = "v1beta1.custom.metrics.k8s.io is served by Service adapter in namespace monitoring"


def scaling(*kinds: str, **changes: Any) -> Autoscaling:
    foreign = {"name": "queue"}
    metrics = [{"type": kind, "target": 4, **(foreign if kind == "Pods" else {})} for kind in kinds]
    return Autoscaling.model_validate({"maxReplicas": 8, "metrics": metrics, **changes})


def test_it_is_told_which_metrics_and_why() -> None:
    problem = unmeasured(scaling("RequestsWaiting", "Pods"), WHY)

    assert problem is not None
    assert problem.reason == "MetricsApiMissing"
    assert "nobody measures RequestsWaiting for provider paddock" in problem.message
    assert WHY in problem.message


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (scaling("RequestsWaiting"), None),
        (scaling("RequestsWaiting", provider="prometheus-adapter"), WHY),
        (scaling("RequestsWaiting", provider="keda", prometheusAddress="http://prometheus:9090"), WHY),
        (scaling("Pods"), WHY),
        (None, WHY),
    ],
    ids=["served", "by the adapter", "by KEDA", "no figure of ours", "not scaled"],
)
def test_nobody_else_hears_of_it(wanted: Autoscaling | None, why: str | None) -> None:
    assert unmeasured(wanted, why) is None


def test_it_degrades_the_service_and_is_not_why_a_replica_is_not_ready(
    make_blueprint: Callable[..., Blueprint],
) -> None:
    blueprint = make_blueprint()
    seen = Snapshot(blueprint.service, unmeasured=unmeasured(scaling("RequestsWaiting"), WHY))

    told = {each["type"]: each for each in status(seen, blueprint, "2026-01-01T00:00:00Z")["conditions"]}

    assert (told["Degraded"]["status"], told["Degraded"]["reason"]) == ("True", "MetricsApiMissing")
    assert WHY not in told["Available"]["message"]
