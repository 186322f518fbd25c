"""A real prometheus-adapter: its own manifests, its program built from its module, the rules that we give to users."""

from collections.abc import Iterator
from contextlib import contextmanager

import published
import yaml
from installed import ROOT, Cluster
from kubectl import Manifest
from local import load_program, module_folder
from local_cluster.go_programs import METRICS_ADAPTER
from prometheus_pod import NAMESPACE, URL

MODULE = "sigs.k8s.io/prometheus-adapter@v0.12.0"
VALUES = ROOT / "examples/prometheus-adapter/values.yaml"
API = "v1beta1.custom.metrics.k8s.io"
_UNUSED = ("APIService", "NetworkPolicy", "PodDisruptionBudget")
"""The first is of metrics.k8s.io (processors and memory); the adapter's chart registers the custom one instead."""

_READ_CUSTOM_METRICS: Manifest = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "custom-metrics-server-resources"},
    "rules": [{"apiGroups": ["custom.metrics.k8s.io"], "resources": ["*"], "verbs": ["*"]}],
}
_REGISTRATION: Manifest = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": API},
    "spec": {
        "group": "custom.metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": {"name": "prometheus-adapter", "namespace": NAMESPACE},
    },
}


@contextmanager
def prometheus_adapter(cluster: Cluster) -> Iterator[None]:
    """It runs and is registered, as long as this lasts. Needs Prometheus in its namespace."""
    image = load_program(cluster, METRICS_ADAPTER, "prometheus-adapter")
    used = [each for each in _as_published() if each["kind"] not in _UNUSED]
    manifests = [*(_adapted(each, image) for each in used), _READ_CUSTOM_METRICS, _REGISTRATION]
    kubectl = cluster.kubectl.in_namespace(NAMESPACE)
    try:
        published.apply(cluster, manifests)
        kubectl.run("rollout", "status", "deployment/prometheus-adapter", "--timeout=180s", timeout=200)
        yield
    finally:
        published.delete(cluster, manifests)


def _as_published() -> list[Manifest]:
    folder = module_folder(MODULE) / "deploy/manifests"
    return [each for file in sorted(folder.iterdir()) for each in yaml.safe_load_all(file.read_text())]


def _adapted(manifest: Manifest, image: str) -> Manifest:
    """Our image, Prometheus and rules; what it asks Prometheus for anew each minute, here each 5 seconds."""
    if manifest["kind"] == "ConfigMap":
        rules = yaml.safe_load(VALUES.read_text())["rules"]["custom"]
        return {**manifest, "data": {"config.yaml": yaml.safe_dump({"rules": rules})}}
    if manifest["kind"] == "Deployment":
        manifest["spec"]["replicas"] = 1
        pod = manifest["spec"]["template"]["spec"]
        pod["securityContext"] = {"runAsUser": 65532, "fsGroup": 65532}
        [container] = pod["containers"]
        container |= {"image": image, "imagePullPolicy": "IfNotPresent"}
        container["args"] = [
            "--cert-dir=/var/run/serving-cert",
            "--config=/etc/adapter/config.yaml",
            "--metrics-relist-interval=5s",
            f"--prometheus-url={URL}/",
            "--secure-port=6443",
        ]
        for probe in ("livenessProbe", "readinessProbe"):
            container[probe]["initialDelaySeconds"] = 5
    return manifest
