"""Paged attention against PyTorch's attention over a dense cache, which need not look up any block.

    python tests/bench/kernels/attention.py [--threads 2] [--repeats 40]

Heads of Qwen3-0.6B. Decodes report the bytes of keys and values, prompts the operations of the causal half, each as
a share of what this machine reads and multiplies in the same turns; the least time of each counts.

Then capped scores (heads of Gemma 2 2B) and sinks (of GPT-OSS 20B) beside the same attention without them, and beside
the definition in PyTorch; and decodes over a cache of 8-bit floats beside one in the query's own type.
"""

from dataclasses import dataclass
from typing import TypedDict

import torch
from timing import DEVICE, Rotation, Work, fastest, print_table, product_work, read_work, repeats_asked_for

from paddock.kernels import AttentionMetadata, paged_attention
from paddock.kernels.paged_attention import reference

HEADS, KV_HEADS, HEAD_DIM, BLOCK_SIZE = 16, 8, 128, 16
COPIES = 4
CASES = {  # queries of each sequence, context of each sequence, sequences
    "decode 1 x 2048": (1, 2048, 1),
    "decode 32 x 512": (1, 512, 32),
    "prompt 1 x 512": (512, 512, 1),
    "chunk 256 of 1024": (256, 1024, 1),
}

if DEVICE.type == "cuda":
    CASES |= {"decode 256 x 2048": (1, 2048, 256), "prompt 1 x 8192": (8192, 8192, 1)}


class Extras(TypedDict, total=False):
    softcap: float
    sinks: torch.Tensor


@dataclass(frozen=True)
class ExtendedCase:
    queries: int
    context: int
    sequences: int
    heads: tuple[int, int, int]
    window: int | None
    extras: Extras


GEMMA, GPT_OSS = (8, 4, 256), (64, 8, 64)
CAP: Extras = {"softcap": 50.0}
SINKS: Extras = {"sinks": torch.linspace(-4, 4, GPT_OSS[0], device=DEVICE)}
EXTENDED_CASES = {
    "capped decode 8 x 512": ExtendedCase(1, 512, 8, GEMMA, None, CAP),
    "capped prompt 1 x 512": ExtendedCase(512, 512, 1, GEMMA, None, CAP),
    "sinks, decode 8 x 512": ExtendedCase(1, 512, 8, GPT_OSS, None, SINKS),
    "sinks, decode 8 x 512, window 128": ExtendedCase(1, 512, 8, GPT_OSS, 128, SINKS),
    "sinks, prompt 1 x 512": ExtendedCase(512, 512, 1, GPT_OSS, None, SINKS),
}


def paged_work(queries: int, context: int, sequences: int, dtype: torch.dtype) -> Work:
    num_blocks = context // BLOCK_SIZE
    caches = torch.randn(2, COPIES * sequences * num_blocks, KV_HEADS, BLOCK_SIZE, HEAD_DIM).to(dtype)
    tables = torch.randperm(caches.shape[1]).view(COPIES, sequences, num_blocks).tolist()
    query = torch.randn(queries * sequences, HEADS, HEAD_DIM).to(dtype)
    batches = [
        AttentionMetadata.build(
            [queries] * sequences, [context] * sequences, table, BLOCK_SIZE, device=DEVICE
        )
        for table in tables
    ]
    return Rotation(
        [
            lambda batch=batch: paged_attention(query, caches[0], caches[1], batch, HEAD_DIM**-0.5)
            for batch in batches
        ]
    )


def dense_work(queries: int, context: int, sequences: int, dtype: torch.dtype) -> Work:
    caches = torch.randn(COPIES, 2, sequences, KV_HEADS, context, HEAD_DIM).to(dtype)
    query = torch.randn(sequences, HEADS, queries, HEAD_DIM).to(dtype)
    hidden_before = torch.ones(queries, context, dtype=torch.bool).tril(context - queries)
    mask = None if queries in (1, context) else hidden_before
    causal = queries == context
    return Rotation(
        [
            lambda key=key, value=value: torch.nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, is_causal=causal, enable_gqa=True
            )
            for key, value in caches
        ]
    )


