"""What one decoder layer is made of."""

from dataclasses import dataclass

import torch

from paddock.kernels.cache_scales import UNSCALED, CacheScales
from paddock.kernels.linear import NativeLinear


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerParts:
    """norm, attention, add, norm, gated MLP (SiLU), add; see `paddock.kernels` for the operations in order."""

    attention_norm: torch.Tensor
    """`[hidden]`, as `mlp_norm`."""
    qkv: NativeLinear
    q_norm: torch.Tensor | None
    """`[head_dim]`, as `k_norm`: Qwen3's."""
    k_norm: torch.Tensor | None
    output: NativeLinear
    mlp_norm: torch.Tensor
    gate_up: NativeLinear
    down: NativeLinear
    key_cache: torch.Tensor
    """`[num_blocks, num_kv_heads, block_size, head_dim]`, as `value_cache`."""
    value_cache: torch.Tensor
    eps: float
    scale: float
    softcap: float = 0.0
    sinks: torch.Tensor | None = None
    window: int | None = None
    cache_scales: CacheScales = UNSCALED
