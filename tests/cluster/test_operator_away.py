"""No namespace waits for an operator that is away, although it had registered an API of the cluster."""

import time
from collections.abc import Iterator

import pytest
from helm import RELEASE, SYSTEM_NAMESPACE, helm, install_chart
from installed import Cluster, said
from kubectl import Kubectl, condition
from manifests import inference_service, namespace
from waiting import NotYet, until

API = "v1beta2.custom.metrics.k8s.io"
SPACE = "short-lived"


def registered(cluster: Cluster) -> bool:
    return any(each["metadata"]["name"] == API for each in cluster.kubectl.list("apiservices"))


def answers(cluster: Cluster) -> bool:
    if not registered(cluster):
        raise NotYet(f"{API} is not registered")
    found = condition(cluster.kubectl.get("apiservice", API), "Available")
    if found["status"] != "True":
        raise NotYet(found["message"])
    return True


def wait_until_answered(cluster: Cluster) -> None:
    until(lambda: answers(cluster), seconds=90, what="the custom metrics API to answer", every=1)


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Kubectl]:
    """A namespace with a service of two pods that wait for a node."""
    wait_until_answered(cluster)
    cluster.kubectl.apply(namespace(SPACE))
    kubectl = cluster.kubectl.in_namespace(SPACE)
    idle = {"nodeSelector": {"node": "none"}}
    kubectl.apply(inference_service("a", cluster.model_uri, replicas=2, template=idle))
    said(kubectl, "a", "Degraded", "True", "Unschedulable")
    yield kubectl
    wait_until_answered(cluster)


def delete_namespace(cluster: Cluster, what: str) -> None:
    """Fails with what the namespace says it waits for when it is not gone in a minute."""
    started = time.monotonic()
    done = cluster.kubectl.try_run("delete", "namespace", SPACE, "--timeout=60s")
    if done.returncode != 0:
        raise AssertionError(cluster.kubectl.get("namespace", SPACE)["status"])
    print(f"{what}: a namespace is gone after {time.monotonic() - started:.0f} s")


@pytest.mark.long
def test_a_namespace_goes_with_the_operator_scaled_to_zero(cluster: Cluster, space: Kubectl) -> None:
    system = cluster.kubectl.in_namespace(SYSTEM_NAMESPACE)
    system.run("scale", "deployment/paddock-operator", "--replicas=0")
    try:
        until(lambda: not registered(cluster), seconds=60, what="the registration to be withdrawn", every=0.5)
        delete_namespace(cluster, "operator scaled to zero")
    finally:
        system.run("scale", "deployment/paddock-operator", "--replicas=1")


@pytest.mark.long
def test_a_namespace_goes_with_the_chart_uninstalled(cluster: Cluster, space: Kubectl) -> None:
    helm(cluster, "uninstall", RELEASE, "--wait", "--timeout", "120s")
    try:
        assert not registered(cluster)
        delete_namespace(cluster, "chart uninstalled")
    finally:
        install_chart(cluster)
