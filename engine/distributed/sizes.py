"""Whether the parallel sizes fit each other and the model; told before anything is loaded. Torch-free."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from paddock.engine.data_parallel.replicas import Replicas
from paddock.engine.distributed.launcher import Launched
from paddock.engine.distributed.topology import Topology
from paddock.engine.models.expert_count import expert_count
from paddock.engine.models.shape import ModelShape

if TYPE_CHECKING:
    from paddock.engine.config import ServeConfig


def size_problem(config: "ServeConfig", shape: ModelShape) -> str | None:
    """The first thing that is wrong, with the values that would do; None when nothing is."""
    try:
        topology = Topology.of(config)
    except ValueError as error:
        return str(error)
    return next(_problems(config, topology, shape), None)


def _problems(config: "ServeConfig", topology: Topology, shape: ModelShape) -> Iterator[str]:
    yield from _node_problems(config, topology)
    yield from _tensor_problems(topology.tensor_parallel_size, shape)
    yield from _expert_problems(config, shape)
    stages = topology.pipeline_parallel_size
    if stages > shape.num_layers:
        yield (
            f"--pipeline-parallel-size {stages} is more than the model's {shape.num_layers} layers, and a stage needs "
            f"at least one; use at most {shape.num_layers}."
        )


def _node_problems(config: "ServeConfig", topology: Topology) -> Iterator[str]:
    world, nodes = topology.world_size, topology.nnodes
    sizes = (
        f"--tensor-parallel-size {topology.tensor_parallel_size} x --pipeline-parallel-size "
        f"{topology.pipeline_parallel_size} = {world} ranks"
    )
    if topology.launched_rank is not None:
        yield from _launcher_problems(topology, sizes)
        return
    if world % nodes:
        yield f"--nnodes {nodes} does not divide {sizes}; use {_some(_divisors(world))}."
    if config.parallel.distributed_executor_backend == "uni" and world > 1:
        yield (
            f"--distributed-executor-backend uni runs one rank, and {sizes} are asked for; use mp, or leave it unset."
        )
    if nodes > 1 and config.parallel.master_addr is None:
        yield f"--nnodes {nodes} needs --master-addr: the address of the node with --node-rank 0."
    if topology.node_rank > 0 and not config.service.headless:
        yield f"--node-rank {topology.node_rank} needs --headless: node 0 alone serves the API."
    leads_itself = topology.node_rank == 0 and not Replicas.of(config).spans_nodes
    if config.service.headless and leads_itself:
        yield (
            "--headless needs --node-rank above 0, or --data-parallel-size above 1: node 0 leads, and serves the API "
            "for the others."
        )


def _launcher_problems(topology: Topology, sizes: str) -> Iterator[str]:
    """The launcher decides how many processes there are; its variables stand for the nodes' flags."""
    started = Launched.read(os.environ).world_size
    if started != topology.world_size:
        yield f"the launcher starts {started} processes, and {sizes} are asked for; start one for each rank."
    if topology.meets_over_network and not topology.master_addr:
        yield "--distributed-executor-backend external_launcher needs MASTER_ADDR from the launcher."


def _tensor_problems(size: int, shape: ModelShape) -> Iterator[str]:
    heads, kv_heads = shape.num_heads, shape.num_kv_heads
    allowed = [n for n in _divisors(heads) if kv_heads % n == 0 or n % kv_heads == 0]
    if heads % size:
        yield (
            f"--tensor-parallel-size {size} does not divide the model's {heads} attention heads; use {_some(allowed)}."
        )
    if kv_heads % size and size % kv_heads:
        yield (
            f"--tensor-parallel-size {size} neither divides the model's {kv_heads} KV heads nor is a multiple of them; "
            f"use {_some(allowed)}."
        )
    if shape.intermediate_size % size:
        allowed = [n for n in allowed if shape.intermediate_size % n == 0]
        yield (
            f"--tensor-parallel-size {size} does not divide the model's {shape.intermediate_size} feed-forward "
            f"features; use {_some(allowed)}."
        )


def _expert_problems(config: "ServeConfig", shape: ModelShape) -> Iterator[str]:
    parallel = config.parallel
    if not parallel.enable_expert_parallel:
        return
    experts, size = expert_count(shape), parallel.tensor_parallel_size * parallel.data_parallel_size
    if experts is None:
        yield (
            f"--enable-expert-parallel shares experts of the engine's own models among ranks, and {shape.architecture} "
            "has none here; leave it out."
        )
    elif experts < size:
        yield (
            f"--enable-expert-parallel shares the model's {experts} experts among {size} ranks (--tensor-parallel-size x "
            f"--data-parallel-size), and each needs one; make these {experts} or less."
        )
    elif shape.pooling is not None and parallel.data_parallel_size > 1:
        yield (
            f"--enable-expert-parallel shares experts over --data-parallel-size {parallel.data_parallel_size} replicas "
            "that generate, and this model pools (--runner pooling); leave one of them out."
        )


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def _some(values: list[int]) -> str:
    return (
        " or ".join([", ".join(map(str, values[:-1])), str(values[-1])])
        if len(values) > 1
        else str(values[0])
    )
