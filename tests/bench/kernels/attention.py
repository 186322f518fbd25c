"""Paged attention against PyTorch's attention over a dense cache, which need not look up any block.

    python tests/bench/kernels/attention.py [--threads 2] [--repeats 40]

Heads of Qwen3-0.6B. Decodes report the bytes of keys and values, prompts the operations of the causal half, each as
a share of what this machine reads and multiplies in the same turns; the least time of each counts.
"""

import argparse

import torch
from timing import Rotation, Work, fastest, print_table, product_work, read_work

from paddock.kernels import AttentionMetadata, paged_attention

HEADS, KV_HEADS, HEAD_DIM, BLOCK_SIZE = 16, 8, 128, 16
COPIES = 4
CASES = {  # queries of each sequence, context of each sequence, sequences
    "decode 1 x 2048": (1, 2048, 1),
    "decode 32 x 512": (1, 512, 32),
    "prompt 1 x 512": (512, 512, 1),
    "chunk 256 of 1024": (256, 1024, 1),
}


def paged_work(queries: int, context: int, sequences: int, dtype: torch.dtype) -> Work:
    num_blocks = context // BLOCK_SIZE
    caches = torch.randn(2, COPIES * sequences * num_blocks, KV_HEADS, BLOCK_SIZE, HEAD_DIM).to(dtype)
    tables = torch.randperm(caches.shape[1]).view(COPIES, sequences, num_blocks).tolist()
    query = torch.randn(queries * sequences, HEADS, HEAD_DIM).to(dtype)
    batches = [
        AttentionMetadata.build([queries] * sequences, [context] * sequences, table, BLOCK_SIZE)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
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
        [
            measure(name, dtype, arguments.repeats)
            for dtype in (torch.bfloat16, torch.float32)
            for name in CASES
        ],
    )


if __name__ == "__main__":
    with torch.inference_mode():
        main()
