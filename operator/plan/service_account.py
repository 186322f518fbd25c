"""The identity of a service's pods: one of its own, without a token and without any right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paddock.operator.plan.labels import metadata_of, pods_name
from paddock.operator.resource import InferenceService


def service_account(service: InferenceService, pull_secrets: Sequence[str]) -> dict[str, Any]:
    """So that neither a right nor a pull secret given to the namespace's default account reaches the pods.

    `pull_secrets`: names in the service's namespace. Kubernetes gives them to pods that name none, so that a change of
    them replaces no pod.
    """
    secrets = {"imagePullSecrets": [{"name": name} for name in pull_secrets]} if pull_secrets else {}
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata_of(service, pods_name(service.name)),
        "automountServiceAccountToken": False,
        **secrets,
    }
