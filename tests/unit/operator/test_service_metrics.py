"""What the operator exports of each InferenceService."""

from __future__ import annotations

from paddock.operator.metrics import Metrics, Vitals

KEY = ("models", "qwen")
STATUS = {
    "replicas": 3,
    "readyReplicas": 2,
    "conditions": [
        {"type": "Available", "status": "True", "reason": "Serving"},
        {"type": "ModelReady", "status": "Unknown", "reason": "Loading"},
    ],
}
OF = 'inference_service="qwen",namespace="models"'


def test_conditions_and_replicas_are_told_of_each_service() -> None:
    metrics = Metrics(Vitals(leading=True))

    metrics.services.saw(KEY, STATUS)

    text = metrics.text().decode()
    name = "paddock_inference_service"
    assert f'{name}_condition{{{OF},reason="Serving",status="True",type="Available"}} 1.0' in text
    assert f'{name}_condition{{{OF},reason="Loading",status="Unknown",type="ModelReady"}} 0.0' in text
    assert f"{name}_replicas{{{OF}}} 3.0" in text
    assert f"{name}_ready_replicas{{{OF}}} 2.0" in text


def test_a_service_that_is_gone_leaves_no_series() -> None:
    metrics = Metrics(Vitals(leading=True))
    metrics.services.saw(KEY, STATUS)

    metrics.services.forget(KEY)

    assert OF not in metrics.text().decode()


def test_an_operator_that_lost_its_lease_does_not_tell_old_news() -> None:
    vitals = Vitals(leading=True)
    metrics = Metrics(vitals)
    metrics.services.saw(KEY, STATUS)

    vitals.leading = False

    assert OF not in metrics.text().decode()
