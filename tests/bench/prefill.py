"""Prefill of 2,048 tokens by a Qwen3-0.6B-shaped bfloat16 model, beside transformers and the matrix product's peak.

    python tests/bench/prefill.py [--rounds 3]

The peak is the rate of one large bfloat16 product measured in the same run, interleaved with the rest.
"""

import argparse
import statistics

import torch
from qwen_shape import CONFIG, Ours, Theirs, checkpoint, gemm_rate, prompts

TOKENS = 2048


def operations() -> float:
    """Multiplications and additions of one prefill; the head counts for one token."""
    hidden, heads, kv_heads, dim = (
        CONFIG[name] for name in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim")
    )
    projections = hidden * dim * (2 * heads + 2 * kv_heads) + 3 * hidden * CONFIG["intermediate_size"]
    # Scores and weighted values, over the causal half of the square.
    attention = 2 * heads * dim * TOKENS / 2
    layers: float = CONFIG["num_hidden_layers"] * TOKENS * 2 * (projections + attention)
    return layers + 2 * hidden * CONFIG["vocab_size"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    with checkpoint() as folder:
        ours, theirs = Ours(folder), Theirs(folder)
    left, right = torch.randn(2048, 4096).bfloat16(), torch.randn(4096, 4096).bfloat16()
    rates: list[float] = []
    mine: list[float] = []
    other: list[float] = []
    for _ in range(options.rounds):
        asked = prompts(1, TOKENS)
        rates += [gemm_rate(left, right) for _ in range(3)]
        mine.append(ours.step_seconds(asked, 1)[0])
        other.append(theirs.step_seconds(asked, 1)[0])
    peak, paddock, transformers = (statistics.median(values) for values in (rates, mine, other))
    print(f"bfloat16 matrix product: {peak / 1e12:.2f} TFLOP/s with {torch.get_num_threads()} threads\n")
    print("| tokens | paddock s | tokens/s | share of peak | transformers s | ratio |")
    print("|---:|---:|---:|---:|---:|---:|")
    print(
        f"| {TOKENS} | {paddock:.2f} | {TOKENS / paddock:.0f} | {operations() / paddock / peak:.0%} | "
        f"{transformers:.2f} | {transformers / paddock:.2f}x |"
    )


if __name__ == "__main__":
    main()
