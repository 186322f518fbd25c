"""The pod template of a spec: a pure function, restricted by the Pod Security Standard of that name."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from paddock.operator.durations import seconds
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.devices import resource_claims, resources, shared_memory
from paddock.operator.plan.labels import SERVICE_LABEL, labels_of, pods_name
from paddock.operator.plan.launch import environment, start
from paddock.operator.plan.probes import probes
from paddock.operator.plan.revision import RENDERED_WITH, REVISION, Rendering
from paddock.operator.resource import PRE_STOP_SECONDS, STOP_MARGIN_SECONDS

CONTAINER = "server"
_USER = 65532
_POD_FIELDS = (
    "node_selector", "tolerations", "affinity", "priority_class_name", "runtime_class_name",
    "service_account_name", "image_pull_secrets",
)  # fmt: skip


def pod_template(blueprint: Blueprint, rendering: Rendering) -> dict[str, Any]:
    """The pod template of the blueprint's revision, yet without a group (see group.for_group)."""
    wanted = blueprint.spec.template
    volumes, _ = shared_memory(blueprint)
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
            "serviceAccountName": pods_name(blueprint.service.name),
            **_as_given(wanted, *_POD_FIELDS),
            **_spread(blueprint),
            **resource_claims(blueprint),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": _grace_seconds(blueprint),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": [
                blueprint.source.volume,
                {"name": "tmp", "emptyDir": {}},
                *volumes,
                *_listed(wanted.volumes),
            ],
            "containers": [_container(blueprint, rendering)],
        },
    }


def _container(blueprint: Blueprint, rendering: Rendering) -> dict[str, Any]:
    wanted = blueprint.spec.template
    _, mounts = shared_memory(blueprint)
    return {
        "name": CONTAINER,
        "image": wanted.image or rendering.image,
        "imagePullPolicy": wanted.image_pull_policy or rendering.pull_policy,
        **start(blueprint),
        "ports": [{"name": blueprint.scheme, "containerPort": blueprint.port, "protocol": "TCP"}],
        "env": environment(blueprint),
        **resources(blueprint, rendering),
        "volumeMounts": [
            blueprint.source.mount,
            {"name": "tmp", "mountPath": "/tmp"},
            *mounts,
            *_listed(wanted.volume_mounts),
        ],
        **probes(blueprint),
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


def _spread(blueprint: Blueprint) -> dict[str, Any]:
    """Topology spread; pods of this service count unless the user chose others."""
    own = {"labelSelector": {"matchLabels": {SERVICE_LABEL: blueprint.service.name}}}
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
