"""KEDA instead of our own figures: a real KEDA, asked by our ScaledObject, reads a real Prometheus."""

import json
from collections.abc import Iterator

import pytest
import yaml
from followed_load import load, replicas
from helm import install_chart
from installed import ROOT, Cluster, available, said, service_url
from keda import keda
from kubectl import Kubectl, Manifest, condition
from manifests import inference_service
from prometheus_pod import URL, install_prometheus, remove_prometheus
from waiting import NotYet, until

# The first run builds KEDA.
pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

KEDAS_OWN = "keda-hpa-tiny"
BY_KEDA = {"provider": "keda", "prometheusAddress": URL}
WANTED = {"maxReplicas": 2, "metrics": [{"type": "RequestsWaiting", "target": 4}]}
EXAMPLE = yaml.safe_load((ROOT / "examples/autoscaled-by-keda.yaml").read_text(encoding="utf-8"))
EVERY_METRIC = {
    "RequestsRunning": 2,
    "RequestsWaiting": 100,
    "KVCacheUsage": 100,
    "TokensPerSecond": "1M",
    "TimeToFirstToken": "1k",
}
"""By the first of them it scales; the others are far from their targets."""


def test_a_cluster_without_keda_is_said(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("tiny", cluster.model_uri, autoscaling=WANTED | BY_KEDA))

    said(models, "tiny", "Degraded", "True", "KedaMissing", "keda.enabled=true")


@pytest.fixture(scope="module")
def with_keda(cluster: Cluster) -> Iterator[None]:
    """It runs, and the operator may write its ScaledObjects."""
    install_prometheus(cluster)
    with keda(cluster):
        install_chart(cluster, "--set", "keda.enabled=true")
        yield
        install_chart(cluster)
    remove_prometheus(cluster)


def autoscaled(cluster: Cluster, **scaling: object) -> Manifest:
    manifest = inference_service("tiny", cluster.model_uri, autoscaling=scaling)
    del manifest["spec"]["replicas"]
    return manifest


def test_keda_follows_the_load_up_and_down(
    with_keda: None, cluster: Cluster, models: Kubectl, client: Kubectl
) -> None:
    metrics = [{"type": kind, "target": target} for kind, target in EVERY_METRIC.items()]
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 5}}
    models.apply(autoscaled(cluster, **BY_KEDA, maxReplicas=3, metrics=metrics, behavior=behavior))
    available(models, "tiny", replicas=1)
    until(lambda: is_ready(models), seconds=60, what="KEDA to take the ScaledObject")

    with load(client, service_url(models, "tiny"), seconds=240):
        replicas(models, 3, 180, KEDAS_OWN)
        measured = until(lambda: figures(models), seconds=60, what="a figure of every metric")
        print(json.dumps(measured))
    replicas(models, 1, 180, KEDAS_OWN)


def is_ready(models: Kubectl) -> bool:
    found = condition(models.get("scaledobject", "tiny"), "Ready")
    if found["status"] != "True":
        raise NotYet(f"{found['reason']}: {found['message']}")
    return True


def figures(models: Kubectl) -> dict[str, str]:
    """What KEDA's own autoscaler has measured, by KEDA's name of the metric."""
    current = models.get("hpa", KEDAS_OWN)["status"].get("currentMetrics") or []
    found = {each["external"]["metric"]["name"]: each["external"]["current"] for each in current}
    if len(found) < len(EVERY_METRIC):
        raise NotYet(str(found))
    return {name: value.get("value") or value["averageValue"] for name, value in found.items()}


def scalers(models: Kubectl) -> set[str]:
    """Whoever scales the service: KEDA copies our labels to the autoscaler that it makes."""
    found = models.list("horizontalpodautoscalers,scaledobjects.keda.sh", "paddock.dev/service=tiny")
    return {f"{each['kind']}/{each['metadata']['name']}" for each in found}


def test_there_is_one_autoscaler_whoever_provides_it(
    with_keda: None, cluster: Cluster, models: Kubectl
) -> None:
    def becomes(wanted: dict[str, object], *expected: str) -> None:
        models.apply(inference_service("tiny", cluster.model_uri, autoscaling=wanted))
        until(lambda: scalers(models) == set(expected), seconds=90, what=f"{expected} to be all")

    becomes(WANTED, "HorizontalPodAutoscaler/tiny")
    becomes(EXAMPLE["spec"]["autoscaling"], "ScaledObject/tiny", f"HorizontalPodAutoscaler/{KEDAS_OWN}")
    assert until(lambda: is_ready(models), seconds=60, what="KEDA to take the ScaledObject")
    becomes(WANTED | {"provider": "prometheus-adapter"}, "HorizontalPodAutoscaler/tiny")


def test_keda_wakes_what_was_scaled_to_zero_unless_it_is_paused(
    with_keda: None, cluster: Cluster, models: Kubectl
) -> None:
    models.apply(autoscaled(cluster, **BY_KEDA, **WANTED))
    available(models, "tiny", replicas=1)

    models.run("scale", "infsvc/tiny", "--replicas=0")
    until(lambda: wanted_replicas(models) == 0, seconds=10, what="the scale to be 0", every=0.1)
    until(lambda: wanted_replicas(models) == 1, seconds=90, what="KEDA to wake the service")
    models.run("annotate", "scaledobject/tiny", "autoscaling.keda.sh/paused=true")
    until(
        lambda: scalers(models) == {"ScaledObject/tiny"}, seconds=90, what="KEDA to take its autoscaler away"
    )
    models.run("scale", "infsvc/tiny", "--replicas=0")

    said(models, "tiny", "Available", "False", "ScaledToZero")


def wanted_replicas(models: Kubectl) -> int:
    return int(models.get("infsvc", "tiny")["spec"]["replicas"])


def test_both_metrics_apis_stand_side_by_side(with_keda: None, cluster: Cluster) -> None:
    def whose() -> dict[str, str]:
        registered = cluster.kubectl.list("apiservices")
        found = {each["metadata"]["name"]: each for each in registered if each["spec"].get("service")}
        for name, each in found.items():
            if condition(each, "Available")["status"] != "True":
                raise NotYet(f"{name}: {condition(each, 'Available')['message']}")
        return {name: each["spec"]["service"]["name"] for name, each in found.items()}

    assert until(whose, seconds=60, what="every API to answer") == {
        "v1beta1.external.metrics.k8s.io": "keda-metrics-apiserver",
        "v1beta2.custom.metrics.k8s.io": "paddock-operator-metrics-api",
    }
