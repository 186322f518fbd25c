"""The chart's values on a real cluster: they reach the pods, `helm test` judges them, and uninstall takes along what is asked."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm import CHART, RELEASE, SYSTEM_NAMESPACE, helm, install_chart
from installed import Cluster, available, engine_pods
from kubectl import Kubectl, Manifest
from local import command, module_folder
from manifests import inference_service
from waiting import until

MIRROR = "mirror.example:5000/ai"
PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
MONITORING = "monitoring.coreos.com"
CRD = "inferenceservices.paddock.dev"
AWAY = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
    {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["node-1"]}]}]}}}  # fmt: skip
VALUES = {
    "imageRegistry": MIRROR,
    "operator": {
        "image": "",
        "imagePullSecrets": [{"name": "mirror"}],
        "priorityClassName": "system-cluster-critical",
        "resources": {"requests": {"cpu": "60m", "memory": "100Mi"}, "limits": {"memory": "300Mi"}},
        "affinity": AWAY,
    },
    "server": {"image": "", "imagePullSecrets": [{"name": "mirror"}]},
    "monitoring": {"dashboards": {"enabled": True}, "rules": {"enabled": True, "kind": "ConfigMap"}},
}


@pytest.fixture
def mirrored(cluster: Cluster, tmp_path: Path) -> Iterator[list[str]]:
    """Both images under the names that they have in a mirror, and the values that a closed network needs."""
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    name = cluster.kubectl.kubeconfig.parent.name
    for component, image in (("operator", cluster.operator_image), ("server", cluster.server_image)):
        command(name, "tag-image", image, f"{MIRROR}/paddock-{component}:{version}")
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps(VALUES))
    # `--set` of the tests' own images would win over a file.
    yield ["--values", str(values), "--set", "operator.image=,server.image="]
    install_chart(cluster)


def pull_secrets(pod: Manifest) -> list[str]:
    return [each["name"] for each in pod["spec"].get("imagePullSecrets", [])]


@pytest.mark.long
def test_registry_pull_secrets_priority_resources_and_affinity_reach_the_pods(
    cluster: Cluster, models: Kubectl, mirrored: list[str]
) -> None:
    install_chart(cluster, *mirrored)
    models.apply(inference_service("tiny", cluster.model_uri))
    available(models, "tiny", replicas=1)

    system = cluster.kubectl.in_namespace(SYSTEM_NAMESPACE)
    [operator] = system.list("pods", "app.kubernetes.io/name=paddock-operator")
    [engine] = engine_pods(models, "tiny")
    assert [pull_secrets(operator), pull_secrets(engine)] == [["mirror"], ["mirror"]]
    for pod, component in ((operator, "operator"), (engine, "server")):
        assert pod["spec"]["containers"][0]["image"].startswith(f"{MIRROR}/paddock-{component}:")
    assert operator["spec"]["priorityClassName"] == "system-cluster-critical"
    assert operator["spec"]["priority"] > 1_000_000
    assert operator["spec"]["containers"][0]["resources"] == VALUES["operator"]["resources"]  # type: ignore[index]
    assert operator["spec"]["nodeName"] == "node-2"
    boards = system.list("configmaps", "grafana_dashboard=1")
    assert len(boards) == len(list((CHART / "dashboards").glob("*.json")))
    assert "paddock-alerts.yaml" in system.get("configmap", "paddock-rules")["data"]


@pytest.fixture
def monitoring_kinds(cluster: Cluster) -> Iterator[None]:
    """The definitions of the Prometheus operator, as its project publishes them."""
    folder = module_folder(PROMETHEUS_OPERATOR) / "example/prometheus-operator-crd"
    names = ("podmonitors", "prometheusrules")
    for name in names:
        cluster.kubectl.run("apply", "--server-side", "-f", str(folder / f"{MONITORING}_{name}.yaml"))
    crds = [f"crd/{name}.{MONITORING}" for name in names]
    cluster.kubectl.run("wait", "--for=condition=Established", *crds, "--timeout=60s")
    yield
    install_chart(cluster)
    cluster.kubectl.run("delete", *crds, "--timeout=60s")


def keeps(stored: Any, given: Any) -> bool:
    """Whether everything given is stored; defaults may have joined it."""
    if isinstance(given, dict):
        return all(key in stored and keeps(stored[key], value) for key, value in given.items())
    if isinstance(given, list):
        return len(stored) == len(given) and all(map(keeps, stored, given))
    return bool(stored == given)


@pytest.mark.long
@pytest.mark.usefixtures("monitoring_kinds")
def test_monitors_and_rules_are_of_the_kinds_that_the_prometheus_operator_defines(cluster: Cluster) -> None:
    values = "monitoring.podMonitors.enabled=true,monitoring.rules.enabled=true"
    install_chart(cluster, "--set", values)

    manifests = list(yaml.safe_load_all(helm(cluster, "get", "manifest", RELEASE)))
    given = [each for each in manifests if each and each["apiVersion"].startswith(MONITORING)]
    system = cluster.kubectl.in_namespace(SYSTEM_NAMESPACE)
    assert sorted(each["kind"] for each in given) == ["PodMonitor", "PodMonitor", "PrometheusRule"]
    for each in given:
        assert keeps(
            system.get(f"{each['kind']}.{MONITORING}", each["metadata"]["name"])["spec"], each["spec"]
        )


def test_helm_test_sees_the_operator_work(cluster: Cluster) -> None:
    said = helm(cluster, "test", RELEASE, "--logs")

    assert "the operator took up InferenceService paddock-system/installation-check-" in said
    assert cluster.kubectl.in_namespace(SYSTEM_NAMESPACE).list("infsvc") == []


@pytest.mark.long
def test_helm_test_fails_while_no_operator_runs_and_leaves_its_log_until_it_passes(cluster: Cluster) -> None:
    system = cluster.kubectl.in_namespace(SYSTEM_NAMESPACE)
    install_chart(cluster, "--set", "operator.replicas=0")
    try:
        with pytest.raises(RuntimeError, match="paddock-operator-check"):
            helm(cluster, "test", RELEASE)
        log = system.run("logs", "paddock-operator-check")
    finally:
        install_chart(cluster)

    assert "the operator did not take up InferenceService" in log
    assert "look at its pods" in log
    helm(cluster, "test", RELEASE)
    assert system.list("pods", "app.kubernetes.io/name=paddock-operator-check") == []


@pytest.mark.long
def test_uninstall_deletes_every_service_where_that_was_asked_for(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("tiny", cluster.model_uri))
    available(models, "tiny", replicas=1)
    install_chart(cluster, "--set", "crds.keep=false")
    try:
        helm(cluster, "uninstall", RELEASE, "--wait", "--timeout", "120s")
        gone = ("get", "crd", CRD, "--ignore-not-found", "-o", "name")
        until(lambda: not cluster.kubectl.run(*gone), seconds=60, what="the definition to be gone")
        until(lambda: not engine_pods(models, "tiny"), seconds=60, what="the pods to go")
    finally:
        install_chart(cluster)
