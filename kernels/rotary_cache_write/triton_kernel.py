"""Head norms, rotary embedding and cache write on NVIDIA GPUs: one program takes one head of one token."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"
# Triton reads annotations as its own types, so a kernel's arguments are described in comments.

import torch
import triton
import triton.language as tl

from paddock.kernels.cache_scales import UNSCALED, CacheScales
from paddock.kernels.cache_write.triton_kernel import largest, to_cache


@triton.jit
def _weighted(row, scale, weight, lane, mask):
    """Rounded before and after the weight, as the definition does."""
    scaled = (row.to(tl.float32) * scale).to(row.dtype).to(tl.float32)
    return (scaled * tl.load(weight + lane, mask=mask, other=0.0).to(tl.float32)).to(row.dtype)


@triton.jit
def _head_kernel(
    qkv,  # [tokens, heads + 2 * kv_heads, head_dim], token stride qkv_stride
    cos,  # [tokens, half]
    sin,
    query,  # [tokens, heads, head_dim]
    key_cache,  # [blocks, kv_heads, block_size, head_dim]
    value_cache,
    slot_mapping,  # int64 [tokens]
    q_norm,  # [head_dim], used with Q_NORM only
    k_norm,  # [head_dim], used with K_NORM only
    key_scale,  # used with LARGEST only
    value_scale,
    eps,
    qkv_stride,
    cache_stride,
    block_size,
    num_heads,
    num_kv_heads,
    half,
    head_dim,
    Q_NORM: tl.constexpr,
    K_NORM: tl.constexpr,
    LANES: tl.constexpr,
    LARGEST: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    lane = tl.arange(0, LANES)
    mask = lane < head_dim
    source = qkv + token * qkv_stride + head * head_dim
    row = tl.load(source + lane, mask=mask, other=0.0)
    slot = tl.load(slot_mapping + token)
    is_query = head < num_heads
    kv_head = (head - num_heads) % num_kv_heads
    # int64: a cache passes 2^31 elements from about 4 GiB on.
    target = slot // block_size * cache_stride + (kv_head * block_size + slot % block_size) * head_dim + lane
    if head >= num_heads + num_kv_heads:
        if slot >= 0:
            stored = to_cache(row, value_scale, value_cache, LARGEST)
            tl.store(value_cache + target, stored, mask=mask)
    else:
        rotated = lane < 2 * half
        first = lane < half
        other = tl.where(first, lane + half, lane - half)
        partner = tl.load(source + other, mask=mask & rotated, other=0.0)
        if Q_NORM or K_NORM:  # noqa: SIM102 (decided when compiling, the next for each head)
            if (is_query & Q_NORM) | ((head >= num_heads) & K_NORM):
                weight = q_norm if is_query else k_norm
                wide = row.to(tl.float32)
                scale = tl.rsqrt(tl.sum(wide * wide) / head_dim + eps)
                row = _weighted(row, scale, weight, lane, mask)
                partner = _weighted(partner, scale, weight, other, mask & rotated)
        angle = token * half + tl.where(first, lane, lane - half)
        across = tl.load(sin + angle, mask=rotated, other=0.0).to(tl.float32)
        along = tl.load(cos + angle, mask=rotated, other=1.0).to(tl.float32)
        turned = row.to(tl.float32) * along + partner.to(tl.float32) * tl.where(first, -across, across)
        turned = turned.to(query.dtype.element_ty)
        if is_query:
            tl.store(query + (token * num_heads + head) * head_dim + lane, turned, mask=mask)
        elif slot >= 0:
            stored = to_cache(turned, key_scale, key_cache, LARGEST)
            tl.store(key_cache + target, stored, mask=mask)


def rotary_cache_write(
    qkv: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    slot_mapping: torch.Tensor,
    q_norm: torch.Tensor | None = None,
    k_norm: torch.Tensor | None = None,
    eps: float = 1e-6,
    scales: CacheScales = UNSCALED,
) -> torch.Tensor:
    """See `paddock.kernels.rotary_cache_write`."""
    num_kv_heads, head_dim = key_cache.shape[1], key_cache.shape[3]
    tokens, heads = qkv.shape[0], qkv.shape[1] // head_dim
    assert qkv.stride(1) == 1
    assert key_cache.stride() == value_cache.stride()
    query = qkv.new_empty(tokens, heads - 2 * num_kv_heads, head_dim)
    if tokens:
        _head_kernel[(tokens, heads)](
            qkv,
            cos.contiguous(),
            sin.contiguous(),
            query,
            key_cache,
            value_cache,
            slot_mapping,
            qkv if q_norm is None else q_norm,
            qkv if k_norm is None else k_norm,
            scales.key,
            scales.value,
            eps,
            qkv.stride(0),
            key_cache.stride(0),
            key_cache.shape[2],
            heads - 2 * num_kv_heads,
            num_kv_heads,
            cos.shape[1],
            head_dim,
            Q_NORM=q_norm is not None,
            K_NORM=k_norm is not None,
            LANES=triton.next_power_of_2(head_dim),
            LARGEST=largest(key_cache.dtype),
            num_warps=1,
        )
    return query
