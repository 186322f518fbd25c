"""Runs the Triton kernels of single rows on CPU tensors; one JSON line per case on standard output.

A program of its own, like `interpreted_cases.py`.
"""

import itertools
import json

import torch

from paddock.kernels import CacheScales
from paddock.kernels.draw import reference as draw_reference
from paddock.kernels.draw import triton_kernel as draw_kernel
from paddock.kernels.rms_norm import reference as norm_reference
from paddock.kernels.rms_norm import triton_kernel as norm_kernel
from paddock.kernels.rotary_cache_write import reference as rotary_reference
from paddock.kernels.rotary_cache_write import triton_kernel as rotary_kernel
from paddock.kernels.silu_and_mul import reference as gate_reference
from paddock.kernels.silu_and_mul import triton_kernel as gate_kernel

SHAPES = ((1, 16), (5, 100), (2, 3, 64), (3, 1100))
HEADS = ((4, 2, 64, 32), (3, 1, 80, 20), (2, 2, 16, 8))
"""Heads, KV heads, head dim, half of the rotary dim."""
LIMITS = (
    (0, 1.0, 0.0),
    (5, 1.0, 0.0),
    (1, 1.0, 0.0),
    (0, 0.9, 0.0),
    (0, 0.0, 0.0),
    (20, 0.7, 0.0),
    (0, 1.0, 0.1),
    (30, 0.95, 0.05),
)
"""Top-k, top-p, min-p."""


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return (found.float() - expected.float()).abs().max().item()


def norm_error(shape: tuple[int, ...], dtype: torch.dtype, *, residual: bool) -> float:
    wide = torch.randn(*shape[:-1], 2 * shape[-1]).to(dtype)
    x, weight = wide[..., : shape[-1]], torch.randn(shape[-1]).to(dtype)
    if not residual:
        return difference(norm_kernel.rms_norm(x, weight, 1e-5), norm_reference.rms_norm(x, weight, 1e-5))
    added = torch.randn(shape).to(dtype)
    found, expected = (kernel.rms_norm(x, weight, 1e-5, added) for kernel in (norm_kernel, norm_reference))
    return max(map(difference, found, expected))


def gate_error(shape: tuple[int, ...], dtype: torch.dtype) -> float:
    x = (4 * torch.randn(*shape[:-1], 2 * shape[-1])).to(dtype)
    return difference(gate_kernel.silu_and_mul(x), gate_reference.silu_and_mul(x))


def rotary_error(heads: tuple[int, int, int, int], dtype: torch.dtype, norms: tuple[bool, bool]) -> float:
    count, kv_heads, dim, half = heads
    qkv = torch.randn(6, (count + 2 * kv_heads) * dim + 8).to(dtype)[:, 8:]
    q_norm, k_norm = (torch.randn(dim).to(dtype) if wanted else None for wanted in norms)
    return step_error(qkv, torch.randn(6, half), (kv_heads, dim), dtype, CacheScales(), q_norm, k_norm)


def narrow_rotary_error(cache_dtype: torch.dtype) -> float:
    """Of numbers that the element type has, and twice those: the interpreter loses the carry when it rounds."""
    codes = torch.randint(0, 256, (6, 6 * 64), dtype=torch.uint8).view(cache_dtype).float()
    qkv = codes.nan_to_num(0, 0, 0) * 0.5
    return step_error(qkv, torch.zeros(6, 32), (2, 64), cache_dtype, CacheScales(key=0.5, value=0.25))


def step_error(
    qkv: torch.Tensor,
    angles: torch.Tensor,
    kv_shape: tuple[int, int],
    cache_dtype: torch.dtype,
    scales: CacheScales,
    *norms: torch.Tensor | None,
) -> float:
    (kv_heads, dim), block_size = kv_shape, 4
    slots = torch.randperm(10 * block_size)[: len(qkv)]
    slots[::4] = -1
    results = []
    for kernel in (rotary_kernel, rotary_reference):
        caches = [torch.zeros(10, kv_heads, block_size, dim).to(cache_dtype) for _ in range(2)]
        step = (qkv, angles.cos(), angles.sin(), *caches, slots, *norms)
        results.append((kernel.rotary_cache_write(*step, scales=scales), *caches))
    return max(map(difference, *results))


def other_draws(count: int, vocab: int, top_k: int, top_p: float, min_p: float) -> float:
    """Rows whose token is not that of the definition."""
    scores = (3 * torch.randn(count, vocab)).log_softmax(dim=-1)
    scores[::7, ::3] = float("-inf")
    keys = torch.randint(-(2**31), 2**31, (count, 2), dtype=torch.int64).to(torch.int32)
    ps = (torch.full((count,), value) for value in (top_p, min_p))
    step = (scores, torch.full((count,), top_k), *ps, keys)
    return float((draw_kernel.draw(*step) != draw_reference.draw(*step)).sum())


def report(name: str, error: float) -> None:
    print(json.dumps({"name": name, "error": error}), flush=True)


def main() -> None:
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.float16):
        for shape in SHAPES:
            report(f"norm-{shape}-{dtype}", norm_error(shape, dtype, residual=False))
            report(f"norm-residual-{shape}-{dtype}", norm_error(shape, dtype, residual=True))
            report(f"gate-{shape}-{dtype}", gate_error(shape, dtype))
        for heads, norms in itertools.product(HEADS, itertools.product((False, True), repeat=2)):
            report(f"rotary-{heads}-norms{norms}-{dtype}", rotary_error(heads, dtype, norms))
    for limits in LIMITS:
        report(f"draw-{limits}", other_draws(4, 50, *limits))
    report("draw-in-pieces", other_draws(1, 5000, *LIMITS[-1]))
    for cache_dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        report(f"narrow-rotary-{cache_dtype}", narrow_rotary_error(cache_dtype))


if __name__ == "__main__":
    main()
