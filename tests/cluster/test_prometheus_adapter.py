"""A real prometheus-adapter with the rules that we give to users: it scales, and ours makes room for it."""

import json
from collections.abc import Iterator

import pytest
from followed_load import load, replicas
from installed import Cluster, available, said, service_url
from kubectl import Kubectl, condition
from manifests import inference_service
from prometheus_adapter import API, prometheus_adapter
from prometheus_pod import install_prometheus, remove_prometheus
from waiting import NotYet, until

from paddock.operator.plan.autoscaler import ADAPTER_NAMES

# The first run builds the adapter.
pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

OURS = "v1beta2.custom.metrics.k8s.io"
BY_ADAPTER = {
    "provider": "prometheus-adapter",
    "maxReplicas": 3,
    "metrics": [{"type": "RequestsRunning", "target": 2}],
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
}
BY_OUR_FIGURES = {"maxReplicas": 3, "metrics": [{"type": "RequestsWaiting", "target": 4}]}


@pytest.fixture(scope="module")
def prometheus(cluster: Cluster) -> Iterator[None]:
    install_prometheus(cluster)
    yield
    remove_prometheus(cluster)


def registered(cluster: Cluster) -> dict[str, str]:
    """The Service of each custom metrics API that answers, by the API's name."""
    found = [
        each for each in cluster.kubectl.list("apiservices") if "custom.metrics" in each["metadata"]["name"]
    ]
    for each in found:
        if condition(each, "Available")["status"] != "True":
            raise NotYet(condition(each, "Available")["message"])
    return {each["metadata"]["name"]: each["spec"]["service"]["name"] for each in found}


def test_the_adapter_scales_and_nothing_of_ours_is_in_its_way(
    prometheus: None, cluster: Cluster, models: Kubectl, client: Kubectl
) -> None:
    manifest = inference_service("tiny", cluster.model_uri, autoscaling=BY_ADAPTER)
    del manifest["spec"]["replicas"]
    ours = inference_service("ours", cluster.model_uri, replicas=0, autoscaling=BY_OUR_FIGURES)
    models.apply(manifest, ours)
    available(models, "tiny", replicas=1)
    said(models, "ours", "Degraded", "False", "AsExpected")

    with prometheus_adapter(cluster):
        until(lambda: [*registered(cluster)] == [API], seconds=90, what="ours to make room", every=1)
        before = cluster.kubectl.get("apiservice", API)["spec"]
        said(models, "ours", "Degraded", "True", "MetricsApiMissing", API, "prometheus-adapter")
        with load(client, service_url(models, "tiny"), seconds=400):
            replicas(models, 3, seconds=300)
            assert set(until(lambda: figures(models), seconds=60, what="every figure", every=1)) == set(
                ADAPTER_NAMES.values()
            )
        replicas(models, 1, seconds=180)
        assert cluster.kubectl.get("apiservice", API)["spec"] == before

    until(lambda: [*registered(cluster)] == [OURS], seconds=90, what="ours to be back", every=1)
    said(models, "ours", "Degraded", "False", "AsExpected")


def figures(models: Kubectl) -> dict[str, str]:
    """What the adapter tells of the service's pods, by its name of the metric."""
    found = {}
    for name in ADAPTER_NAMES.values():
        path = f"/apis/custom.metrics.k8s.io/v1beta1/namespaces/{models.namespace}/pods/*/{name}"
        done = models.try_run("get", "--raw", f"{path}?labelSelector=paddock.dev%2Fservice%3Dtiny")
        if done.returncode != 0:
            raise NotYet(done.stderr)
        if not (items := json.loads(done.stdout)["items"]):
            raise NotYet(f"no pod has {name}")
        found[name] = items[0]["value"]
    print(json.dumps(found))
    return found
