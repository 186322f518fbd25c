"""Operations between the matrix products: microseconds a call, ours and their PyTorch definitions.

    python tests/bench/kernels/elementwise.py [--threads 2] [--repeats 200]

At 16 rows of the tiny model what counts is the cost of a call; at 512 rows of Qwen3-0.6B, the memory.
"""

import torch
from timing import DEVICE, Work, fastest, print_table, repeats_asked_for

from paddock.kernels import rms_norm, rotary_cache_write, silu_and_mul
from paddock.kernels.rms_norm import reference as norm_reference
from paddock.kernels.rotary_cache_write import reference as rotary_reference
from paddock.kernels.silu_and_mul import reference as gate_reference

# rows, hidden, intermediate, heads, KV heads, head dim
SIZES = {"16 rows, tiny": (16, 192, 512, 6, 2, 32), "512 rows, 0.6B": (512, 1024, 3072, 16, 8, 128)}


def works(size: str, dtype: torch.dtype) -> dict[str, tuple[Work, Work]]:
    rows, hidden, intermediate, heads, kv_heads, dim = SIZES[size]
    x, residual, weight = (
        torch.randn(shape).to(dtype) for shape in ((rows, hidden), (rows, hidden), (hidden,))
    )
    gated = torch.randn(rows, 2 * intermediate).to(dtype)
    qkv = torch.randn(rows, (heads + 2 * kv_heads) * dim).to(dtype)
    angles = torch.randn(rows, dim // 2)
    caches = torch.zeros(2, rows // 16 + 1, kv_heads, 16, dim).to(dtype)
    norms = [torch.randn(dim).to(dtype) for _ in range(2)]
    step = (qkv, angles.cos(), angles.sin(), caches[0], caches[1], torch.arange(rows), *norms)
    return {
        "rms_norm + residual": (
            lambda: rms_norm(x, weight, 1e-6, residual),
            lambda: norm_reference.rms_norm(x, weight, 1e-6, residual),
        ),
        "silu_and_mul": (lambda: silu_and_mul(gated), lambda: gate_reference.silu_and_mul(gated)),
        "rotary_cache_write": (
            lambda: rotary_cache_write(*step),
            lambda: rotary_reference.rotary_cache_write(*step),
        ),
    }


def main() -> None:
    repeats = repeats_asked_for(__doc__, 200)
    rows = []
    for size in SIZES:
        for dtype in (torch.float32, torch.bfloat16):
            for name, pair in works(size, dtype).items():
                ours, torchs = (seconds * 1e6 for seconds in fastest(pair, repeats))
                kind = str(dtype).removeprefix("torch.")
                rows.append([size, kind, name, f"{ours:.1f}", f"{torchs:.1f}", f"{torchs / ours:.1f}"])
    print_table(["size", "dtype", "operation", "ours µs", "PyTorch µs", "speed-up"], rows)


if __name__ == "__main__":
    with torch.inference_mode(), DEVICE:
        main()
