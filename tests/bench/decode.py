"""Decode speed of a Qwen3-0.6B-shaped bfloat16 model, beside transformers and the memory's limit.

    python tests/bench/decode.py [--rounds 3] [--tokens 24]

A decode step must read every weight once, so the limit is the weights' bytes over the read bandwidth measured in the
same run. The three are interleaved, and medians are compared, so that a busy machine slows all alike.
"""

import argparse
import statistics
from pathlib import Path

import torch
from qwen_shape import Ours, Theirs, checkpoint, prompts, read_bandwidth

PROMPT = 64


def weight_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--tokens", type=int, default=24)
    options = arguments.parse_args()
    with checkpoint() as folder:
        size = weight_bytes(folder)
        ours, theirs = Ours(folder), Theirs(folder)
    buffer = torch.ones(1 << 28)
    bandwidths: list[float] = []
    steps: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for batch in (1, 32):
            asked = prompts(batch, PROMPT)
            bandwidths += [read_bandwidth(buffer) for _ in range(3)]
            steps.setdefault(("paddock", batch), []).extend(ours.step_seconds(asked, options.tokens)[2:])
            steps.setdefault(("transformers", batch), []).extend(
                theirs.step_seconds(asked, options.tokens)[2:]
            )
    report(size, statistics.median(bandwidths), steps)


def report(size: int, bandwidth: float, steps: dict[tuple[str, int], list[float]]) -> None:
    limit = size / bandwidth
    print(
        f"Weights {size / 1e9:.2f} GB, read bandwidth {bandwidth / 1e9:.1f} GB/s: a step takes at least "
        f"{limit * 1e3:.1f} ms ({torch.get_num_threads()} threads)\n"
    )
    print("| batch | paddock ms | tokens/s | share of limit | transformers ms | ratio |")
    print("|---:|---:|---:|---:|---:|---:|")
    for batch in (1, 32):
        mine, other = (statistics.median(steps[name, batch]) for name in ("paddock", "transformers"))
        print(
            f"| {batch} | {mine * 1e3:.1f} | {batch / mine:.1f} | {limit / mine:.0%} | {other * 1e3:.1f} | "
            f"{other / mine:.2f}x |"
        )


if __name__ == "__main__":
    main()
