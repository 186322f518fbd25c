"""Token embedding and output head, their rows split over the tensor-parallel ranks."""

from collections.abc import Iterator

import torch
from torch import nn

from paddock.engine.layers.placement import Placement
from paddock.engine.layers.rounded import pack, saved_bytes, scale_group
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import PackedLinear

HEAD_BITS = 8
"""Of a code, where weights are rounded: a token's score is one row's alone, and 4 bits would show."""


class VocabularyShard(nn.Module):
    """A matrix `[vocab, hidden]`, of which each rank holds an equal run of rows; the last run is padded with zeros.

    It is held plain until `pack`, and packed from then on: one copy serves an embedding and a head.
    """

    def __init__(self, vocab_size: int, hidden_size: int, place: Placement) -> None:
        super().__init__()
        self.place = place
        self.vocab_size = vocab_size
        self.rows_per_rank = -(-vocab_size // place.size)
        self.first = place.rank * self.rows_per_rank
        self.last = min(self.first + self.rows_per_rank, vocab_size)
        weight = place.empty(self.rows_per_rank, hidden_size)
        weight[max(self.last - self.first, 0) :].zero_()
        self.weight: torch.Tensor | None = weight
        self.packed: PackedLinear | None = None
        self.saved_bytes = 0
        """How much less the packed matrix takes than a plain one."""

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        assert self.weight is not None
        rows = slice(self.first, self.last)
        full_shape = (self.vocab_size, self.weight.shape[1])
        yield WeightTarget(f"{prefix}.weight", full_shape, self.weight[: self.last - self.first], (rows,))

    def pack(self) -> None:
        """Call once, after loading, when a head multiplies by the matrix; the plain one is let go."""
        assert self.weight is not None
        group = scale_group(self.weight.shape[1], self.place, self.weight.shape[1])
        self.packed = pack(self.weight, None, HEAD_BITS, group)
        self.saved_bytes = saved_bytes(self.weight, self.packed)
        self.weight = None

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        """Of this rank: `[n]` to `[n, hidden]`."""
        if self.packed is not None:
            return self.packed.rows(indices)
        assert self.weight is not None
        return self.weight.index_select(0, indices)


class VocabParallelEmbedding(VocabularyShard):
    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        """`[tokens]` to `[tokens, hidden]`. The ids must be below the vocabulary's size."""
        if self.place.size == 1:
            return self.rows(token_ids)
        foreign = (token_ids < self.first) | (token_ids >= self.last)
        rows = self.rows((token_ids - self.first).masked_fill(foreign, 0))
        return self.place.all_reduce(rows.masked_fill_(foreign[:, None], 0))


class VocabParallelHead(nn.Module):
    """Logits over the vocabulary, from the head's own matrix or from the embedding's (`tied`)."""

    def __init__(
        self, vocab_size: int, hidden_size: int, place: Placement, tied: VocabParallelEmbedding | None
    ) -> None:
        super().__init__()
        self.place = place
        self.vocab_size = vocab_size
        self.is_tied = tied is not None
        self.shard = tied if tied is not None else VocabularyShard(vocab_size, hidden_size, place)

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        if not self.is_tied:
            yield from self.shard.weight_targets(prefix)

    def pack(self) -> None:
        """Call once, after loading; a tied embedding reads the packed matrix from then on."""
        self.shard.pack()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """`[rows, hidden]` to float32 `[rows, vocab]`."""
        assert self.shard.packed is not None
        logits = self.place.all_gather(self.shard.packed(hidden))
        return logits[:, : self.vocab_size].float()
