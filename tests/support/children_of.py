"""What the operator has made in a namespace, in a form that two namespaces can be compared by."""

import json
import re
from typing import Any

from kubectl import Kubectl, Manifest

KINDS = ("statefulsets", "services", "serviceaccounts", "poddisruptionbudgets", "networkpolicies")
_MANAGED = "app.kubernetes.io/managed-by=paddock-operator"
_GIVEN_BY_OTHERS = ("clusterIP", "clusterIPs", "secrets", "status", "kind", "apiVersion")


def children(kubectl: Kubectl) -> list[Manifest]:
    """All that is the operator's, but what is being deleted."""
    found = kubectl.list(",".join(KINDS), _MANAGED)
    return [each for each in found if "deletionTimestamp" not in each["metadata"]]


def comparable(kubectl: Kubectl) -> list[str]:
    """Each child without what is another one's in another namespace; sorted. Numbers of groups do not matter."""
    return sorted(_shape(each) for each in children(kubectl))


def orphans(kubectl: Kubectl) -> list[str]:
    """Children whose InferenceService does not exist."""
    living = {each["metadata"]["uid"] for each in kubectl.list("infsvc")}
    return [
        f"{each['kind']} {each['metadata']['name']}"
        for each in children(kubectl)
        if not {owner["uid"] for owner in each["metadata"]["ownerReferences"]} & living
    ]


def _shape(body: Manifest) -> str:
    meta: dict[str, Any] = body["metadata"]
    rest = {key: value for key, value in body.items() if key not in ("metadata", *_GIVEN_BY_OTHERS)}
    spec = {key: value for key, value in rest.get("spec", {}).items() if key not in _GIVEN_BY_OTHERS}
    text = json.dumps(
        [body["kind"], meta["name"], meta.get("labels"), {**rest, "spec": spec}], sort_keys=True
    ).replace(meta["namespace"], "NAMESPACE")
    group = (meta.get("labels") or {}).get("paddock.dev/group")
    if group is None:
        return text
    name = re.escape(meta["name"])
    return re.sub(rf'(paddock\.dev/group": )"{group}"', r'\1"GROUP"', re.sub(rf"{name}\b", "SET", text))
