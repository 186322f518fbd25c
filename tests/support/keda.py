"""A real KEDA on the cluster: its own manifests, with programs built from its module in place of its images."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import published
import yaml
from installed import Cluster
from kubectl import Manifest
from local import load_program, module_folder
from local_cluster.go_programs import KEDA

MODULE = "github.com/kedacore/keda/v2@v2.21.0"
NAMESPACE = "keda"
_PROGRAMS = {
    "keda-operator": "operator",
    "keda-metrics-apiserver": "adapter",
    "keda-admission-webhooks": "webhooks",
}
"""By the name of the container that runs each."""


@contextmanager
def keda(cluster: Cluster) -> Iterator[None]:
    """Operator, metrics API server and admission webhooks run, as long as this lasts."""
    images = {name: load_program(cluster, KEDA, program) for name, program in _PROGRAMS.items()}
    kubectl = cluster.kubectl.in_namespace(NAMESPACE)
    as_published = yaml.safe_load_all(kubectl.run("kustomize", str(module_folder(MODULE) / "config/default")))
    manifests = [_with_images(each, images) for each in as_published]
    try:
        published.apply(cluster, manifests)
        kubectl.run("wait", "--for=condition=Available", "deployment", "--all", "--timeout=300s", timeout=320)
        yield
    finally:
        published.delete(cluster, manifests)


def _with_images(manifest: Manifest, images: dict[str, str]) -> Manifest:
    if manifest["kind"] != "Deployment":
        return manifest
    containers: list[dict[str, Any]] = manifest["spec"]["template"]["spec"]["containers"]
    for container in containers:
        container["image"] = images[container["name"]]
        container["imagePullPolicy"] = "IfNotPresent"
        container["command"] = [f"/{_PROGRAMS[container['name']]}"]
    return manifest
