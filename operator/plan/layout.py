"""How a group is cut into pods: `nodes` equal pods, in which each rank of an engine has one device.

One engine has `tensor * pipeline` ranks, numbered pod by pod, so that a tensor-parallel group, which talks most, lies in
one pod where it fits. Of several data-parallel engines each stays whole in one pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paddock.engine.config import ServeConfig
from paddock.operator.plan.refusal import Refusal
from paddock.operator.resource import OperatorSpec

NVIDIA = "nvidia.com/gpu"


@dataclass(frozen=True)
class Layout:
    """`nodes`: pods in a group. `ranks`: ranks, and so devices, in each pod. `engines`: data-parallel engines in each
    pod, None where there is one engine in all. `each_answers`: every pod serves the API for its own engines, which may
    still `share_experts` with those of the others.
    """

    nodes: int = 1
    ranks: int = 1
    engines: int | None = None
    each_answers: bool = False
    share_experts: bool = False

    @property
    def meets(self) -> bool:
        """Whether the pods of a group talk to each other, and serve or fail together."""
        return self.nodes > 1 and (self.share_experts or not self.each_answers)

    @property
    def has_followers(self) -> bool:
        """Whether the first pod alone answers."""
        return self.nodes > 1 and not self.each_answers


def layout(config: ServeConfig, spec: OperatorSpec, accelerator: str) -> Layout:
    """Raises Refusal when the ranks cannot be dealt out evenly, or a pod has fewer devices than ranks.

    `accelerator` is the operator's own choice of resource, empty for none.
    """
    resource = spec.template.accelerator or accelerator or NVIDIA
    devices = _limit(spec, resource)
    parallel = config.parallel
    if parallel.data_parallel_size > 1:
        cut = _of_engines(config, spec.nodes, devices, resource)
    elif parallel.data_parallel_hybrid_lb:
        raise _refusal(
            "spec.parallel.dataParallelHybridLb: needs dataParallelSize above 1: one engine has one API; leave it out"
        )
    else:
        cut = _of_ranks(config, spec.nodes, devices, resource)
    if devices and devices < cut.ranks:
        raise _refusal(
            f"spec.template.resources.limits: {resource} {devices} is too little for {_sizes(config)} on {cut.nodes} "
            f"pods: each needs {cut.ranks}; raise the limit or spec.nodes"
        )
    return cut


def _of_ranks(config: ServeConfig, wanted: int | None, devices: int, resource: str) -> Layout:
    """One engine, whose ranks may lie in several pods."""
    ranks = _ranks(config)
    nodes = wanted or (-(-ranks // devices) if devices else 1)
    if ranks % nodes:
        named = f"{nodes} pods" if wanted else f"{nodes} pods of {devices} {resource}"
        raise _refusal(
            f"spec.parallel: {_sizes(config)} is {ranks} ranks, which do not divide evenly over {named}"
        )
    return Layout(nodes, ranks // nodes)


def _of_engines(config: ServeConfig, wanted: int | None, devices: int, resource: str) -> Layout:
    """Several engines, each of them in one pod."""
    parallel, ranks = config.parallel, _ranks(config)
    size, local = parallel.data_parallel_size, parallel.data_parallel_size_local
    if devices and devices < ranks:
        raise _refusal(
            f"spec.parallel: an engine of {ranks} ranks ({_engine(config)}) does not fit a pod of {devices} {resource}, and "
            "data-parallel engines do not span pods: raise template.resources.limits, or leave dataParallelSize out and "
            "set spec.replicas"
        )
    if local is None:
        local = size // wanted if wanted else min(size, devices // ranks or size)
    nodes = wanted or -(-size // local)
    if nodes * local != size:
        each = f"{local} engines each" if local > 1 else "one engine each"
        raise _refusal(
            f"spec.parallel.dataParallelSize: {size} engines do not divide evenly over {nodes} pods with {each}: choose "
            "spec.nodes or dataParallelSizeLocal so that pods times engines is dataParallelSize"
        )
    each_answers = nodes > 1 and parallel.data_parallel_hybrid_lb
    cut = Layout(nodes, local * ranks, local, each_answers, parallel.enable_expert_parallel)
    _check_engines_of_a_pod(config, cut, local)
    return cut


def _check_engines_of_a_pod(config: ServeConfig, cut: Layout, local: int) -> None:
    """What the server would refuse when it starts."""
    loaders = config.parallel.max_parallel_loading_workers
    if loaders is not None and local > 1:
        raise _refusal(
            f"spec.parallel.maxParallelLoadingWorkers: {loaders} does not go with {local} engines in a pod, which load at "
            "the same time; leave it out"
        )
    if config.frontend.disable_frontend_multiprocessing and (local > 1 or cut.meets):
        raise _refusal(
            "spec.frontend.disableFrontendMultiprocessing: true puts one engine into the server's process, and "
            f"dataParallelSize {config.parallel.data_parallel_size} asks for more; leave it out"
        )


def _ranks(config: ServeConfig) -> int:
    """Of one engine."""
    return config.parallel.tensor_parallel_size * config.parallel.pipeline_parallel_size


def _sizes(config: ServeConfig) -> str:
    engines = config.parallel.data_parallel_size
    return f"{_engine(config)} times dataParallelSize {engines}" if engines > 1 else _engine(config)


def _engine(config: ServeConfig) -> str:
    tensor, pipeline = config.parallel.tensor_parallel_size, config.parallel.pipeline_parallel_size
    return f"tensorParallelSize {tensor} times pipelineParallelSize {pipeline}"


def _refusal(message: str) -> Refusal:
    return Refusal("InvalidSpec", message)


def devices_per_pod(spec: OperatorSpec, cut: Layout, accelerator: str) -> int | None:
    """Accelerators that a pod takes of its node; None where a ResourceClaim says it in words of its own."""
    given = [_limit(spec, resource) for resource in _limits(spec) if is_device(resource)]
    if given or spec.template.resource_claims:
        return sum(given) if given else None
    wanted = spec.template.accelerator if spec.template.accelerator is not None else accelerator
    return cut.ranks if wanted else 0


def is_device(resource: str) -> bool:
    """Whether a resource is somebody's device and no network interface: those come beside accelerators."""
    return "/" in resource and "rdma" not in resource.lower()


def _limits(spec: OperatorSpec) -> Mapping[str, str | int]:
    given = spec.template.resources
    return (given.limits if given else None) or {}


def _limit(spec: OperatorSpec, resource: str) -> int:
    """Devices that the template gives to each pod; 0 when it does not say."""
    text = str(_limits(spec).get(resource, 0))
    return int(text) if text.isdigit() else 0
