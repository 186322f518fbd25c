"""The tensor-parallel peers of a stage, and what travels between them."""

from typing import Protocol

import torch
import torch.distributed as dist


class TensorGroup(Protocol):
    """All peers call the same methods in the same order, with tensors of the same size.

    `SharedMemoryRanks` is one for CPUs of one node.
    """

    def all_reduce(self, x: torch.Tensor) -> None:
        """The sum of the peers' `x`, in place."""

    def all_gather(self, x: torch.Tensor) -> torch.Tensor:
        """The peers' `x` `[rows, n]` side by side: `[rows, peers * n]`."""

    def broadcast(self, x: torch.Tensor) -> None:
        """The first peer's `x`, written over the others'."""


class ProcessGroupPeers:
    """Peers on GPUs (NCCL), or on CPUs of several nodes (gloo)."""

    def __init__(self, group: dist.ProcessGroup) -> None:
        self._group = group

    def all_reduce(self, x: torch.Tensor) -> None:
        dist.all_reduce(x, group=self._group)

    def all_gather(self, x: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(x) for _ in range(self._group.size())]
        dist.all_gather(parts, x.contiguous(), group=self._group)
        return torch.cat(parts, dim=-1)

    def broadcast(self, x: torch.Tensor) -> None:
        dist.broadcast(x, group=self._group, group_src=0)
