"""Names, labels and owners of everything the operator makes for one InferenceService."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.operator.resource import GROUP, KIND, VERSION, InferenceService

MANAGED_BY = {"app.kubernetes.io/managed-by": "paddock-operator"}
SERVICE_LABEL = "paddock.dev/service"
GROUP_LABEL = "paddock.dev/group"
LEADER = {"apps.kubernetes.io/pod-index": "0"}
EACH_ANSWERS = {"paddock.dev/answers": "each"}
"""On pods that serve the API for their own engines, whichever place in the group they have."""


def labels_of(name: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "paddock",
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/component": "engine",
        **MANAGED_BY,
        SERVICE_LABEL: name,
    }


def group_labels(name: str, index: int) -> dict[str, str]:
    """What selects the pods of one group."""
    return {SERVICE_LABEL: name, GROUP_LABEL: str(index)}


def leader_labels(name: str) -> dict[str, str]:
    """What selects the first pod of each group."""
    return {SERVICE_LABEL: name, **LEADER}


def answering_labels(name: str, all_answer: bool) -> dict[str, str]:
    """What selects the pods that clients may ask: all, or the first of each group."""
    return {SERVICE_LABEL: name} if all_answer else leader_labels(name)


def answers(labels: Mapping[str, str]) -> bool:
    """Whether a pod with these labels serves the API."""
    return any(set(chosen.items()) <= set(labels.items()) for chosen in (LEADER, EACH_ANSWERS))


def pods_name(name: str) -> str:
    """Name of what concerns all pods of a service, such as the headless Service that gives each an address."""
    return f"{name}-pods"


def metadata_of(service: InferenceService, name: str) -> dict[str, Any]:
    """Metadata of an object that goes with the service."""
    return {
        "name": name,
        "namespace": service.namespace,
        "labels": labels_of(service.name),
        "ownerReferences": [owner_reference(service)],
    }


def owner_reference(service: InferenceService) -> dict[str, Any]:
    """The garbage collector removes what carries this when the InferenceService goes: no finalizer needed."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": service.name,
        "uid": service.uid,
        "controller": True,
    }
