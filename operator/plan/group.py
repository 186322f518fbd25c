"""A replica group as a StatefulSet: a pure function from the spec to the object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.labels import GROUP_LABEL, group_labels, metadata_of, pods_name
from paddock.operator.plan.revision import REVISION


def stateful_set(blueprint: Blueprint, index: int, template: Mapping[str, Any]) -> dict[str, Any]:
    """The StatefulSet of group `index`. OnDelete, because the operator replaces whole groups within its
    budget.
    """
    service = blueprint.service
    selector = group_labels(service.name, index)
    metadata = metadata_of(service, f"{service.name}-{index}")
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {**metadata, "labels": {**metadata["labels"], **selector, REVISION: blueprint.revision}},
        "spec": {
            "replicas": blueprint.layout.nodes,
            "serviceName": pods_name(service.name),
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": selector},
            "template": for_group(template, index),
        },
    }


def for_group(template: Mapping[str, Any], index: int) -> dict[str, Any]:
    """`template` for group `index`: groups of one revision differ in this label only."""
    meta = template["metadata"]
    return {**template, "metadata": {**meta, "labels": {**meta["labels"], GROUP_LABEL: str(index)}}}
