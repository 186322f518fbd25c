"""The container that fetches adapters beside the server, and the volumes that the two share. Pure."""

from __future__ import annotations

from typing import Any

from paddock.operator.plan import security
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.fetched_adapters import WANTED_ADAPTERS, FetchedAdapters
from paddock.operator.plan.launch import given_variables
from paddock.operator.plan.revision import Rendering
from paddock.operator.resource import ADAPTER_KEEPER

_CACHE, _LISTS, _WANTED = "paddock-adapters", "paddock-adapter-lists", "paddock-wanted-adapters"
_CACHE_PATH, _LISTS_PATH, _WANTED_PATH = (
    "/models/adapter-cache", "/models/adapter-lists", "/models/wanted-adapters",
)  # fmt: skip
_WANTED_FILE, _SERVED_FILE = "wanted.json", "served.json"
_COMPUTE = {"cpu": "250m", "memory": "256Mi"}


def wanted_adapters(blueprint: Blueprint) -> dict[str, str]:
    """The annotation of pods that can take adapters while they run."""
    return {WANTED_ADAPTERS: blueprint.fetched.annotation} if blueprint.fetched else {}


def keeper_volumes(fetched: FetchedAdapters, rendering: Rendering) -> list[dict[str, Any]]:
    cache, _ = fetched.volume(rendering.model_cache)
    field = {"fieldPath": f"metadata.annotations['{WANTED_ADAPTERS}']"}
    return [
        {"name": _CACHE, **cache},
        {"name": _LISTS, "emptyDir": {}},
        {"name": _WANTED, "downwardAPI": {"items": [{"path": _WANTED_FILE, "fieldRef": field}]}},
    ]


def server_mounts(fetched: FetchedAdapters, rendering: Rendering) -> list[dict[str, Any]]:
    """What the server writes there is what became of each."""
    return [
        _cache_mount(fetched, rendering) | {"readOnly": True},
        {"name": _LISTS, "mountPath": _LISTS_PATH},
    ]


def server_variables() -> list[dict[str, Any]]:
    return [{"name": "PADDOCK_ADAPTERS_FILE", "value": f"{_LISTS_PATH}/{_SERVED_FILE}"}]


def adapter_keeper(
    blueprint: Blueprint, fetched: FetchedAdapters, rendering: Rendering, mounts: list[dict[str, Any]]
) -> dict[str, Any]:
    """Starts before the server, which waits until each adapter was tried once, and ends after it. `mounts`: the user's."""
    wanted = blueprint.spec.template
    return {
        "name": ADAPTER_KEEPER,
        "image": wanted.image or rendering.image,
        "imagePullPolicy": wanted.image_pull_policy or rendering.pull_policy,
        "restartPolicy": "Always",
        "command": ["python", "-m", "paddock.server.fetch.keep_adapters"],
        "args": [
            *("--wanted", f"{_WANTED_PATH}/{_WANTED_FILE}"),
            *("--cache", _CACHE_PATH),
            *("--lists", _LISTS_PATH),
            *("--port", str(fetched.port)),
        ],
        "ports": [{"name": ADAPTER_KEEPER, "containerPort": fetched.port, "protocol": "TCP"}],
        "env": [
            *given_variables(blueprint),
            {"name": "HOME", "value": "/tmp"},
            *map(dict, fetched.variables),
        ],
        # Where the server has figures, quotas ask for some, and equal ones leave the pod its class of service.
        **({"resources": {"limits": _COMPUTE, "requests": _COMPUTE}} if wanted.resources else {}),
        "startupProbe": {
            "exec": {"command": ["test", "-e", f"{_LISTS_PATH}/{_SERVED_FILE}"]},
            "periodSeconds": 1,
            "failureThreshold": 86400,
        },
        "volumeMounts": [
            _cache_mount(fetched, rendering),
            {"name": _LISTS, "mountPath": _LISTS_PATH},
            {"name": _WANTED, "mountPath": _WANTED_PATH, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
            *mounts,
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": security.CONTAINER,
    }


def _cache_mount(fetched: FetchedAdapters, rendering: Rendering) -> dict[str, Any]:
    _, folder = fetched.volume(rendering.model_cache)
    return {"name": _CACHE, "mountPath": _CACHE_PATH, "subPath": folder}
