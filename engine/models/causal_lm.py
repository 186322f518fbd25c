"""What the engine asks of a causal language model, whoever wrote it."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from paddock.engine.weights.target import WeightTarget
from paddock.kernels import AttentionMetadata


class CausalLM(nn.Module):
    """One pipeline stage of a model.

    Life: construct (parameters allocated, not filled), fill every `weight_targets` destination, `pack`, `bind_cache`,
    then `forward` and `logits` for each step.
    """

    num_cache_layers: int
    """Layers of this stage that keep keys and values."""
    num_kv_heads: int
    """KV heads on this rank."""
    head_dim: int
    """Numbers that the cache keeps for a key, or a value, of one head."""
    keeps_values: bool = True
    """False where values are a part of the keys: both caches of a layer are then the same tensor."""

    @abstractmethod
    def weight_targets(self) -> Iterator[WeightTarget]:
        """Every tensor of this stage that the checkpoint must hold, under its name there."""

    @abstractmethod
    def pack(self) -> None:
        """Call once, after loading."""

    @abstractmethod
    def bind_cache(self, caches: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """One (key cache, value cache) for each layer, `[num_blocks, num_kv_heads, block_size, head_dim]` each."""

    @abstractmethod
    def forward(
        self,
        token_ids: torch.Tensor,
        positions: torch.Tensor,
        metadata: AttentionMetadata,
        incoming: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Tokens of all sequences back to back, int64 `[tokens]` each; returns normed `[tokens, hidden]`.

        A pipeline stage takes `incoming`, what the stage before it returned; only the last one norms.
        """

    def take_part(self) -> None:
        """In place of `forward`, in a step for which this replica has no tokens, and others that share experts may."""

    @abstractmethod
    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """`[rows, hidden]` to float32 `[rows, vocab]`; on the last stage only."""
