"""Manifests that another project publishes, in whatever namespaces it says."""

from collections.abc import Iterable

import yaml
from installed import Cluster
from kubectl import Manifest


def apply(cluster: Cluster, manifests: Iterable[Manifest]) -> None:
    for namespace, part in _by_namespace(manifests).items():
        kubectl = cluster.kubectl.in_namespace(namespace)
        kubectl.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(part))


def delete(cluster: Cluster, manifests: Iterable[Manifest]) -> None:
    for namespace, part in _by_namespace(manifests).items():
        kubectl = cluster.kubectl.in_namespace(namespace)
        kubectl.run("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(part))


def _by_namespace(manifests: Iterable[Manifest]) -> dict[str, list[Manifest]]:
    """What belongs to no namespace comes first."""
    parts: dict[str, list[Manifest]] = {"default": []}
    for manifest in manifests:
        parts.setdefault(_namespace(manifest), []).append(manifest)
    return {namespace: part for namespace, part in parts.items() if part}


def _namespace(manifest: Manifest) -> str:
    is_of_all = manifest["kind"] in ("ClusterRole", "ClusterRoleBinding", "APIService")
    return "default" if is_of_all else str(manifest["metadata"].get("namespace", "default"))
