"""Where the pods of a service go: near the others of their group, and spread over nodes. Pure."""

from __future__ import annotations

from typing import Any

from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.labels import GROUP_LABEL, SERVICE_LABEL

HOSTNAME = "kubernetes.io/hostname"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def placement(blueprint: Blueprint) -> dict[str, Any]:
    """The user's affinity and spread constraints; pods of this service count unless the user chose others.

    Without constraints of the user's, pods spread over nodes where they can. `groupTopologyKey` keeps the pods of each
    group in one domain, and groups then spread over such domains.
    """
    wanted, key = blueprint.spec.template, blueprint.spec.template.group_topology_key
    affinity = wanted.affinity.model_dump(by_alias=True, exclude_none=True) if wanted.affinity else {}
    own = {"labelSelector": {"matchLabels": {SERVICE_LABEL: blueprint.service.name}}}
    spread = [
        {**own, **item.model_dump(by_alias=True, exclude_none=True)}
        for item in wanted.topology_spread_constraints or ()
    ]
    domain = HOSTNAME
    if key is not None and blueprint.layout.nodes > 1:
        # The scheduler takes the value of the group's label from the pod itself: all groups have one template.
        near = {**own, "matchLabelKeys": [GROUP_LABEL], "topologyKey": key}
        pods = affinity.get("podAffinity", {})
        affinity = {**affinity, "podAffinity": {**pods, _REQUIRED: [*pods.get(_REQUIRED, []), near]}}
        domain = key
    evenly = {**own, "maxSkew": 1, "topologyKey": domain, "whenUnsatisfiable": "ScheduleAnyway"}
    found = {"affinity": affinity, "topologySpreadConstraints": spread or [evenly]}
    return {name: value for name, value in found.items() if value}
