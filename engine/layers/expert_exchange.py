"""Experts that replicas share: each replica's tokens go to all experts' ranks, and the sums come back."""

from abc import abstractmethod
from typing import Protocol

import torch
from torch import nn


class SharedExpertsLayer(nn.Module):
    """A layer that replicas compute together."""

    @abstractmethod
    def take_part(self) -> None:
        """Compute other replicas' tokens, in a step for which this one has none."""


class ExpertPeers(Protocol):
    """The tensor-parallel ranks of all replicas, replica by replica. `SharedMemoryRanks` is one."""

    def all_reduce(self, x: torch.Tensor) -> None:
        """The sum of the peers' `x`, in place."""

    def all_gather(self, x: torch.Tensor) -> torch.Tensor:
        """The peers' `x` `[rows, n]` side by side: `[rows, peers * n]`."""


class ExpertExchange:
    """One rank's end. All peers make the same calls in the same order; a replica's ranks have the same tokens."""

    def __init__(self, peers: ExpertPeers, replica: int, replicas: int, tensor_rank: int, tensor_size: int):
        self._peers = peers
        self._replica, self._tensor_rank, self._tensor_size = replica, tensor_rank, tensor_size
        self.rank = replica * tensor_size + tensor_rank
        """Among those that the experts are dealt out to."""
        self.size = replicas * tensor_size
        self._own = slice(0, 0)
        self._chunk = 0
        self._tokens: torch.Tensor | None = None

    def begin(self, num_tokens: int, device: torch.device) -> bool:
        """Tell the other replicas how many tokens the step has here. Whether anybody has some."""
        told = torch.tensor([[num_tokens]], device=device)
        counts: list[int] = self._peers.all_gather(told)[0, :: self._tensor_size].tolist()
        first = sum(counts[: self._replica])
        self._own = slice(first, first + num_tokens)
        # Every rank tells as many rows as the fullest one, since peers speak in equal lengths; the rest are nobody's.
        self._chunk = -(-max(counts) // self._tensor_size)
        room = self._chunk * self._tensor_size
        held = [torch.arange(count, device=device) + i * room for i, count in enumerate(counts)]
        self._tokens = None if min(counts) == room else torch.cat(held)
        return self._chunk > 0

    def gather(
        self, x: torch.Tensor, experts: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The rows `[tokens, …]` of all replicas, one replica after the other.

        Who a token goes to is told by its own replica: were each rank to choose, a rounding could give it two answers.
        """
        parts = (x, experts, weights)
        rows = torch.cat([part.contiguous().view(torch.uint8) for part in parts], dim=1)
        # The ranks of a replica have the same rows, and each tells a part of them.
        first = self._tensor_rank * self._chunk
        told = rows.new_zeros(self._chunk, rows.shape[1])
        own = rows[first : first + self._chunk]
        told[: len(own)] = own
        heard = self._peers.all_gather(told.view(1, -1)).view(-1, rows.shape[1])
        if self._tokens is not None:
            heard = heard.index_select(0, self._tokens)
        widths = [part.shape[1] * part.itemsize for part in parts]
        # Copies, for a part of a single row counts as contiguous where it is not aligned to its type.
        apart = [
            part.clone(memory_format=torch.contiguous_format) for part in torch.split(heard, widths, dim=1)
        ]
        all_x, all_experts, all_weights = (
            bytes_.view(part.dtype) for bytes_, part in zip(apart, parts, strict=True)
        )
        return all_x, all_experts, all_weights

    def sum_of_own(self, x: torch.Tensor) -> torch.Tensor:
        """Of `x`, what this rank's experts make of all tokens, summed over the ranks: this replica's rows."""
        self._peers.all_reduce(x)
        return x[self._own]
