"""The chart on the real cluster: an upgrade rolls no engine, an uninstall leaves the resources and their pods, and
another adapter's metrics API stays.
"""

from collections.abc import Iterator

import pytest
from asking import ask
from helm import RELEASE, SYSTEM_NAMESPACE, helm, install_chart
from installed import Cluster, available, engine_pods, service_url
from kubectl import Kubectl
from manifests import inference_service
from waiting import until

QUESTION = "What is the capital of France?"


def pod_uids(kubectl: Kubectl) -> set[str]:
    return {pod["metadata"]["uid"] for pod in engine_pods(kubectl, "tiny")}


def test_an_upgrade_rolls_no_engine_pod(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("tiny", cluster.model_uri))
    available(models, "tiny", replicas=1)
    before = pod_uids(models)

    install_chart(cluster, "--set", "operator.logLevel=debug")

    available(models, "tiny", replicas=1)
    assert pod_uids(models) == before
    install_chart(cluster)


def test_uninstall_leaves_services_serving_and_reinstall_takes_them_over(
    cluster: Cluster, models: Kubectl, client: Kubectl
) -> None:
    models.apply(inference_service("tiny", cluster.model_uri))
    available(models, "tiny", replicas=1)
    before = pod_uids(models)

    helm(cluster, "uninstall", RELEASE, "--wait", "--timeout", "120s")
    operator_pods = cluster.kubectl.in_namespace(SYSTEM_NAMESPACE)
    until(lambda: not operator_pods.list("pods"), seconds=60, what="the operator to be gone")
    answer = ask(client, service_url(models, "tiny"), QUESTION, model="tiny")
    install_chart(cluster)

    assert "Paris" in answer["text"]
    available(models, "tiny", replicas=1)
    assert pod_uids(models) == before


@pytest.fixture(params=[pytest.param("v1beta1", marks=pytest.mark.long), "v1beta2"])
def foreign_api(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """The custom metrics API as another adapter has registered it, before the chart came."""
    name = f"{request.param}.custom.metrics.k8s.io"
    install_chart(cluster, "--set", "metricsApi.enabled=false")
    cluster.kubectl.apply(
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": name},
            "spec": {
                "group": "custom.metrics.k8s.io",
                "version": request.param,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {"name": "adapter", "namespace": "monitoring"},
            },
        }
    )
    yield name
    cluster.kubectl.run("delete", "apiservice", name)
    install_chart(cluster)


def test_the_metrics_api_of_another_adapter_is_left_alone(cluster: Cluster, foreign_api: str) -> None:
    before = cluster.kubectl.get("apiservice", foreign_api)["spec"]

    install_chart(cluster)

    served = [
        each for each in cluster.kubectl.list("apiservices") if "custom.metrics" in each["metadata"]["name"]
    ]
    assert [each["metadata"]["name"] for each in served] == [foreign_api]
    assert served[0]["spec"] == before
