"""The two Services of an InferenceService."""

from __future__ import annotations

from typing import Any

from paddock.operator.plan.labels import (
    SERVICE_LABEL,
    labels_of,
    leader_labels,
    owner_reference,
    pods_service,
)
from paddock.operator.resource import InferenceService

CLIENT_PORT = 80


def client_service(service: InferenceService) -> dict[str, Any]:
    """Port 80 to the leaders that are ready: what applications use."""
    return _service(
        service,
        service.name,
        {
            "type": "ClusterIP",
            "selector": leader_labels(service.name),
            "ports": [{"name": "http", "port": CLIENT_PORT, "targetPort": "http", "protocol": "TCP"}],
        },
    )


def headless_service(service: InferenceService, port: int) -> dict[str, Any]:
    """Addresses of all pods, also of those not ready yet: ranks must find each other while they start."""
    return _service(
        service,
        pods_service(service.name),
        {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {SERVICE_LABEL: service.name},
            "ports": [{"name": "http", "port": port, "targetPort": "http", "protocol": "TCP"}],
        },
    )


def url(service: InferenceService) -> str:
    """Address of the client Service inside the cluster."""
    return f"http://{service.name}.{service.namespace}.svc"


def _service(service: InferenceService, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": service.namespace,
            "labels": labels_of(service.name),
            "ownerReferences": [owner_reference(service)],
        },
        "spec": spec,
    }
