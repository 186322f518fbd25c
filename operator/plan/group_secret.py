"""The text by which the pods of a group know each other, where several meet.

The operator may create Secrets and not read them: it asks for one while a group is incomplete, and an existing one
stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.labels import metadata_of, pods_name
from paddock.operator.snapshot import Snapshot

VARIABLE = "PADDOCK_GROUP_SECRET"
_KEY = "group-secret"


@dataclass(frozen=True)
class IssueSecret:
    """Creates a Secret with random text under `key`, unless there is one of the name."""

    metadata: Mapping[str, Any]
    key: str

    def manifest(self, text: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": dict(self.metadata),
            "type": "Opaque",
            "immutable": True,
            "stringData": {self.key: text},
        }


def issue(blueprint: Blueprint, seen: Snapshot) -> list[IssueSecret]:
    """Nothing while all groups serve: their pods have it."""
    groups = seen.groups()
    if not blueprint.layout.meets or (groups and all(group.available for group in groups)):
        return []
    service = blueprint.service
    return [IssueSecret(metadata_of(service, pods_name(service.name)), _KEY)]


def variable(name: str) -> dict[str, Any]:
    """The server's variable, for the pods of the InferenceService `name`."""
    reference = {"name": pods_name(name), "key": _KEY}
    return {"name": VARIABLE, "valueFrom": {"secretKeyRef": reference}}
