"""Runs the Triton kernels on CPU tensors; one JSON line per case on standard output.

A program of its own: Triton decides at its first import whether functions are interpreted, so TRITON_INTERPRET has to
be set before anything else imports it. float16 stands for the 16-bit types: the interpreter multiplies bfloat16
operands as the integers that hold them.
"""

import itertools
import json

import torch
from paged_batch import Heads, random_batch

from paddock.kernels import CacheScales
from paddock.kernels.cache_write import reference as write_reference
from paddock.kernels.cache_write import triton_kernel as write_kernel
from paddock.kernels.paged_attention import reference, triton_kernel

MIXED = ([1, 1, 1, 1, 17, 63, 1, 40], [1, 17, 63, 600, 17, 111, 5, 300])
DECODES = ([1, 1], [111, 257])
LONG = ([1, 1, 1], [1700, 1, 700])
PROMPTS = ([63, 1, 9], [63, 1, 30])
BATCHES = {"mixed": MIXED, "decodes": DECODES, "prompts": PROMPTS}
HEADS = (Heads(2, 2, 64), Heads(4, 2, 80), Heads(4, 1, 96), Heads(7, 1, 128))
SCALES = CacheScales(key=0.5, value=0.03)
BLOCK_SIZES = (1, 8, 16, 32)


def attention_error(
    lengths: tuple[list[int], list[int]],
    heads: Heads,
    block_size: int,
    dtype: torch.dtype,
    window: int | None,
    softcap: float = 0.0,
    sinks: torch.Tensor | None = None,
) -> float:
    batch = random_batch(*lengths, heads, block_size, dtype, window)
    inputs = (batch.query, batch.key_cache, batch.value_cache, batch.metadata, batch.scale)
    out = torch.full_like(batch.query, float("nan"))
    expected = reference.paged_attention(*inputs, softcap=softcap, sinks=sinks)
    result = triton_kernel.paged_attention(*inputs, out, softcap=softcap, sinks=sinks)
    return (result.float() - expected.float()).abs().max().item()


def long_attention_error(window: int | None, most: int, programs: int) -> float:
    """With at most `most` splits of a sequence, and few `programs` to take them: they grow, and take turns."""
    usual = triton_kernel.MAX_SPLITS, triton_kernel.PROGRAMS
    triton_kernel.MAX_SPLITS, triton_kernel.PROGRAMS = most, programs
    try:
        return attention_error(LONG, HEADS[1], 16, torch.float32, window)
    finally:
        triton_kernel.MAX_SPLITS, triton_kernel.PROGRAMS = usual


def write_error(heads: Heads, block_size: int, dtype: torch.dtype) -> float:
    tokens = 29
    qkv = torch.randn(tokens, 3 * heads.kv, heads.dim).to(dtype)
    key, value = qkv[:, heads.kv : 2 * heads.kv], qkv[:, 2 * heads.kv :]
    slots = torch.randperm(40 * block_size)[:tokens]
    slots[::5] = -1
    caches = [torch.zeros(40, heads.kv, block_size, heads.dim, dtype=dtype) for _ in range(4)]
    write_kernel.cache_write(key, value, *caches[:2], slots)
    write_reference.cache_write(key, value, *caches[2:], slots)
    return sum((caches[i].float() - caches[i + 2].float()).abs().sum().item() for i in range(2))


def narrow_attention_error(heads: Heads, dtype: torch.dtype, cache_dtype: torch.dtype) -> float:
    batch = random_batch(*MIXED, heads, 16, dtype, 50)
    caches = [cache.to(cache_dtype) for cache in (batch.key_cache, batch.value_cache)]
    inputs = (batch.query, *caches, batch.metadata, batch.scale)
    expected = reference.paged_attention(*inputs, scales=SCALES)
    result = triton_kernel.paged_attention(*inputs, scales=SCALES)
    return (result.float() - expected.float()).abs().max().item()


def narrow_write_error(dtype: torch.dtype, cache_dtype: torch.dtype) -> float:
    """Of numbers that the element type has, and twice those: the interpreter loses the carry when it rounds."""
    codes = torch.randint(0, 256, (29, 2, 64), dtype=torch.uint8).view(cache_dtype).float()
    rows = (codes.nan_to_num(0, 0, 0) * 0.5).to(dtype)
    slots = torch.randperm(20 * 16)[:29]
    caches = [torch.zeros(20, 2, 16, 64).to(cache_dtype) for _ in range(4)]
    scales = CacheScales(key=0.5, value=0.25)
    write_kernel.cache_write(rows, rows, *caches[:2], slots, scales)
    write_reference.cache_write(rows, rows, *caches[2:], slots, scales)
    return sum((caches[i].float() - caches[i + 2].float()).abs().sum().item() for i in range(2))


def report(name: str, error: float) -> None:
    print(json.dumps({"name": name, "error": error}), flush=True)


def main() -> None:
    for (heads, block_size), dtype in itertools.product(
        zip(HEADS, BLOCK_SIZES, strict=True), (torch.float32, torch.float16)
    ):
        kind = f"{heads}-block{block_size}-{dtype}"
        report(f"write-{kind}", write_error(heads, block_size, dtype))
        # 16 bits change how numbers are loaded and rounded, not which: one window is enough.
        windows = (None, 50) if dtype == torch.float32 else (50,)
        for (name, lengths), window in itertools.product(BATCHES.items(), windows):
            report(
                f"{name}-window{window}-{kind}", attention_error(lengths, heads, block_size, dtype, window)
            )
    for (name, lengths), window in itertools.product(BATCHES.items(), (None, 50)):
        case = (lengths, HEADS[2], 16, torch.float32, window)
        report(f"softcap-{name}-window{window}", attention_error(*case, softcap=3.0))
        report(
            f"sinks-{name}-window{window}", attention_error(*case, sinks=torch.tensor([-9.0, 0.0, 2.0, 40.0]))
        )
    for window, (most, programs) in itertools.product((None, 300), ((64, 4096), (64, 12), (3, 1))):
        report(
            f"long-window{window}-{most}-splits-{programs}-programs",
            long_attention_error(window, most, programs),
        )
    for cache_dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        for dtype in (torch.float32, torch.float16):
            kind = f"{cache_dtype}-{dtype}"
            report(f"narrow-write-{kind}", narrow_write_error(dtype, cache_dtype))
            report(f"narrow-attention-{kind}", narrow_attention_error(HEADS[1], dtype, cache_dtype))
    report("write-bfloat16", write_error(HEADS[1], 8, torch.bfloat16))


if __name__ == "__main__":
    main()
