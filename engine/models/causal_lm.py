"""A causal language model: embedding, decoder layers, final norm, head."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import nn

from paddock.engine.layers.attention import AttentionStep
from paddock.engine.layers.linear import PackableLinear
from paddock.engine.layers.norm import RMSNorm
from paddock.engine.layers.placement import Placement
from paddock.engine.layers.rotary import RotaryTable
from paddock.engine.layers.vocabulary import VocabParallelEmbedding, VocabParallelHead
from paddock.engine.models.decoder import DecoderLayer
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import AttentionMetadata


class CausalLM(nn.Module):
    """Base of the native families; a family says what its decoder layer is made of.

    Life: construct (parameters allocated, not filled), fill every `weight_targets` destination, `pack`, `bind_cache`,
    then `forward` and `logits` for each step.
    """

    def __init__(self, shape: ModelShape, place: Placement, max_positions: int) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = VocabParallelEmbedding(shape.vocab_size, shape.hidden_size, place)
        self.layers: list[DecoderLayer] = [
            self.decoder_layer(shape, i, place) for i in range(shape.num_layers)
        ]
        self.norm = RMSNorm(shape.hidden_size, shape.rms_norm_eps, place)
        tied = self.embed_tokens if shape.tie_embeddings else None
        self.lm_head = VocabParallelHead(shape.vocab_size, shape.hidden_size, place, tied)
        self.rotary = RotaryTable(shape.rope, shape.head_dim, max_positions, place.device)

    @abstractmethod
    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> DecoderLayer:
        """Layer number `layer`, its parameters allocated."""

    @property
    def num_kv_heads(self) -> int:
        """KV heads on this rank."""
        return self.layers[0].self_attn.num_kv_heads

    def weight_targets(self) -> Iterator[WeightTarget]:
        """Every tensor that the checkpoint must hold, under its name there."""
        yield from self.embed_tokens.weight_targets("model.embed_tokens")
        for index, layer in enumerate(self.layers):
            yield from layer.weight_targets(f"model.layers.{index}")
        yield from self.norm.weight_targets("model.norm")
        yield from self.lm_head.weight_targets("lm_head")

    def pack(self) -> None:
        """Call once, after loading: one layer at a time, so that at most one weight exists twice."""
        for layer in self.layers:
            for module in layer.modules():
                if isinstance(module, PackableLinear):
                    module.pack()
        self.lm_head.pack()

    def bind_cache(self, caches: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """One (key cache, value cache) for each layer."""
        for layer, (key_cache, value_cache) in zip(self.layers, caches, strict=True):
            layer.self_attn.bind_cache(key_cache, value_cache)

    def forward(
        self, token_ids: torch.Tensor, positions: torch.Tensor, metadata: AttentionMetadata
    ) -> torch.Tensor:
        """Tokens of all sequences back to back, int64 `[tokens]` each; returns normed `[tokens, hidden]`."""
        cos, sin = self.rotary.at(positions)
        windows = set(self.shape.layer_windows)
        step = AttentionStep(cos, sin, {w: replace(metadata, sliding_window=w) for w in windows})
        hidden, residual = self.embed_tokens(token_ids), None
        for layer in self.layers:
            hidden, residual = layer(hidden, residual, step)
        assert residual is not None
        return self.norm.add(hidden, residual)[0]

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """`[rows, hidden]` to float32 `[rows, vocab]`."""
        scores: torch.Tensor = self.lm_head(hidden)
        return scores
