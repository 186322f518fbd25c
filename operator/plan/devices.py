"""What a pod takes of its node: accelerators, claimed devices, and memory shared between its ranks. Pure."""

from __future__ import annotations

from typing import Any

from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.layout import is_device
from paddock.operator.plan.revision import Rendering

SHARED_MEMORY = "shared-memory"
_SHARED_MEMORY_PATH = "/dev/shm"
_DEFAULT_SHARED_MEMORY = "2Gi"


def resources(blueprint: Blueprint, rendering: Rendering) -> dict[str, Any]:
    """The template's resources, and one accelerator for each rank unless the template gives devices itself."""
    wanted = blueprint.spec.template
    given = wanted.resources.model_dump(by_alias=True, exclude_none=True) if wanted.resources else {}
    claims = [{"name": claim.name} for claim in wanted.resource_claims or ()]
    accelerator = wanted.accelerator if wanted.accelerator is not None else rendering.accelerator
    limits = given.get("limits", {})
    if accelerator and not claims and not any(map(is_device, limits)):
        limits = {**limits, accelerator: str(blueprint.layout.ranks)}
    found = {"limits": limits, "requests": given.get("requests", {}), "claims": claims}
    kept = {name: value for name, value in found.items() if value}
    return {"resources": kept} if kept else {}


def resource_claims(blueprint: Blueprint) -> dict[str, Any]:
    claims = [
        claim.model_dump(by_alias=True, exclude_none=True)
        for claim in blueprint.spec.template.resource_claims or ()
    ]
    return {"resourceClaims": claims} if claims else {}


def shared_memory(blueprint: Blueprint) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volume and mount of /dev/shm: of the size that the template gives, else only where several ranks share it.

    A container has 64 MiB there otherwise, which is too little for the ranks' queues and collectives.
    """
    wanted = blueprint.spec.template
    size = wanted.shared_memory or (_DEFAULT_SHARED_MEMORY if blueprint.layout.ranks > 1 else None)
    mounted = any(mount.mount_path == _SHARED_MEMORY_PATH for mount in wanted.volume_mounts or ())
    if size is None or mounted:
        return [], []
    volume = {"name": SHARED_MEMORY, "emptyDir": {"medium": "Memory", "sizeLimit": size}}
    return [volume], [{"name": SHARED_MEMORY, "mountPath": _SHARED_MEMORY_PATH}]
