"""Manifests that another project publishes, in whatever namespaces it says."""

from collections.abc import Iterable, Sequence

import yaml
from installed import Cluster
from kubectl import Manifest


def apply(cluster: Cluster, manifests: Iterable[Manifest]) -> None:
    """Server-side, since some are too long for the annotation that a client-side apply leaves."""
    for namespace, part in _by_namespace(manifests).items():
        kubectl = cluster.kubectl.in_namespace(namespace)
        kubectl.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(part))


def delete(cluster: Cluster, manifests: Sequence[Manifest]) -> None:
    """Definitions first, and with them what was made of them: its finalizers need whoever put them there."""
    definitions = [each for each in manifests if each["kind"] == "CustomResourceDefinition"]
    others = [each for each in manifests if each not in definitions]
    for part in filter(None, (definitions, *_by_namespace(others).values())):
        kubectl = cluster.kubectl.in_namespace(_namespace(part[0]))
        text = yaml.safe_dump_all(part)
        kubectl.run("delete", "--ignore-not-found", "-f", "-", stdin=text, timeout=240)


def _by_namespace(manifests: Iterable[Manifest]) -> dict[str, list[Manifest]]:
    """What belongs to no namespace comes first: namespaces are among it."""
    parts: dict[str, list[Manifest]] = {"default": []}
    for manifest in manifests:
        parts.setdefault(_namespace(manifest), []).append(manifest)
    return {namespace: part for namespace, part in parts.items() if part}


def _namespace(manifest: Manifest) -> str:
    is_of_all = manifest["kind"] in ("ClusterRole", "ClusterRoleBinding", "APIService")
    return "default" if is_of_all else str(manifest["metadata"].get("namespace", "default"))
