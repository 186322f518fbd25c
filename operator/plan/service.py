"""The two Services of an InferenceService."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from paddock.operator.plan.labels import SERVICE_LABEL, answering_labels, metadata_of, pods_name
from paddock.operator.resource import InferenceService

CLIENT_PORTS = {"http": 80, "https": 443}


def client_service(
    service: InferenceService, schemes: Collection[str], all_answer: bool = False
) -> dict[str, Any]:
    """Port 80 or 443 to the pods that answer and are ready, all or the leaders: what applications use.

    While a rollout changes the scheme there are both: the port's name finds the pods that speak it.
    """
    spec = {
        "type": "ClusterIP",
        "selector": answering_labels(service.name, all_answer),
        "ports": [_port(scheme, CLIENT_PORTS[scheme]) for scheme in sorted(schemes)],
    }
    return _service(service, service.name, spec)


def headless_service(service: InferenceService, scheme: str, port: int) -> dict[str, Any]:
    """Addresses of all pods, also of those not ready yet: ranks must find each other while they start."""
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {SERVICE_LABEL: service.name},
        "ports": [_port(scheme, port)],
    }
    return _service(service, pods_name(service.name), spec)


def url(service: InferenceService, scheme: str) -> str:
    """Address of the client Service inside the cluster."""
    return f"{scheme}://{service.name}.{service.namespace}.svc"


def _port(scheme: str, port: int) -> dict[str, Any]:
    return {"name": scheme, "appProtocol": scheme, "port": port, "targetPort": scheme, "protocol": "TCP"}


def _service(service: InferenceService, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata_of(service, name),
        "spec": spec,
    }
