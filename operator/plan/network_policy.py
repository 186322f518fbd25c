"""Who may open a connection to the pods: clients to the API port, group members to each other.

Only what comes in is ruled; probes of the kubelet always pass. Policies add up, so this never closes what another
policy of the namespace opens.

The first pod of a group is not chosen by its index: Cilium leaves that label out of a pod's identity, and would find
no pod, so that nobody could ask. The others have nothing at the API port but the progress of a download.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.labels import SERVICE_LABEL, metadata_of

_NAMESPACE_LABEL = "kubernetes.io/metadata.name"
_OPERATOR = {"app.kubernetes.io/name": "paddock-operator"}


@dataclass(frozen=True)
class Isolation:
    """`enabled`: write policies at all. `operator_namespace`: where the operator that asks the pods runs. `pull_secrets`: by
    which the pods' own ServiceAccount pulls images, since the namespace's default account does not reach them.
    """

    enabled: bool = True
    operator_namespace: str | None = None
    pull_secrets: tuple[str, ...] = ()


def network_policy(blueprint: Blueprint, schemes: Collection[str], isolation: Isolation) -> dict[str, Any]:
    """`schemes`: what the pods speak, also those of an earlier spec that still serve."""
    service = blueprint.service
    ports = [{"port": scheme, "protocol": "TCP"} for scheme in sorted(schemes)]
    sources = _clients(blueprint, isolation)
    clients = {"ports": ports, **({"from": sources} if sources else {})}
    member = {"matchLabels": {SERVICE_LABEL: service.name}}
    among = [{"from": [{"podSelector": member}]}] if blueprint.layout.meets else []
    ingress = [clients, *among, *_asked_by_operator(blueprint, isolation)]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata_of(service, service.name),
        "spec": {"podSelector": member, "policyTypes": ["Ingress"], "ingress": ingress},
    }


def _clients(blueprint: Blueprint, isolation: Isolation) -> list[dict[str, Any]]:
    """Empty for everybody. The operator is let in beside the clients that the spec names."""
    named = [client.model_dump(by_alias=True, exclude_none=True) for client in blueprint.spec.clients or ()]
    if not named or isolation.operator_namespace is None:
        return named
    return [*named, _operator(isolation.operator_namespace)]


def _asked_by_operator(blueprint: Blueprint, isolation: Isolation) -> list[dict[str, Any]]:
    """The operator asks each pod how far its adapters are, which clients may not."""
    if blueprint.fetched is None or isolation.operator_namespace is None:
        return []
    ports = [{"port": blueprint.fetched.port, "protocol": "TCP"}]
    return [{"ports": ports, "from": [_operator(isolation.operator_namespace)]}]


def _operator(namespace: str) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {_NAMESPACE_LABEL: namespace}},
        "podSelector": {"matchLabels": _OPERATOR},
    }
