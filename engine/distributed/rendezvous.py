"""Forming the groups through which tensors travel: shared memory or gloo between CPUs, NCCL between GPUs."""

import logging
import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import ProcessGroupGloo, TCPStore

from paddock.engine.distributed.seat import Seat
from paddock.engine.distributed.tensor_group import ProcessGroupPeers, TensorGroup
from paddock.engine.distributed.topology import Topology
from paddock.kernels.collective import SharedMemoryRanks, shared_memory_serves

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 120

COLLECTIVE_TIMEOUT = timedelta(days=7)
"""None of torch's: a member that hangs is found out by the control link, which ends the process in the collective."""


@dataclass(frozen=True)
class StoreAddress:
    """Where rank 0 keeps what the ranks need to find each other."""

    host: str
    port: int


class StoreListener:
    """A port at `host` alone, held from the moment it is announced; torch's own listener would be on every interface."""

    def __init__(self, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.bind((host, 0))
        self._socket.listen(1024)
        self.port: int = self._socket.getsockname()[1]

    def detach(self) -> int:
        """The descriptor, for the store to own."""
        return self._socket.detach()


def take_seat(
    topology: Topology,
    rank: int,
    address: StoreAddress,
    listener: StoreListener | None,
    own_host: str,
    device_type: str,
    segment: int | None = None,
) -> Seat:
    """Join the groups; every rank calls this at the same time. `own_host` is the address others reach this rank at.

    `segment` is a descriptor of memory that the rank's tensor-parallel peers share, all of them on this node.
    """
    if topology.world_size == 1:
        return Seat(topology, rank)
    shared = None if segment is None else _shared_memory(topology, rank, segment, device_type)
    if shared is not None and topology.pipeline_parallel_size == 1:
        return Seat(topology, rank, shared)
    store = TCPStore(
        address.host,
        address.port,
        topology.world_size,
        is_master=listener is not None,
        timeout=timedelta(seconds=CONNECT_SECONDS),
        wait_for_workers=False,
        master_listen_fd=None if listener is None else listener.detach(),
    )
    backend = "nccl" if device_type == "cuda" else "gloo"
    device = torch.device("cuda", topology.local_index(rank)) if backend == "nccl" else None
    dist.init_process_group(
        backend,
        store=store,
        rank=rank,
        world_size=topology.world_size,
        timeout=COLLECTIVE_TIMEOUT,
        pg_options=_options(backend, own_host),
        device_id=device,
    )
    if shared is not None:
        return Seat(topology, rank, shared)
    return Seat(topology, rank, _tensor_group(topology, rank, backend, own_host))


def _shared_memory(topology: Topology, rank: int, segment: int, device_type: str) -> TensorGroup | None:
    """None where the peers cannot use it; peers of one node have the same device and the same kernels."""
    try:
        if device_type != "cpu" or not shared_memory_serves(topology.tensor_parallel_size):
            return None
        made = SharedMemoryRanks(segment, topology.tensor_rank(rank), topology.tensor_parallel_size)
    finally:
        os.close(segment)
    logger.info("rank %d reaches its tensor-parallel peers through shared memory", rank)
    return made


def _tensor_group(topology: Topology, rank: int, backend: str, own_host: str) -> TensorGroup | None:
    """Every rank takes part in making every group, and keeps its own."""
    if topology.tensor_parallel_size == 1:
        return None
    own: TensorGroup | None = None
    for stage in range(topology.pipeline_parallel_size):
        peers = topology.peers(stage)
        group = dist.new_group(
            list(peers), timeout=COLLECTIVE_TIMEOUT, backend=backend, pg_options=_options(backend, own_host)
        )
        if rank in peers:
            assert isinstance(group, dist.ProcessGroup), "a member gets the group"
            own = ProcessGroupPeers(group)
    return own


def _options(backend: str, own_host: str) -> Any | None:
    """Gloo listens at one address; left alone it takes whatever the machine's name resolves to."""
    if backend != "gloo":
        return None
    options = cast(Any, ProcessGroupGloo)._Options()
    options._timeout = COLLECTIVE_TIMEOUT
    options._devices = [ProcessGroupGloo.create_device(hostname=own_host)]
    options._threads = 2
    return options
