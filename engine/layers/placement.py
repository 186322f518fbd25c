"""Where a layer's shard lives: its rank among the tensor-parallel peers, its device and its dtype."""

from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Placement:
    """Shared by every layer of one model on one worker."""

    dtype: torch.dtype
    device: torch.device
    rank: int = 0
    size: int = 1
    group: dist.ProcessGroup | None = None
    """The tensor-parallel peers; needed only when `size` is over 1."""

    def empty(self, *shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def share(self, count: int, what: str) -> int:
        """This rank's part of `count`. Raises `ValueError` when the ranks cannot have equal parts."""
        if count % self.size:
            raise ValueError(
                f"tensor_parallel_size {self.size} does not divide the model's {count} {what}; use a divisor of {count}."
            )
        return count // self.size

    def all_reduce(self, x: torch.Tensor) -> torch.Tensor:
        """The sum of `x` over the ranks, in place."""
        if self.size > 1:
            dist.all_reduce(x, group=self.group)
        return x

    def all_gather(self, x: torch.Tensor) -> torch.Tensor:
        """The ranks' `x` `[rows, n]` side by side: `[rows, size * n]`."""
        if self.size == 1:
            return x
        parts = [torch.empty_like(x) for _ in range(self.size)]
        dist.all_gather(parts, x.contiguous(), group=self.group)
        return torch.cat(parts, dim=-1)
