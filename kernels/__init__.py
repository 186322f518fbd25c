"""Kernels: each operation has a plain PyTorch reference and, where it pays, a faster implementation.

One decoder layer in these operations, on flat tokens (`rotary_cache_write` also does Qwen3's head norms):

    normed, residual = rms_norm(hidden, input_norm, eps, residual)
    query = rotary_cache_write(qkv_proj(normed), cos, sin, key_cache, value_cache, slot_mapping, q_norm, k_norm, eps)
    hidden = o_proj(paged_attention(query, key_cache, value_cache, metadata, scale).flatten(1))
    normed, residual = rms_norm(hidden, post_attention_norm, eps, residual)
    hidden = down_proj(silu_and_mul(gate_up_proj(normed)))
"""

from paddock.kernels.attention_metadata import AttentionMetadata
from paddock.kernels.cache_scales import UNSCALED, CacheScales
from paddock.kernels.cache_write import cache_write
from paddock.kernels.linear import (
    PackedLinear,
    QuantizedLinear,
    multiplies_codes,
    pack_linear,
    pack_quantized,
)
from paddock.kernels.linear.quantized import QuantizedWeight, dequantize, round_to_nearest
from paddock.kernels.paged_attention import paged_attention
from paddock.kernels.rms_norm import rms_norm
from paddock.kernels.rotary import rotary
from paddock.kernels.rotary_cache_write import rotary_cache_write
from paddock.kernels.silu_and_mul import silu_and_mul

__all__ = [
    "UNSCALED",
    "AttentionMetadata",
    "CacheScales",
    "PackedLinear",
    "QuantizedLinear",
    "QuantizedWeight",
    "cache_write",
    "dequantize",
    "multiplies_codes",
    "pack_linear",
    "pack_quantized",
    "paged_attention",
    "rms_norm",
    "rotary",
    "rotary_cache_write",
    "round_to_nearest",
    "silu_and_mul",
]
