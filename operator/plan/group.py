"""A replica group as a StatefulSet: a pure function from the spec to the object."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from paddock.operator.durations import seconds
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.labels import GROUP_LABEL, group_labels, labels_of, owner_reference, pods_service
from paddock.operator.plan.revision import RENDERED_WITH, REVISION, Rendering
from paddock.operator.resource import MODEL_PATH, PRE_STOP_SECONDS, STOP_MARGIN_SECONDS

CONTAINER = "server"
_USER = 65532
_STARTUP_PERIOD_SECONDS = 2
_POD_FIELDS = (
    "node_selector", "tolerations", "affinity", "priority_class_name", "runtime_class_name",
    "service_account_name", "image_pull_secrets",
)  # fmt: skip


def stateful_set(blueprint: Blueprint, index: int, template: Mapping[str, Any]) -> dict[str, Any]:
    """The StatefulSet of group `index`. OnDelete, because the operator replaces whole groups within its
    budget.
    """
    service = blueprint.service
    selector = group_labels(service.name, index)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": f"{service.name}-{index}",
            "namespace": service.namespace,
            "labels": {**labels_of(service.name), **selector, REVISION: blueprint.revision},
            "ownerReferences": [owner_reference(service)],
        },
        "spec": {
            "replicas": blueprint.spec.nodes,
            "serviceName": pods_service(service.name),
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


def pod_template(blueprint: Blueprint, rendering: Rendering) -> dict[str, Any]:
    """The pod template of the blueprint's revision, yet without a group (see for_group)."""
    wanted = blueprint.spec.template
    return {
        "metadata": {
            "labels": {
                **(wanted.labels or {}),
                **labels_of(blueprint.service.name),
                REVISION: blueprint.revision,
            },
            "annotations": {**(wanted.annotations or {}), RENDERED_WITH: rendering.record()},
        },
        "spec": {
            **_as_given(wanted, *_POD_FIELDS),
            **_spread(blueprint),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": _grace_seconds(blueprint),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": [blueprint.source.volume, {"name": "tmp", "emptyDir": {}}, *_listed(wanted.volumes)],
            "containers": [_container(blueprint, rendering)],
        },
    }


def _container(blueprint: Blueprint, rendering: Rendering) -> dict[str, Any]:
    wanted = blueprint.spec.template
    return {
        "name": CONTAINER,
        "image": wanted.image or rendering.image,
        "imagePullPolicy": wanted.image_pull_policy or rendering.pull_policy,
        "args": ["serve", MODEL_PATH, *blueprint.arguments],
        "ports": [{"name": "http", "containerPort": blueprint.port, "protocol": "TCP"}],
        "env": _environment(blueprint),
        **_as_given(wanted, "resources"),
        "volumeMounts": [
            blueprint.source.mount,
            {"name": "tmp", "mountPath": "/tmp"},
            *_listed(wanted.volume_mounts),
        ],
        **_probes(seconds(wanted.startup_timeout)),
        # The sleep lets every kube-proxy forget the address before the server refuses new requests.
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        # The last log lines of a crash reach the pod's status, and from there ours.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _environment(blueprint: Blueprint) -> list[dict[str, Any]]:
    own: list[dict[str, Any]] = [
        {"name": "HOME", "value": "/tmp"},
        {
            "name": "PADDOCK_DRAIN_TIMEOUT_SECONDS",
            "value": str(seconds(blueprint.spec.rollout.drain_timeout)),
        },
    ]
    own += [
        {"name": name, "valueFrom": {"secretKeyRef": dict(reference)}}
        for name, reference in sorted(blueprint.secrets.items())
    ]
    return [*_listed(blueprint.spec.template.env), *own]


def _probes(startup_timeout: int) -> dict[str, Any]:
    """Startup and readiness mean "would answer"; liveness means "not stuck", also while it drains."""
    health = {"path": "/health", "port": "http"}
    return {
        "startupProbe": {
            "httpGet": health,
            "periodSeconds": _STARTUP_PERIOD_SECONDS,
            "timeoutSeconds": 5,
            "failureThreshold": max(1, math.ceil(startup_timeout / _STARTUP_PERIOD_SECONDS)),
        },
        "readinessProbe": {"httpGet": health, "periodSeconds": 3, "timeoutSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {
            "httpGet": {"path": "/ping", "port": "http"},
            "periodSeconds": 10,
            "timeoutSeconds": 10,
            "failureThreshold": 3,
        },
    }


def _spread(blueprint: Blueprint) -> dict[str, Any]:
    """Topology spread; pods of this service count unless the user chose others."""
    own = {"labelSelector": {"matchLabels": {"paddock.dev/service": blueprint.service.name}}}
    constraints = [{**own, **item} for item in _listed(blueprint.spec.template.topology_spread_constraints)]
    return {"topologySpreadConstraints": constraints} if constraints else {}


def _grace_seconds(blueprint: Blueprint) -> int:
    needed = seconds(blueprint.spec.rollout.drain_timeout) + STOP_MARGIN_SECONDS
    return blueprint.spec.template.termination_grace_period_seconds or needed


def _as_given(part: BaseModel, *fields: str) -> dict[str, Any]:
    dumped = part.model_dump(by_alias=True, exclude_none=True, include=set(fields))
    return {key: value for key, value in dumped.items() if value not in ({}, [])}


def _listed(parts: list[Any] | None) -> list[dict[str, Any]]:
    return [part.model_dump(by_alias=True, exclude_none=True) for part in parts or ()]
