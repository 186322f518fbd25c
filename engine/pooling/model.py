"""A model that pools: a body, causal or not, and perhaps a head of class scores."""

from collections.abc import Iterator, Sequence
from importlib import import_module

import torch

from paddock.engine.layers.placement import Placement
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.decoder_lm import DecoderLM
from paddock.engine.models.encoder import Encoder
from paddock.engine.models.shape import ModelShape
from paddock.engine.pooling.architectures import pooling_architecture
from paddock.engine.pooling.heads import DenseHead, MatrixHead, ScoreHead, TokenHead
from paddock.engine.pooling.plan import PoolingPlan
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import AttentionMetadata


class PooledModel(CausalLM):
    """`forward` gives hidden states, `logits` class scores of them."""

    def __init__(self, shape: ModelShape, place: Placement, max_positions: int) -> None:
        super().__init__()
        assert shape.pooling is not None, "read with a pooling plan"
        self.plan = shape.pooling
        self.body: DecoderLM | Encoder = _body(shape, place, max_positions)
        self.num_cache_layers = self.body.num_cache_layers
        self.num_kv_heads, self.head_dim = self.body.num_kv_heads, self.body.head_dim
        self.keeps_values = self.body.keeps_values
        self.head = _head(shape, shape.pooling, place, self.body) if place.is_last_stage else None

    def weight_targets(self) -> Iterator[WeightTarget]:
        yield from self.body.weight_targets()
        if self.head is not None:
            yield from self.head.weight_targets()

    def pack(self) -> None:
        self.body.pack()

    def bind_cache(self, caches: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        self.body.bind_cache(caches)

    def forward(
        self,
        token_ids: torch.Tensor,
        positions: torch.Tensor,
        metadata: AttentionMetadata,
        incoming: torch.Tensor | None = None,
        token_types: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """As `CausalLM.forward`. `token_types` is int64 `[tokens]`: 1 for the second text of a pair."""
        hidden: torch.Tensor
        if isinstance(self.body, Encoder):
            hidden = self.body(token_ids, positions, metadata, None, token_types)
        else:
            hidden = self.body(token_ids, positions, metadata, incoming)
        return hidden

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        assert self.head is not None, "only a model with class scores, on its last stage"
        scores: torch.Tensor = self.head(hidden)
        return scores.float()


def _body(shape: ModelShape, place: Placement, max_positions: int) -> DecoderLM | Encoder:
    known = pooling_architecture(shape.architecture)
    assert known is not None
    module, _, name = known.family.location.partition(":")
    body: DecoderLM | Encoder = getattr(import_module(module), name)(shape, place, max_positions)
    if isinstance(body, DecoderLM):
        body.drop_head()
    return body


def _head(
    shape: ModelShape, plan: PoolingPlan, place: Placement, body: DecoderLM | Encoder
) -> ScoreHead | None:
    match plan.head:
        case "none":
            return None
        case "score":
            return MatrixHead(shape, plan, place)
        case "tokens":
            assert isinstance(body, DecoderLM), "an encoder has no output head"
            name = body.embedding_name if shape.tie_embeddings else body.head_name
            return TokenHead(shape, plan, place, name)
    return DenseHead(shape, plan, place)