def measure(name: str, dtype: torch.dtype, repeats: int) -> list[str]:
    queries, context, sequences = CASES[name]
    read, read_bytes = read_work()
    product, product_operations = product_work(dtype)
    works = [paged_work(queries, context, sequences, dtype), dense_work(queries, context, sequences, dtype)]
    ours, dense, read_seconds, product_seconds = fastest([*works, read, product], repeats)
    pairs = sequences * queries * (2 * context - queries + 1) // 2
    speed = 4 * pairs * HEADS * HEAD_DIM / ours
    bandwidth = 2 * sequences * context * KV_HEADS * HEAD_DIM * dtype.itemsize / ours
    return [
        str(dtype).removeprefix("torch."),
        name,
        f"{ours * 1e3:.2f}",
        f"{dense * 1e3:.2f}",
        f"{dense / ours:.2f}",
        f"{bandwidth / 1e9:.1f} ({bandwidth * read_seconds / read_bytes:.0%})",
        f"{speed / 1e9:.0f} ({speed * product_seconds / product_operations:.0%})",
    ]


def measure_extended(name: str, dtype: torch.dtype, repeats: int) -> list[str]:
    case = EXTENDED_CASES[name]
    heads, kv_heads, head_dim = case.heads
    num_blocks = case.sequences * case.context // BLOCK_SIZE
    caches = torch.randn(2, num_blocks, kv_heads, BLOCK_SIZE, head_dim).to(dtype)
    table = torch.randperm(num_blocks).view(case.sequences, -1).tolist()
    lengths = ([case.queries] * case.sequences, [case.context] * case.sequences)
    batch = AttentionMetadata.build(*lengths, table, BLOCK_SIZE, sliding_window=case.window, device=DEVICE)
    query = torch.randn(case.queries * case.sequences, heads, head_dim).to(dtype)
    inputs = (query, caches[0], caches[1], batch, head_dim**-0.5)
    ours, without, definition = fastest(
        [
            lambda: paged_attention(*inputs, **case.extras),
            lambda: paged_attention(*inputs),
            lambda: reference.paged_attention(*inputs, **case.extras),
        ],
        repeats,
    )
    milliseconds = (f"{seconds * 1e3:.2f}" for seconds in (ours, without, definition))
    return [str(dtype).removeprefix("torch."), name, *milliseconds, f"{definition / ours:.1f}"]


def measure_narrow(name: str, cache_dtype: torch.dtype, repeats: int) -> list[str]:
    queries, context, sequences = CASES[name]
    num_blocks = context // BLOCK_SIZE * sequences
    wide = torch.randn(2, num_blocks, KV_HEADS, BLOCK_SIZE, HEAD_DIM).bfloat16()
    narrow = wide.to(cache_dtype)
    table = torch.randperm(num_blocks).view(sequences, -1).tolist()
    lengths = ([queries] * sequences, [context] * sequences)
    batch = AttentionMetadata.build(*lengths, table, BLOCK_SIZE, device=DEVICE)
    query = torch.randn(queries * sequences, HEADS, HEAD_DIM).bfloat16()
    works = [
        lambda cache=cache: paged_attention(query, cache[0], cache[1], batch, HEAD_DIM**-0.5)
        for cache in (narrow, wide)
    ]
    ours, without = fastest(works, repeats)
    kind = str(cache_dtype).removeprefix("torch.")
    return [kind, name, f"{ours * 1e3:.2f}", f"{without * 1e3:.2f}", f"{without / ours:.2f}"]


def main() -> None:
    repeats = repeats_asked_for(__doc__, 40)
    header = [
        "dtype",
        "case",
        "paged ms",
        "dense SDPA ms",
        "speed-up",
        "GB/s of cache (share)",
        "GFLOP/s (share)",
    ]
    print_table(
        header,
        [measure(name, dtype, repeats) for dtype in (torch.bfloat16, torch.float32) for name in CASES],
    )
    print()
    print_table(
        ["dtype", "case", "paged ms", "without them ms", "definition ms", "speed-up"],
        [
            measure_extended(name, dtype, repeats)
            for dtype in (torch.bfloat16, torch.float32)
            for name in EXTENDED_CASES
        ],
    )
    print()
    print_table(
        ["cache", "case", "paged ms", "bfloat16 cache ms", "speed-up"],
        [
            measure_narrow(name, dtype, repeats)
            for dtype in (torch.float8_e4m3fn, torch.float8_e5m2)
            for name in CASES
            if name.startswith("decode")
        ],
    )


if __name__ == "__main__":
    with torch.inference_mode(), DEVICE:
        main()
