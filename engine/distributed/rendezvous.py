"""Forming the ways through which tensors travel: shared memory or gloo between CPUs, NCCL between GPUs."""

import logging
import os
import socket
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import ProcessGroupGloo, TCPStore

from paddock.engine.distributed.seat import Seat
from paddock.engine.distributed.shared_segments import Inherited
from paddock.engine.distributed.tensor_group import ProcessGroupPeers, TensorGroup
from paddock.engine.distributed.topology import Topology
from paddock.kernels.collective import SharedMemoryRanks, shared_memory_serves

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 120

COLLECTIVE_TIMEOUT = timedelta(days=7)
"""None of torch's: a member that hangs is found out by the control link, which ends the process in the collective."""


GLOO = "gloo_at_an_address"
"""The name of gloo that obeys its options; torch's own takes whatever address the machine's name resolves to."""


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
    inherited: Inherited,
) -> Seat:
    """Join the groups; every rank calls this at the same time. `own_host` is the address others reach this rank at."""
    seat = _shared_seat(topology, rank, device_type, inherited)
    if _lacks_nobody(seat):
        return seat
    store = TCPStore(
        address.host,
        address.port,
        topology.world_size,
        is_master=listener is not None,
        timeout=timedelta(seconds=CONNECT_SECONDS),
        wait_for_workers=False,
        master_listen_fd=None if listener is None else listener.detach(),
    )
    backend = "nccl" if device_type == "cuda" else _gloo()
    device = torch.device("cuda", topology.local_index(rank)) if backend == "nccl" else None
    dist.init_process_group(
        backend,
        store=store,
        rank=rank,
        world_size=topology.world_size,
        timeout=COLLECTIVE_TIMEOUT,
        pg_options=backend_options(backend, own_host),
        device_id=device,
    )
    if seat.tensor_group is not None and topology.stages_keep_to_nodes:
        return seat
    made = _tensor_group(topology, rank, backend, own_host)
    return replace(seat, tensor_group=seat.tensor_group or made)


def _shared_seat(topology: Topology, rank: int, device_type: str, inherited: Inherited) -> Seat:
    """With what the rank shares with others of its node; ranks of one node have the same device and the same kernels."""
    if device_type != "cpu":
        for descriptor in inherited.descriptors:
            os.close(descriptor)
        return Seat(topology, rank)
    seat = Seat(
        topology,
        rank,
        _shared_memory(topology, rank, inherited.segment),
        *(
            None if end is None else socket.socket(fileno=end)
            for end in (inherited.previous, inherited.following)
        ),
    )
    shared = {
        "tensor-parallel peers": seat.tensor_group,
        "the stage before": seat.previous,
        "the stage after": seat.following,
    }
    if any(shared.values()):
        names = " and ".join(name for name, way in shared.items() if way is not None)
        logger.info("rank %d reaches %s through shared memory", rank, names)
    return seat


def _lacks_nobody(seat: Seat) -> bool:
    """Whether no rank needs a process group; every one comes to the same answer."""
    topology, stage = seat.topology, seat.topology.stage(seat.rank)
    if len(topology.local_ranks) < topology.world_size:
        return False
    return (
        (topology.tensor_parallel_size == 1 or seat.tensor_group is not None)
        and (stage == 0 or seat.previous is not None)
        and (stage == topology.pipeline_parallel_size - 1 or seat.following is not None)
    )


def _shared_memory(topology: Topology, rank: int, segment: int | None) -> TensorGroup | None:
    if segment is None:
        return None
    try:
        if shared_memory_serves(topology.tensor_parallel_size):
            return SharedMemoryRanks(segment, topology.tensor_rank(rank), topology.tensor_parallel_size)
    finally:
        os.close(segment)
    return None


def _tensor_group(topology: Topology, rank: int, backend: str, own_host: str) -> TensorGroup | None:
    """Every rank takes part in making every group, and keeps its own."""
    if topology.tensor_parallel_size == 1:
        return None
    own: TensorGroup | None = None
    for stage in range(topology.pipeline_parallel_size):
        peers = topology.peers(stage)
        group = dist.new_group(
            list(peers),
            timeout=COLLECTIVE_TIMEOUT,
            backend=backend,
            pg_options=backend_options(backend, own_host),
        )
        if rank in peers:
            assert isinstance(group, dist.ProcessGroup), "a member gets the group"
            own = ProcessGroupPeers(group)
    return own


def _gloo() -> str:
    """The name of the backend, registered with torch."""

    def make(group: Any, options: Any) -> Any:
        return cast(Any, ProcessGroupGloo)(group.store, group.group_rank, group.group_size, options)

    if not hasattr(dist.Backend, GLOO.upper()):
        dist.Backend.register_backend(GLOO, make, extended_api=True, devices=["cpu"])
    return GLOO


def backend_options(backend: str, own_host: str) -> Any | None:
    """Gloo listens at `own_host` alone."""
    if backend != GLOO:
        return None
    options = cast(Any, ProcessGroupGloo)._Options()
    options._timeout = COLLECTIVE_TIMEOUT
    options._devices = [ProcessGroupGloo.create_device(hostname=own_host)]
    options._threads = 2
    return options
