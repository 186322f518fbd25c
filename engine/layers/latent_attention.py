"""Multi-head latent attention (DeepSeek-V2, 2024): the cache keeps one short vector a token for all heads.

Keys and values are linear in that vector, so queries are taken to its space instead, and the weighted sum of the
vectors is taken back: attention with a single KV head whose values are the first part of its keys.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from paddock.engine.layers.attention import AttentionStep
from paddock.engine.layers.linear import ColumnParallelLinear, OutputPart, RowParallelLinear
from paddock.engine.layers.norm import RMSNorm
from paddock.engine.layers.placement import Placement
from paddock.engine.models.shape import ModelShape
from paddock.engine.weights.target import WeightTarget
from paddock.kernels import cache_write, paged_attention, rotary

LATENT_NORM_EPS = 1e-6
"""Whatever rms_norm_eps is: the authors' code fixes it."""


@dataclass(frozen=True)
class LatentSizes:
    """Of one head, but for the ranks."""

    query_rank: int | None
    """Of the factorised query projection; None for a plain one."""
    latent: int
    unrotated: int
    rotated: int
    value: int
    interleaved: bool
    """Whether rotated pairs lie side by side in the checkpoint, and not half a head apart."""


class LatentAttention(nn.Module):
    key_cache: torch.Tensor

    def __init__(
        self, shape: ModelShape, place: Placement, sizes: LatentSizes, scale: float, *, bias: bool
    ) -> None:
        super().__init__()
        self.sizes, self.scale, self.place = sizes, scale, place
        self.all_heads = shape.num_heads
        self.num_heads = place.share(shape.num_heads, "attention heads")
        self.num_kv_heads = 1
        self.head_dim = sizes.latent + sizes.rotated
        self.query_down = self.query_norm = None
        if sizes.query_rank is not None:
            self.query_down = _whole("q_a_proj", shape.hidden_size, sizes.query_rank, bias, place)
            self.query_norm = RMSNorm(sizes.query_rank, LATENT_NORM_EPS, place)
        per_head = sizes.unrotated + sizes.rotated
        name, inputs = (
            ("q_proj", shape.hidden_size) if sizes.query_rank is None else ("q_b_proj", sizes.query_rank)
        )
        part = OutputPart(
            name,
            shape.num_heads * per_head,
            place.rank * self.num_heads * per_head,
            self.num_heads * per_head,
        )
        self.query = ColumnParallelLinear(inputs, [part], False, place)
        self.latent = _whole("kv_a_proj_with_mqa", shape.hidden_size, self.head_dim, bias, place)
        self.latent_norm = RMSNorm(sizes.latent, LATENT_NORM_EPS, place)
        self.expand = place.empty(self.num_heads, sizes.unrotated + sizes.value, sizes.latent)
        self.o_proj = RowParallelLinear(
            shape.num_heads * sizes.value, shape.hidden_size, bias, place, "attention features"
        )

    def weight_targets(self, prefix: str) -> Iterator[WeightTarget]:
        if self.query_down is not None and self.query_norm is not None:
            yield from self.query_down.weight_targets(prefix)
            yield from self.query_norm.weight_targets(f"{prefix}.q_a_layernorm")
        yield from self.query.weight_targets(prefix)
        yield from self.latent.weight_targets(prefix)
        yield from self.latent_norm.weight_targets(f"{prefix}.kv_a_layernorm")
        rows = self.expand.flatten(0, 1)
        own = slice(self.place.rank * len(rows), (self.place.rank + 1) * len(rows))
        full = (self.all_heads * self.expand.shape[1], self.sizes.latent)
        yield WeightTarget(f"{prefix}.kv_b_proj.weight", full, rows, (own,))
        yield from self.o_proj.weight_targets(f"{prefix}.o_proj")

    def bind_cache(self, key_cache: torch.Tensor, value_cache: torch.Tensor) -> None:
        """One tensor for both: values are a part of the keys."""
        self.key_cache = key_cache

    def forward(self, x: torch.Tensor, step: AttentionStep) -> torch.Tensor:
        """`[tokens, hidden]` to the same; writes this step's vectors to the cache first."""
        metadata, sizes = step.metadata[None], self.sizes
        query = self._queries(x)
        plain, turned = torch.split(query, [sizes.unrotated, sizes.rotated], dim=-1)
        latent, key_turned = torch.split(self.latent(x), [sizes.latent, sizes.rotated], dim=-1)
        turned, key_turned = self._halves(turned), self._halves(key_turned[:, None])
        rotary(turned, key_turned, *step.rotary[0])
        key = torch.cat((self.latent_norm(latent.contiguous())[:, None], key_turned), dim=-1)
        cache_write(key, key, self.key_cache, self.key_cache, metadata.slot_mapping)
        key_weight, value_weight = torch.split(self.expand, [sizes.unrotated, sizes.value], dim=1)
        absorbed = torch.einsum("thn,hnl->thl", plain, key_weight)
        query = torch.cat((absorbed, turned), dim=-1)
        out = paged_attention(query, self.key_cache, self.key_cache, metadata, self.scale)
        values = torch.einsum("thl,hvl->thv", out[..., : sizes.latent], value_weight)
        output: torch.Tensor = self.o_proj(values.flatten(1))
        return output

    def _queries(self, x: torch.Tensor) -> torch.Tensor:
        if self.query_down is not None and self.query_norm is not None:
            x = self.query_norm(self.query_down(x))
        queries: torch.Tensor = self.query(x)
        return queries.view(len(x), self.num_heads, -1)

    def _halves(self, x: torch.Tensor) -> torch.Tensor:
        """A copy with the rotated pairs half a head apart. Queries and keys alike, so their products stay."""
        if not self.sizes.interleaved:
            return x.clone(memory_format=torch.contiguous_format)
        return x.reshape(*x.shape[:-1], -1, 2).transpose(-1, -2).flatten(-2)


def _whole(name: str, inputs: int, outputs: int, bias: bool, place: Placement) -> ColumnParallelLinear:
    """Every rank computes all outputs: they are few, and each rank needs them."""
    return ColumnParallelLinear(inputs, [OutputPart(name, outputs, 0, outputs)], bias, place)
