"""Joining the ranks of all replicas that share experts: through shared memory, gloo between CPUs, NCCL between GPUs."""

import logging
import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, ProcessGroupGloo, TCPStore

from paddock.engine.data_parallel.replica_tie import ReplicaTie
from paddock.engine.distributed.rendezvous import COLLECTIVE_TIMEOUT, CONNECT_SECONDS, GLOO, backend_options
from paddock.engine.distributed.topology import Topology
from paddock.engine.distributed.vitality import SILENCE_SECONDS
from paddock.engine.layers.expert_exchange import ExpertExchange, ExpertPeers
from paddock.kernels.collective import SharedMemoryRanks, shared_memory_serves

logger = logging.getLogger(__name__)


def join_experts(topology: Topology, rank: int, device: torch.device) -> ExpertExchange | None:
    """None where replicas share no experts. Every rank of every replica calls this at its start, once."""
    share = topology.share
    if share.tie is None:
        return None
    size, tensor_rank, stage = (
        topology.tensor_parallel_size,
        topology.tensor_rank(rank),
        topology.stage(rank),
    )
    replica, replicas = share.tie.first + share.index, share.tie.replicas
    number, count = replica * size + tensor_rank, replicas * size
    if device.type == "cpu" and share.tie.experts and shared_memory_serves(count):
        peers: ExpertPeers = SharedMemoryRanks(share.tie.experts[stage], number, count)
        way = "shared memory"
    else:
        peers = ProcessGroupRanks(share.tie, stage, number, count, device)
        way = "sockets"
    logger.info("replica %d, rank %d reaches the experts of other replicas through %s", replica, rank, way)
    return ExpertExchange(peers, replica, replicas, tensor_rank, size)


class ProcessGroupRanks:
    """A process group beside the engine's own one, which has no ranks of other replicas."""

    def __init__(self, tie: ReplicaTie, stage: int, rank: int, ranks: int, device: torch.device) -> None:
        store = PrefixStore(f"experts-{stage}", _store(tie, leads=rank == 0 and stage == 0))
        # Their stubs lack the constructors with options, and the collectives.
        self._group: Any
        if device.type == "cuda":
            nccl = cast(Any, dist).ProcessGroupNCCL
            options = nccl.Options()
            options._timeout = COLLECTIVE_TIMEOUT
            self._group = nccl(store, rank, ranks, options)
        else:
            gloo = cast(Any, ProcessGroupGloo)
            self._group = gloo(store, rank, ranks, backend_options(GLOO, tie.host))
        self._ranks = ranks

    def all_reduce(self, x: torch.Tensor) -> None:
        self._complete(lambda: self._group.allreduce([x]))

    def all_gather(self, x: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(x) for _ in range(self._ranks)]
        self._complete(lambda: self._group.allgather([parts], [x.contiguous()]))
        return torch.cat(parts, dim=-1)

    def _complete(self, begin: Callable[[], Any]) -> None:
        try:
            begin().wait()
        except RuntimeError as error:
            # A rank of another replica is gone: who started it says why, and meanwhile ends this one.
            time.sleep(SILENCE_SECONDS + 1)
            raise RuntimeError("a rank of another replica, with which experts are shared, is lost") from error


def _store(tie: ReplicaTie, leads: bool) -> TCPStore:
    """At the socket that the first rank of the first replica listens at."""
    assert tie.store is not None, "told before any rank is started"
    return TCPStore(
        *tie.store,
        is_master=leads,
        timeout=timedelta(seconds=CONNECT_SECONDS),
        wait_for_workers=False,
        master_listen_fd=os.dup(tie.listener) if leads and tie.listener is not None else None,
    )
