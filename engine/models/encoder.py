"""Encoders: BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019) and DistilBERT (Sanh et al. 2019).

Embeddings are normed; each layer norms after its attention and after its feed-forward part. They differ in the names
of their tensors, in where positions begin, and in whether the two texts of a pair are told apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from paddock.engine.layers.bidirectional_attention import (
    BidirectionalAttention,
    ProjectionNames,
    SequenceGroup,
    group_sequences,
)
from paddock.engine.layers.learned_positions import LearnedPositions
from paddock.engine.layers.linear import Packable
from paddock.engine.layers.mlp import PlainMLP
from paddock.engine.layers.norm import LayerNorm
from paddock.engine.layers.placement import Placement
from paddock.engine.layers.vocabulary import VocabParallelEmbedding
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import AttentionMetadata


@dataclass(frozen=True)
class EncoderNames:
    """Where the checkpoint keeps a layer's parts."""

    layers: str
    projections: ProjectionNames
    attention_norm: str
    feed_forward: tuple[str, str]
    output_norm: str


BERT_NAMES = EncoderNames(
    layers="encoder.layer",
    projections=ProjectionNames(
        "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"
    ),
    attention_norm="attention.output.LayerNorm",
    feed_forward=("intermediate.dense", "output.dense"),
    output_norm="output.LayerNorm",
)
DISTILBERT_NAMES = EncoderNames(
    layers="transformer.layer",
    projections=ProjectionNames("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
    attention_norm="sa_layer_norm",
    feed_forward=("ffn.lin1", "ffn.lin2"),
    output_norm="output_layer_norm",
)


class EncoderLayer(nn.Module):
    def __init__(self, shape: ModelShape, place: Placement, names: EncoderNames) -> None:
        super().__init__()
        self.names = names
        self.attention = BidirectionalAttention(shape, place, names.projections)
        self.attention_norm = LayerNorm(shape.hidden_size, shape.rms_norm_eps, place)
        self.mlp = PlainMLP(shape, place, names.feed_forward, bias=True)
        self.output_norm = LayerNorm(shape.hidden_size, shape.rms_norm_eps, place)

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        yield from self.attention.weight_targets(prefix)
        yield from self.attention_norm.weight_targets(f"{prefix}.{self.names.attention_norm}")
        yield from self.mlp.weight_targets(prefix)
        yield from self.output_norm.weight_targets(f"{prefix}.{self.names.output_norm}")

    def forward(self, hidden: torch.Tensor, groups: Sequence[SequenceGroup]) -> torch.Tensor:
        hidden = self.attention_norm.add(self.attention(hidden, groups), hidden)[0]
        return self.output_norm.add(self.mlp(hidden), hidden)[0]


class Encoder(CausalLM):
    """The body alone, without a head; one stage. It keeps nothing from step to step."""

    names: ClassVar[EncoderNames] = BERT_NAMES
    num_cache_layers = 0

    def __init__(self, shape: ModelShape, place: Placement, max_positions: int) -> None:
        """`max_positions` is no less than any position of a token; the table is the checkpoint's."""
        super().__init__()
        assert shape.pooling is not None, "an encoder pools"
        self.prefix = shape.pooling.base_prefix
        self.num_kv_heads, self.head_dim = shape.num_kv_heads // place.size, shape.head_dim
        self.words = VocabParallelEmbedding(shape.vocab_size, shape.hidden_size, place)
        self.positions = LearnedPositions(
            shape.max_position_embeddings, shape.hidden_size, place, shape.pooling.position_offset
        )
        self.types = self.token_types(shape, place)
        self.norm = LayerNorm(shape.hidden_size, shape.rms_norm_eps, place)
        self.layers = [EncoderLayer(shape, place, self.names) for _ in range(shape.num_layers)]

    def token_types(self, shape: ModelShape, place: Placement) -> LearnedPositions | None:
        """A vector for the first text of a pair and one for the second; None for a model that has none."""
        return LearnedPositions(shape.fields.count("type_vocab_size", 2), shape.hidden_size, place)

    def weight_targets(self) -> Iterator[WeightTarget]:
        embeddings = f"{self.prefix}embeddings"
        yield from self.words.weight_targets(f"{embeddings}.word_embeddings")
        yield from self.positions.weight_targets(f"{embeddings}.position_embeddings")
        if self.types is not None:
            yield from self.types.weight_targets(f"{embeddings}.token_type_embeddings")
        yield from self.norm.weight_targets(f"{embeddings}.LayerNorm")
        for index, layer in enumerate(self.layers):
            yield from layer.weight_targets(f"{self.prefix}{self.names.layers}.{index}")

    def pack(self) -> None:
        for layer in self.layers:
            for module in layer.modules():
                if isinstance(module, Packable):
                    module.pack()

    def bind_cache(self, caches: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        assert not caches, "an encoder keeps nothing"

    def forward(
        self,
        token_ids: torch.Tensor,
        positions: torch.Tensor,
        metadata: AttentionMetadata,
        incoming: torch.Tensor | None = None,
        token_types: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Whole sequences only. `token_types` is int64 `[tokens]`, 0 or 1; unset is 0."""
        hidden: torch.Tensor = self.words(token_ids) + self.positions(positions)
        if self.types is not None:
            hidden = hidden + self.types(torch.zeros_like(positions) if token_types is None else token_types)
        hidden = self.norm(hidden)
        groups = group_sequences(metadata.query_lens_host, hidden.device)
        for layer in self.layers:
            hidden = layer(hidden, groups)
        return hidden

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("an encoder's head is its pooled model's")


class BertModel(Encoder):
    pass


class RobertaModel(Encoder):
    """RoBERTa and XLM-RoBERTa."""


class DistilBertModel(Encoder):
    names = DISTILBERT_NAMES

    def token_types(self, shape: ModelShape, place: Placement) -> None:
        return None
