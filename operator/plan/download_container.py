"""The init containers that look at a model and download it: the server's image, and only its own folder of the cache. Pure."""

from __future__ import annotations

import posixpath
from typing import Any

from paddock.operator.plan import security
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.launch import given_variables
from paddock.operator.plan.model_download import ModelDownload
from paddock.operator.plan.revision import Rendering
from paddock.operator.resource import CACHE_PATH, DOWNLOAD_CONTAINER, SURVEY_CONTAINER

_LAST_WORDS = "/dev/termination-log"
"""The kubelet's own default."""

_COMPUTE = ("cpu", "memory", "ephemeral-storage")


def download_container(
    blueprint: Blueprint, download: ModelDownload, rendering: Rendering, mounts: list[dict[str, Any]]
) -> dict[str, Any]:
    """`mounts`: the user's own, as of a certificate authority."""
    progress = ("--progress-port", str(blueprint.port))
    return _container(blueprint, download, rendering, mounts, DOWNLOAD_CONTAINER, progress)


def survey_container(
    blueprint: Blueprint, download: ModelDownload, rendering: Rendering, mounts: list[dict[str, Any]]
) -> dict[str, Any]:
    """Comes before it, and leaves in its last words what the model is."""
    told = ("--survey", _LAST_WORDS)
    return _container(blueprint, download, rendering, mounts, SURVEY_CONTAINER, told)


def _container(
    blueprint: Blueprint,
    download: ModelDownload,
    rendering: Rendering,
    mounts: list[dict[str, Any]],
    name: str,
    options: tuple[str, str],
) -> dict[str, Any]:
    wanted = blueprint.spec.template
    entry = posixpath.dirname(download.stored(rendering.model_cache).sub_path)
    return {
        "name": name,
        "image": wanted.image or rendering.image,
        "imagePullPolicy": wanted.image_pull_policy or rendering.pull_policy,
        "args": ["fetch", download.uri, "--into", CACHE_PATH, *options, *download.arguments],
        "env": [
            *given_variables(blueprint),
            {"name": "HOME", "value": "/tmp"},
            *map(dict, download.variables),
        ],
        **_compute(blueprint),
        "volumeMounts": [
            {"name": "model", "mountPath": CACHE_PATH, "subPath": entry},
            {"name": "tmp", "mountPath": "/tmp"},
            *mounts,
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": security.CONTAINER,
    }


def _compute(blueprint: Blueprint) -> dict[str, Any]:
    """As much as the server: a pod is counted by the larger of the two, and quotas ask for figures. No devices."""
    given = blueprint.spec.template.resources
    dumped = given.model_dump(by_alias=True, exclude_none=True) if given else {}
    kept = {
        part: {name: value for name, value in values.items() if name in _COMPUTE}
        for part, values in dumped.items()
    }
    return {"resources": kept} if any(kept.values()) else {}
