"""How a group is cut into pods: a replica is `tensor * pipeline` ranks of one device each, in `nodes` equal pods.

Ranks are numbered pod by pod, so that a tensor-parallel group, which talks most, lies in one pod where it fits.
"""

from __future__ import annotations

from dataclasses import dataclass

from paddock.operator.plan.refusal import Refusal
from paddock.operator.resource import OperatorSpec

NVIDIA = "nvidia.com/gpu"


@dataclass(frozen=True)
class Layout:
    """`nodes`: pods in a group. `ranks`: ranks, and so devices, in each pod."""

    nodes: int = 1
    ranks: int = 1


def layout(tensor: int, pipeline: int, spec: OperatorSpec, accelerator: str) -> Layout:
    """Raises Refusal when the ranks cannot be dealt out evenly, or a pod has fewer devices than ranks.

    `accelerator` is the operator's own choice of resource, empty for none.
    """
    ranks = tensor * pipeline
    sizes = f"tensorParallelSize {tensor} times pipelineParallelSize {pipeline}"
    resource = spec.template.accelerator or accelerator or NVIDIA
    devices = _limit(spec, resource)
    nodes = spec.nodes or (-(-ranks // devices) if devices else 1)
    if ranks % nodes:
        named = f"{nodes} pods" if spec.nodes else f"{nodes} pods of {devices} {resource}"
        raise Refusal(
            "InvalidSpec", f"spec.parallel: {sizes} is {ranks} ranks, which do not divide evenly over {named}"
        )
    if devices and devices < ranks // nodes:
        raise Refusal(
            "InvalidSpec",
            f"spec.template.resources.limits: {resource} {devices} is too little for {sizes} on {nodes} pods: each needs "
            f"{ranks // nodes}; raise the limit or spec.nodes",
        )
    return Layout(nodes, ranks // nodes)


def _limit(spec: OperatorSpec, resource: str) -> int:
    """Devices that the template gives to each pod; 0 when it does not say."""
    given = spec.template.resources
    text = str(((given.limits if given else None) or {}).get(resource, 0))
    return int(text) if text.isdigit() else 0
