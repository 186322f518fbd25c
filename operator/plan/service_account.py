"""The identity of a service's pods: one of its own, without a token and without any right."""

from __future__ import annotations

from typing import Any

from paddock.operator.plan.labels import metadata_of, pods_name
from paddock.operator.resource import InferenceService


def service_account(service: InferenceService) -> dict[str, Any]:
    """So that neither a right nor a pull secret given to the namespace's default account reaches the pods."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata_of(service, pods_name(service.name)),
        "automountServiceAccountToken": False,
    }
