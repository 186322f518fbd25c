"""How many pods an administrator may evict at once, as for the drain of a node."""

from __future__ import annotations

from typing import Any

from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.labels import SERVICE_LABEL, metadata_of, pods_name


def disruption_budget(blueprint: Blueprint) -> dict[str, Any]:
    """As many as a rollout may make unavailable, and always one: 0 would block the drain of a node for ever.

    In a group of several pods each eviction costs the group, and the others of the same group are then unready
    and free to go: so there one eviction at a time is allowed.
    """
    service = blueprint.service
    several = blueprint.layout.nodes > 1
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata_of(service, pods_name(service.name)),
        "spec": {
            "maxUnavailable": 1 if several else max(1, blueprint.spec.rollout.max_unavailable),
            "selector": {"matchLabels": {SERVICE_LABEL: service.name}},
            # A pod that does not serve protects nobody, and must not keep its node from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
