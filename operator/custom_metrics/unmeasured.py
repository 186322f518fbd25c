"""What a service is told whose autoscaler asks for figures that this operator does not serve. Pure."""

from __future__ import annotations

from typing import get_args

from paddock.operator.autoscaling import Autoscaling, OwnMetric
from paddock.operator.diagnosis import Problem


def unmeasured(wanted: Autoscaling | None, why: str | None) -> Problem | None:
    """`why`: in words, no figures are served; None when they are."""
    if wanted is None or wanted.provider != "paddock" or why is None:
        return None
    own = [metric.type for metric in wanted.metrics if metric.type in get_args(OwnMetric)]
    if not own:
        return None
    return Problem(
        "MetricsApiMissing",
        f"spec.autoscaling.metrics: nobody measures {', '.join(own)} for provider paddock: {why}; set "
        "spec.autoscaling.provider to prometheus-adapter or keda, or remove the other adapter",
    )
