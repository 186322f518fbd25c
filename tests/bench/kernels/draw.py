"""Drawing a token under top-k, top-p and min-p: ours, and by sorting the vocabulary; microseconds a step.

    python tests/bench/kernels/draw.py [--threads 2] [--repeats 20]

On a CPU, where the draw is by sorting, this only shows that the script runs.
"""

import torch
from timing import DEVICE, fastest, print_table, repeats_asked_for

from paddock.kernels.draw import draw, reference

VOCABULARY = 128_256 if DEVICE.type == "cuda" else 2048
ROWS = (1, 16, 64)
LIMITS = {
    "none": (0, 1.0, 0.0),
    "top-k 40": (40, 1.0, 0.0),
    "top-p 0.95": (0, 0.95, 0.0),
    "all": (40, 0.95, 0.05),
}


def measure(name: str, rows: int, repeats: int) -> list[str]:
    top_k, top_p, min_p = LIMITS[name]
    scores = (3 * torch.randn(rows, VOCABULARY)).log_softmax(dim=-1)
    keys = torch.randint(0, 2**31 - 1, (rows, 2), dtype=torch.int32)
    ps = [torch.full((rows,), value) for value in (top_p, min_p)]
    step = (scores, torch.full((rows,), top_k), *ps, keys)
    ours, sorting = (
        seconds * 1e6 for seconds in fastest([lambda: draw(*step), lambda: reference.draw(*step)], repeats)
    )
    return [name, str(rows), f"{ours:.0f}", f"{sorting:.0f}", f"{sorting / ours:.1f}"]


def main() -> None:
    repeats = repeats_asked_for(__doc__, 20)
    rows = [measure(name, count, repeats) for name in LIMITS for count in ROWS]
    print_table(["limits", "rows", "ours µs", "by sorting µs", "speed-up"], rows)


if __name__ == "__main__":
    with torch.inference_mode(), DEVICE:
        main()
