"""The native families' base: embedding, decoder layers, final norm, head."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from paddock.engine.layers.attention import AttentionStep
from paddock.engine.layers.expert_exchange import SharedExpertsLayer
from paddock.engine.layers.linear import Packable
from paddock.engine.layers.norm import Norm, RMSNorm
from paddock.engine.layers.placement import Placement
from paddock.engine.layers.rotary import RotaryTable
from paddock.engine.layers.vocabulary import VocabParallelEmbedding, VocabParallelHead
from paddock.engine.models.causal_lm import CausalLM
from paddock.engine.models.decoder import CachedLayer
from paddock.engine.models.joined_layers import join_layers
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import AttentionMetadata
from paddock.kernels.decoder_layers import CpuDecoderLayers


class DecoderLM(CausalLM):
    """A family says what its decoder layer is made of."""

    embedding_name = "model.embed_tokens"
    layers_name = "model.layers"
    norm_name = "model.norm"
    head_name = "lm_head"
    """Where the checkpoint keeps them."""

    def __init__(self, shape: ModelShape, place: Placement, max_positions: int) -> None:
        super().__init__()
        self.shape = shape
        self.place = place
        self.layer_numbers = place.layers(shape.num_layers, self._head_layers(shape, place))
        self.embed_tokens: VocabParallelEmbedding | None = None
        if place.is_first_stage or (place.is_last_stage and shape.tie_embeddings):
            self.embed_tokens = VocabParallelEmbedding(shape.vocab_size, shape.hidden_size, place)
        self.layers: list[CachedLayer] = []
        for i in self.layer_numbers:
            self.layers.append(self.decoder_layer(shape, i, place))
            if place.stream is not None:
                place.stream.hold(len(self.layers) - 1, self.layers[-1])
        modules = (module for layer in self.layers for module in layer.modules())
        self.sparse_layers = [module for module in modules if isinstance(module, SharedExpertsLayer)]
        self.norm: Norm | None = None
        self.lm_head: VocabParallelHead | None = None
        if place.is_last_stage:
            self.norm = self.final_norm(shape, place)
            tied = self.embed_tokens if shape.tie_embeddings else None
            self.lm_head = VocabParallelHead(shape.vocab_size, shape.hidden_size, place, tied)
        self.rotary = self.rotary_tables(shape, max_positions, place)
        self.joined: CpuDecoderLayers | None = None
        """The layers in one call, where that can be: known once the cache is bound."""
        self.num_cache_layers = len(self.layers)
        self.num_kv_heads = self.layers[0].self_attn.num_kv_heads
        self.head_dim = self.layers[0].self_attn.head_dim

    def _head_layers(self, shape: ModelShape, place: Placement) -> float:
        """The head's work in layers, for a fair share of these. A step takes as long as its weights are many; the head
        counts half, since it is for generated tokens alone, and layers are for those of prompts, too."""
        if place.num_stages == 1 or shape.pooling is not None:
            return 0.0
        whole = replace(place, device=torch.device("meta"), rank=0, size=1, group=None, experts=None)
        layer = self.decoder_layer(shape, shape.num_layers - 1, whole)
        layer_bytes = sum(target.destination.nbytes for target in layer.weight_targets(""))
        return shape.vocab_size * shape.hidden_size * place.dtype.itemsize / layer_bytes / 2

    @abstractmethod
    def decoder_layer(self, shape: ModelShape, layer: int, place: Placement) -> CachedLayer:
        """Layer number `layer`, its parameters allocated."""

    def final_norm(self, shape: ModelShape, place: Placement) -> Norm:
        return RMSNorm(shape.hidden_size, shape.rms_norm_eps, place)

    def rotary_tables(self, shape: ModelShape, max_positions: int, place: Placement) -> list[RotaryTable]:
        """One, unless layers differ or positions are learned."""
        return [RotaryTable(shape.rope, shape.head_dim, max_positions, place.device)]

    def weight_targets(self) -> Iterator[WeightTarget]:
        if self.embed_tokens is not None:
            yield from self.embed_tokens.weight_targets(self.embedding_name)
        for index, layer in zip(self.layer_numbers, self.layers, strict=True):
            yield from layer.weight_targets(f"{self.layers_name}.{index}")
        if self.norm is not None:
            yield from self.norm.weight_targets(self.norm_name)
        if self.lm_head is not None:
            yield from self.lm_head.weight_targets(self.head_name)

    def drop_head(self) -> None:
        """For a model that pools; call before loading. `logits` is then nobody's to call."""
        self.lm_head = None
        if not self.place.is_first_stage:
            self.embed_tokens = None

    def pack(self) -> None:
        """One layer at a time, so that at most one weight exists twice."""
        stream = self.place.stream
        for index, layer in enumerate(self.layers):
            if stream is not None:
                stream.bring(index, layer)
            for module in layer.modules():
                if isinstance(module, Packable):
                    module.pack()
            if stream is not None:
                stream.take(index, layer)
        if stream is not None:
            stream.begin()
        for last in (self.norm, self.lm_head):
            if isinstance(last, Packable):
                last.pack()

    def bind_cache(self, caches: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        for layer, (key_cache, value_cache) in zip(self.layers, caches, strict=True):
            layer.self_attn.bind_cache(key_cache, value_cache)
        self.joined = join_layers(self.layers, self.norm, self.place)

    def forward(
        self,
        token_ids: torch.Tensor,
        positions: torch.Tensor,
        metadata: AttentionMetadata,
        incoming: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if self.place.experts is not None:
            self.place.experts.begin(len(token_ids), self.place.device)
        hidden = self.embed(token_ids, positions) if incoming is None else incoming
        if self.joined is not None:
            table = self.rotary[0]
            return self.joined(hidden, table.cos, table.sin, positions, metadata)
        return self._layer_by_layer(hidden, positions, metadata)

    def _layer_by_layer(
        self, hidden: torch.Tensor, positions: torch.Tensor, metadata: AttentionMetadata
    ) -> torch.Tensor:
        windows = set(self.shape.layer_windows)
        rotary = [table.at(positions) for table in self.rotary]
        step = AttentionStep(rotary, {w: replace(metadata, sliding_window=w) for w in windows})
        residual: torch.Tensor | None = None
        for layer in self.layers:
            hidden, residual = layer(hidden, residual, step)
        assert residual is not None
        return hidden + residual if self.norm is None else self.norm.add(hidden, residual)[0]

    def take_part(self) -> None:
        if self.place.experts is not None and self.place.experts.begin(0, self.place.device):
            for layer in self.sparse_layers:
                layer.take_part()

    def embed(self, token_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """`[tokens, hidden]`, on the first stage only."""
        assert self.embed_tokens is not None, "only the first stage embeds tokens"
        embedded: torch.Tensor = self.embed_tokens(token_ids)
        return embedded

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        assert self.lm_head is not None, "only the last stage has a head"
        scores: torch.Tensor = self.lm_head(hidden)
        return scores
