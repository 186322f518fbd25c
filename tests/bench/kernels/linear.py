"""Linear layers of a 0.6B Qwen3 layer: ours and PyTorch's, as shares of what this machine reads and multiplies.

    python tests/bench/kernels/linear.py [--threads 2] [--repeats 60]

Weights rotate through more memory than the second-level caches hold. The limits (a large read, PyTorch's best matrix
product) are measured in the same turns; the least time of each counts.
"""

from functools import partial

import torch
from timing import DEVICE, Rotation, Work, fastest, print_table, product_work, read_work, repeats_asked_for

from paddock.kernels import pack_linear

SHAPES = [(4096, 1024), (1024, 2048), (6144, 1024), (1024, 3072)]
ROWS = (1, 4, 16, 32, 128)
COPIES = 8


def layer_works(shape: tuple[int, int], dtype: torch.dtype, rows: int) -> list[Work]:
    weights = [torch.randn(shape).to(dtype) for _ in range(COPIES)]
    x = torch.randn(rows, shape[1]).to(dtype)
    ours = [partial(pack_linear(weight), x) for weight in weights]
    return [Rotation(ours), Rotation([partial(torch.nn.functional.linear, x, weight) for weight in weights])]


def measure(dtype: torch.dtype, rows: int, repeats: int) -> list[str]:
    read, read_bytes = read_work()
    product, product_operations = product_work(dtype)
    turns = [fastest([*layer_works(shape, dtype, rows), read, product], repeats) for shape in SHAPES]
    seconds, theirs = sum(turn[0] for turn in turns), sum(turn[1] for turn in turns)
    limit_read = read_bytes / min(turn[2] for turn in turns)
    limit_product = product_operations / min(turn[3] for turn in turns)
    elements = sum(out_features * in_features for out_features, in_features in SHAPES)
    bandwidth, speed = elements * dtype.itemsize / seconds, 2 * rows * elements / seconds
    return [
        str(dtype).removeprefix("torch."),
        str(rows),
        f"{seconds * 1e3:.2f}",
        f"{theirs * 1e3:.2f}",
        f"{theirs / seconds:.2f}",
        f"{bandwidth / 1e9:.1f} ({bandwidth / limit_read:.0%} of {limit_read / 1e9:.1f})",
        f"{speed / 1e9:.0f} ({speed / limit_product:.0%} of {limit_product / 1e9:.0f})",
    ]


def main() -> None:
    repeats = repeats_asked_for(__doc__, 60)
    header = ["dtype", "rows", "ours ms", "F.linear ms", "speed-up", "GB/s of weights", "GFLOP/s"]
    rows = [measure(dtype, count, repeats) for dtype in (torch.bfloat16, torch.float32) for count in ROWS]
    print_table(header, rows)


if __name__ == "__main__":
    with torch.inference_mode(), DEVICE:
        main()
