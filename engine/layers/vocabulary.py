"""Token embedding and output head, their rows split over the tensor-parallel ranks."""

from collections.abc import Iterator

import torch
from torch import nn

from paddock.engine.layers.placement import Placement
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import PackedLinear, pack_linear


class VocabularyShard(nn.Module):
    """A matrix `[vocab, hidden]`, of which each rank holds an equal run of rows; the last run is padded with zeros."""

    def __init__(self, vocab_size: int, hidden_size: int, place: Placement) -> None:
        super().__init__()
        self.place = place
        self.vocab_size = vocab_size
        self.rows_per_rank = -(-vocab_size // place.size)
        self.first = place.rank * self.rows_per_rank
        self.last = min(self.first + self.rows_per_rank, vocab_size)
        self.weight = place.empty(self.rows_per_rank, hidden_size)
        self.weight[max(self.last - self.first, 0) :].zero_()

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        rows = slice(self.first, self.last)
        full_shape = (self.vocab_size, self.weight.shape[1])
        yield WeightTarget(f"{prefix}.weight", full_shape, self.weight[: self.last - self.first], (rows,))


class VocabParallelEmbedding(VocabularyShard):
    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        """`[tokens]` to `[tokens, hidden]`. The ids must be below the vocabulary's size."""
        if self.place.size == 1:
            return self.weight.index_select(0, token_ids)
        foreign = (token_ids < self.first) | (token_ids >= self.last)
        rows = self.weight.index_select(0, (token_ids - self.first).masked_fill(foreign, 0))
        return self.place.all_reduce(rows.masked_fill_(foreign[:, None], 0))


class VocabParallelHead(nn.Module):
    """Logits over the vocabulary, from the head's own matrix or from the embedding's (`tied`)."""

    def __init__(
        self, vocab_size: int, hidden_size: int, place: Placement, tied: VocabParallelEmbedding | None
    ) -> None:
        super().__init__()
        self.place = place
        self.vocab_size = vocab_size
        self.own = None if tied is not None else VocabularyShard(vocab_size, hidden_size, place)
        self.tied = tied
        self.multiply: PackedLinear | None = None

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        if self.own is not None:
            yield from self.own.weight_targets(prefix)

    def pack(self) -> None:
        """Call once, after loading; a head of its own lets its plain matrix go."""
        shard = self.own if self.own is not None else self.tied
        assert shard is not None
        self.multiply = pack_linear(shard.weight)
        self.own = None

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """`[rows, hidden]` to float32 `[rows, vocab]`."""
        assert self.multiply is not None
        logits = self.place.all_gather(self.multiply(hidden))
        return logits[:, : self.vocab_size].float()
