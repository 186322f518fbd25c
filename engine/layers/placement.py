"""Where a layer's shard lives: its rank among the tensor-parallel peers, its stage, its device and its dtype."""

from dataclasses import dataclass
from typing import Literal

import torch

from paddock.engine.distributed.tensor_group import TensorGroup
from paddock.engine.distributed.topology import stage_layers
from paddock.engine.layers.expert_exchange import ExpertExchange
from paddock.engine.layers.layer_stream import LayerStream

ExpertPlacement = Literal["linear", "round_robin"]
"""A run of neighbouring experts for each rank, or each rank's turn in order."""


@dataclass(frozen=True)
class Placement:
    """Shared by every layer of one model on one worker."""

    dtype: torch.dtype
    device: torch.device
    rank: int = 0
    size: int = 1
    group: TensorGroup | None = None
    """The tensor-parallel peers; needed only when `size` is over 1."""

    attention_dtype: torch.dtype | None = None
    """Of queries, keys and values; None is `dtype`."""

    rounded_bits: int | None = None
    """Of a code, where linear layers round their weights after loading; None keeps them as they are."""

    expert_placement: ExpertPlacement | None = None
    """How whole experts are dealt out to the ranks; None slices each over all of them."""

    experts: ExpertExchange | None = None
    """The way to the ranks of all replicas, where these share the experts."""

    stream: LayerStream | None = None
    """Where some layers stay in host memory: what brings them."""

    stage: int = 0
    num_stages: int = 1
    """Pipeline stages; each holds a run of the layers."""

    @property
    def is_alone(self) -> bool:
        """Whether no other rank computes a part of the same step."""
        return self.size * self.num_stages == 1 and self.experts is None

    @property
    def is_first_stage(self) -> bool:
        """The stage that embeds the tokens."""
        return self.stage == 0

    @property
    def is_last_stage(self) -> bool:
        """The stage that has the final norm and the head."""
        return self.stage == self.num_stages - 1

    def layers(self, num_layers: int, head_layers: float) -> range:
        """This stage's of the model's `num_layers`; see `stage_layers`."""
        return stage_layers(num_layers, self.stage, self.num_stages, head_layers)

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
            self._peers.all_reduce(x)
        return x

    def all_gather(self, x: torch.Tensor) -> torch.Tensor:
        """The ranks' `x` `[rows, n]` side by side: `[rows, size * n]`."""
        return self._peers.all_gather(x) if self.size > 1 else x

    def take_from_first(self, x: torch.Tensor) -> torch.Tensor:
        """The first rank's `x`, written over the other ranks'."""
        if self.size > 1:
            self._peers.broadcast(x)
        return x

    @property
    def _peers(self) -> TensorGroup:
        assert self.group is not None, "a shard that runs has peers"
        return self.group
