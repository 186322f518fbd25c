"""Who scales: the operator's own figures, prometheus-adapter's, or KEDA. Never two of them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from closed_schema import closed
from local import module_folder
from promql import named_in

from paddock.operator.custom_metrics.series import READ_SERIES
from paddock.operator.plan.actions import Apply, Delete, plan
from paddock.operator.plan.autoscaler import ADAPTER_NAMES
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.revision import Rendering
from paddock.operator.plan.scaled_object import QUERIES
from paddock.operator.snapshot import Snapshot, companion_key

Make = Callable[..., Blueprint]
RENDERING = Rendering("1.0", "image:1")
VALUES = Path(__file__).parents[4] / "examples/prometheus-adapter/values.yaml"
KEDA = "github.com/kedacore/keda/v2@v2.21.0"


def scaling(provider: str, *metrics: dict[str, Any]) -> dict[str, Any]:
    address = {"prometheusAddress": "http://prometheus.monitoring:9090"} if provider == "keda" else {}
    chosen = metrics or ({"type": "RequestsWaiting", "target": 4},)
    return {"provider": provider, "maxReplicas": 8, "metrics": [*chosen], **address}


def autoscalers(blueprint: Blueprint) -> list[dict[str, Any]]:
    actions = plan(blueprint, Snapshot(blueprint.service), RENDERING)
    applied = [dict(each.manifest) for each in actions if isinstance(each, Apply)]
    return [each for each in applied if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]


def test_prometheus_adapter_is_asked_by_its_own_names(make_blueprint: Make) -> None:
    [found] = autoscalers(make_blueprint(autoscaling=scaling("prometheus-adapter")))

    assert found["kind"] == "HorizontalPodAutoscaler"
    assert found["spec"]["metrics"] == [
        {
            "type": "Pods",
            "pods": {
                "metric": {"name": "vllm_num_requests_waiting"},
                "target": {"type": "AverageValue", "averageValue": "4"},
            },
        }
    ]


def test_keda_gets_a_scaled_object_on_the_service_itself(make_blueprint: Make) -> None:
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    wanted = scaling("keda", {"type": "KVCacheUsage", "target": "800m"}) | {"behavior": behavior}

    [found] = autoscalers(make_blueprint(autoscaling=wanted))

    assert found["kind"] == "ScaledObject"
    assert found["spec"]["scaleTargetRef"] == {
        "apiVersion": "paddock.dev/v1alpha1", "kind": "InferenceService", "name": "qwen3",
    }  # fmt: skip
    assert found["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == behavior
    [trigger] = found["spec"]["triggers"]
    assert (trigger["metricType"], trigger["metadata"]["threshold"]) == ("Value", "0.8")
    assert trigger["metadata"]["query"] == (
        'avg(vllm:kv_cache_usage_perc{namespace="models",inference_service="qwen3"})'
    )


@pytest.mark.parametrize(("before", "after"), [("paddock", "keda"), ("keda", "prometheus-adapter")])
def test_the_former_autoscaler_goes_before_the_next_comes(
    make_blueprint: Make, before: str, after: str
) -> None:
    [former] = autoscalers(make_blueprint(autoscaling=scaling(before)))
    live = {**former, "metadata": {**former["metadata"], "uid": "1", "resourceVersion": "7"}}
    blueprint = make_blueprint(autoscaling=scaling(after))
    seen = Snapshot(blueprint.service, companions={companion_key(live): live})

    actions = plan(blueprint, seen, RENDERING)

    first = actions[0]
    assert isinstance(first, Delete)
    assert (first.kind, first.name) == companion_key(former)
    assert not any(isinstance(each, Delete) for each in actions[1:])


@pytest.mark.parametrize("metric", QUERIES)
def test_each_query_reads_what_the_operator_would_read(metric: str) -> None:
    kind, query = QUERIES[metric]

    labels = named_in(query.replace("{OF}", '{namespace="a",inference_service="b"}')).labels

    assert set(labels) <= READ_SERIES
    assert set(labels.values()) == {frozenset({"namespace", "inference_service"})}
    assert kind in ("AverageValue", "Value")


def test_the_adapters_rules_serve_every_name_that_is_asked_for() -> None:
    served = set()
    for rule in yaml.safe_load(VALUES.read_text())["rules"]["custom"]:
        series, matchers = rule["seriesQuery"].split("{")
        pattern = series or re.match(r'__name__=~"([^"]*)"', matchers)[1]
        name = rule["name"]["as"].replace("${1}", r"\1")
        found = [each for each in READ_SERIES if re.fullmatch(pattern, each)]
        served |= {re.sub(rule["name"].get("matches", "^.*$"), name, each) for each in found}

    assert served == set(ADAPTER_NAMES.values())


@pytest.mark.long
def test_a_scaled_object_is_valid_by_kedas_own_definition(make_blueprint: Make) -> None:
    crds = module_folder(KEDA) / "config/crd/bases"
    crd = yaml.safe_load((crds / "keda.sh_scaledobjects.yaml").read_text())
    [schema] = [
        each["schema"]["openAPIV3Schema"] for each in crd["spec"]["versions"] if each["name"] == "v1alpha1"
    ]
    wanted = scaling("keda", *({"type": kind, "target": 2} for kind in QUERIES))

    [found] = autoscalers(make_blueprint(autoscaling=wanted))

    jsonschema.Draft4Validator(closed(schema["properties"]["spec"])).validate(found["spec"])
