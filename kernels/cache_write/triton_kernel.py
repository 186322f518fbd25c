"""Cache write on NVIDIA GPUs: one program copies one token's keys and values."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"
# Triton reads annotations as its own types, so a kernel's arguments are described in comments.

import torch
import triton
import triton.language as tl

from paddock.kernels.cache_scales import FLOAT8, UNSCALED, CacheScales


@triton.jit
def to_cache(row, scale, cache, LARGEST: tl.constexpr):
    """As `cache_scales.to_cache`, in the element type of `cache`; LARGEST is that of an 8-bit one, 0 for any other."""
    if LARGEST > 0:
        row = tl.clamp(row.to(tl.float32) / scale, -LARGEST, LARGEST)
    return row.to(cache.dtype.element_ty)


def largest(dtype: torch.dtype) -> float:
    """LARGEST of a cache's element type."""
    return torch.finfo(dtype).max if dtype in FLOAT8 else 0.0


@triton.jit
def _write_kernel(
    key,  # [tokens, kv_heads, head_dim]
    value,
    key_cache,  # [blocks, kv_heads, block_size, head_dim]
    value_cache,
    slot_mapping,  # int64 [tokens]
    key_scale,  # used with LARGEST only
    value_scale,
    key_stride,
    value_stride,
    cache_stride,
    block_size,
    NUM_KV_HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    HEADS: tl.constexpr,
    LANES: tl.constexpr,
    LARGEST: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    slot = tl.load(slot_mapping + token)
    if slot >= 0:
        head = tl.arange(0, HEADS)[:, None]
        lane = tl.arange(0, LANES)[None, :]
        mask = (head < NUM_KV_HEADS) & (lane < HEAD_DIM)
        source = head * HEAD_DIM + lane
        # int64: a cache passes 2^31 elements from about 4 GiB on.
        block = slot // block_size
        target = block * cache_stride + (head * block_size + slot % block_size) * HEAD_DIM + lane
        keys = tl.load(key + token * key_stride + source, mask=mask)
        values = tl.load(value + token * value_stride + source, mask=mask)
        tl.store(key_cache + target, to_cache(keys, key_scale, key_cache, LARGEST), mask=mask)
        tl.store(value_cache + target, to_cache(values, value_scale, value_cache, LARGEST), mask=mask)


def cache_write(
    key: torch.Tensor,
    value: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    slot_mapping: torch.Tensor,
    scales: CacheScales = UNSCALED,
) -> None:
    """See `paddock.kernels.cache_write`. Tokens may be strided (a slice of the QKV product); heads may not."""
    tokens, num_kv_heads, head_dim = key.shape
    assert key.stride()[1:] == value.stride()[1:] == (head_dim, 1)
    assert key_cache.stride() == value_cache.stride()
    if tokens == 0:
        return
    _write_kernel[(tokens,)](
        key,
        value,
        key_cache,
        value_cache,
        slot_mapping,
        scales.key,
        scales.value,
        key.stride(0),
        value.stride(0),
        key_cache.stride(0),
        key_cache.shape[2],
        NUM_KV_HEADS=num_kv_heads,
        HEAD_DIM=head_dim,
        HEADS=triton.next_power_of_2(num_kv_heads),
        LANES=triton.next_power_of_2(head_dim),
        LARGEST=largest(key_cache.dtype),
    )
