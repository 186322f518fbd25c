"""The pod template of a spec: a pure function, restricted by the Pod Security Standard of that name."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from paddock.operator.durations import seconds
from paddock.operator.plan import security
from paddock.operator.plan.adapter_keeper import (
    adapter_keeper,
    keeper_volumes,
    server_mounts,
    server_variables,
    wanted_adapters,
)
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.devices import resource_claims, resources, shared_memory
from paddock.operator.plan.download_container import download_container, survey_container
from paddock.operator.plan.labels import EACH_ANSWERS, labels_of, pods_name
from paddock.operator.plan.launch import environment, start
from paddock.operator.plan.model_download import ModelDownload
from paddock.operator.plan.model_source import ModelSource
from paddock.operator.plan.probes import probes
from paddock.operator.plan.revision import RENDERED_WITH, REVISION, Rendering
from paddock.operator.plan.topology import placement
from paddock.operator.resource import PRE_STOP_SECONDS, STOP_MARGIN_SECONDS

CONTAINER = "server"
_POD_FIELDS = (
    "node_selector", "tolerations", "priority_class_name", "runtime_class_name",
    "service_account_name", "image_pull_secrets",
)  # fmt: skip


def pod_template(blueprint: Blueprint, rendering: Rendering) -> dict[str, Any]:
    """The pod template of the blueprint's revision, yet without a group (see group.for_group)."""
    wanted, fetched = blueprint.spec.template, blueprint.fetched
    volumes, _ = shared_memory(blueprint)
    return {
        "metadata": {
            "labels": {
                **(wanted.labels or {}),
                **labels_of(blueprint.service.name),
                **(EACH_ANSWERS if blueprint.layout.each_answers else {}),
                REVISION: blueprint.revision,
            },
            "annotations": {
                **(wanted.annotations or {}),
                RENDERED_WITH: rendering.record(),
                **wanted_adapters(blueprint),
            },
        },
        "spec": {
            "serviceAccountName": pods_name(blueprint.service.name),
            **_as_given(wanted, *_POD_FIELDS),
            **placement(blueprint),
            **resource_claims(blueprint),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": _grace_seconds(blueprint),
            "securityContext": _security(blueprint, rendering),
            **_before_the_server(blueprint, rendering),
            "volumes": [
                _model(blueprint, rendering).volume,
                *(adapter.volume for adapter in blueprint.adapters),
                {"name": "tmp", "emptyDir": {}},
                *(keeper_volumes(fetched, rendering) if fetched else ()),
                *volumes,
                *_listed(wanted.volumes),
            ],
            "containers": [_container(blueprint, rendering)],
        },
    }


def _container(blueprint: Blueprint, rendering: Rendering) -> dict[str, Any]:
    wanted, fetched = blueprint.spec.template, blueprint.fetched
    _, mounts = shared_memory(blueprint)
    return {
        "name": CONTAINER,
        "image": wanted.image or rendering.image,
        "imagePullPolicy": wanted.image_pull_policy or rendering.pull_policy,
        **start(blueprint),
        "ports": [{"name": blueprint.scheme, "containerPort": blueprint.port, "protocol": "TCP"}],
        "env": [*environment(blueprint), *(server_variables() if fetched else ())],
        **resources(blueprint, rendering),
        "volumeMounts": [
            _model(blueprint, rendering).mount,
            *(adapter.mount for adapter in blueprint.adapters),
            {"name": "tmp", "mountPath": "/tmp"},
            *(server_mounts(fetched, rendering) if fetched else ()),
            *mounts,
            *_listed(wanted.volume_mounts),
        ],
        **probes(blueprint),
        # The sleep lets every kube-proxy forget the address before the server refuses new requests.
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        # The last log lines of a crash reach the pod's status, and from there ours.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": security.CONTAINER,
    }


def _model(blueprint: Blueprint, rendering: Rendering) -> ModelSource:
    source = blueprint.source
    return source.stored(rendering.model_cache) if isinstance(source, ModelDownload) else source


def _security(blueprint: Blueprint, rendering: Rendering) -> dict[str, Any]:
    filled = [_model(blueprint, rendering).volume] if isinstance(blueprint.source, ModelDownload) else []
    if blueprint.fetched:
        filled.append(blueprint.fetched.volume(rendering.model_cache)[0])
    fills_claim = any("persistentVolumeClaim" in volume for volume in filled)
    return security.POD | (security.WRITES_TO_CLAIM if fills_claim else {})


def _before_the_server(blueprint: Blueprint, rendering: Rendering) -> dict[str, Any]:
    source, fetched = blueprint.source, blueprint.fetched
    mounts = _listed(blueprint.spec.template.volume_mounts)
    found = []
    if isinstance(source, ModelDownload):
        found += [
            build(blueprint, source, rendering, mounts) for build in (survey_container, download_container)
        ]
    if fetched:
        found.append(adapter_keeper(blueprint, fetched, rendering, mounts))
    return {"initContainers": found} if found else {}


def _grace_seconds(blueprint: Blueprint) -> int:
    needed = seconds(blueprint.spec.rollout.drain_timeout) + STOP_MARGIN_SECONDS
    return blueprint.spec.template.termination_grace_period_seconds or needed


def _as_given(part: BaseModel, *fields: str) -> dict[str, Any]:
    dumped = part.model_dump(by_alias=True, exclude_none=True, include=set(fields))
    return {key: value for key, value in dumped.items() if value not in ({}, [])}


def _listed(parts: list[Any] | None) -> list[dict[str, Any]]:
    return [part.model_dump(by_alias=True, exclude_none=True) for part in parts or ()]
