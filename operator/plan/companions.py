"""The objects beside the groups: one list of what there should be, from which surplus ones follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.operator.autoscaling import Autoscaling
from paddock.operator.plan.autoscaler import autoscaler
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.disruption import disruption_budget
from paddock.operator.plan.network_policy import Isolation, network_policy
from paddock.operator.plan.scaled_object import scaled_object
from paddock.operator.plan.service import client_service, headless_service
from paddock.operator.plan.service_account import service_account
from paddock.operator.resource import InferenceService
from paddock.operator.snapshot import Snapshot, companion_key


def companions(blueprint: Blueprint, seen: Snapshot, isolation: Isolation) -> list[dict[str, Any]]:
    """In the order in which pods need them."""
    service = blueprint.service
    schemes = seen.schemes() | {blueprint.scheme}
    # Followers of an earlier spec answer nobody: until they are gone, clients are led to the first pods alone.
    all_answer = blueprint.layout.each_answers and seen.each_answers()
    scaling = blueprint.spec.autoscaling
    own_account = blueprint.spec.template.service_account_name is None
    return [
        *([service_account(service, isolation.pull_secrets)] if own_account else []),
        headless_service(service, blueprint.scheme, blueprint.port),
        client_service(service, schemes, all_answer),
        *([network_policy(blueprint, schemes, isolation)] if isolation.enabled else []),
        disruption_budget(blueprint),
        *([_autoscaler(service, scaling)] if scaling else []),
    ]


def _autoscaler(service: InferenceService, wanted: Autoscaling) -> dict[str, Any]:
    return scaled_object(service, wanted) if wanted.provider == "keda" else autoscaler(service, wanted)


def surplus(wanted: list[dict[str, Any]], seen: Snapshot) -> list[Mapping[str, Any]]:
    """Live companions that the spec, or the operator's settings, no longer ask for."""
    keys = {companion_key(manifest) for manifest in wanted}
    return [body for key, body in sorted(seen.companions.items()) if key not in keys]
