"""16 requests that share 1,024 of 1,056 prompt tokens, the second time that they come, beside peers.

    python tests/bench/prefix_cache.py [--rounds 3] [--tokens 16] [--quick]

Each round has a shared prefix of its own, so that its first pass is cold in all engines; they take turns.
"""

import argparse
import statistics
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from peers import openvino_cpu, vllm_cpu
from peers.comparison import OURS, Row, print_comparison
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
    vllm_cpu.add_option(parser)
    parser.add_argument("--quick", action="store_true", help="one round, without peers")
    options = parser.parse_args()
    passes: dict[str, list[tuple[float, float]]] = {}
    with checkpoint(options.shape) as folder, ExitStack() as stack:
        engines = {OURS: Ours(folder, *FLAGS).step_seconds}
        if not options.quick:
            engines |= peers(folder, options.vllm_threads, stack)
            print(vllm_cpu.described(options.vllm_threads), openvino_cpu.described(), sep="\n")
        for number in range(1 if options.quick else options.rounds):
            for name, steps in engines.items():
                cold, warm = (sum(steps(asked(number), options.tokens)) for _ in range(2))
                passes.setdefault(name, []).append((cold, warm))
    report(options.shape, passes, options.tokens)


def peers(folder: Path, threads: str, stack: ExitStack) -> dict[str, Any]:
    """OpenVINO's pipeline without paged attention has no cache of prefixes."""
    settings: dict[str, Any] = {"max_num_seqs": 32, "enable_prefix_caching": True}
    theirs = vllm_cpu.vllm_engine(folder, threads, max_model_len=2048, **settings)
    settings |= {"max_num_batched_tokens": 2048, "cache_size": openvino_cpu.CACHE_GIB}
    openvino = openvino_cpu.openvino_engine(folder, **settings)
    engines = {"vllm-cpu": theirs, "openvino": openvino}
    return {name: stack.enter_context(engine).step_seconds for name, engine in engines.items()}


def report(shape: str, passes: dict[str, list[tuple[float, float]]], tokens: int) -> None:
    print(f"{REQUESTS} requests, {SHARED} of {PROMPT} prompt tokens shared, {tokens} tokens out each\n")
    print("| engine | first pass s | second pass s, median (least to most) |")
    print("|---|---:|---:|")
    rates = {}
    for name, runs in passes.items():
        warms = [warm for _, warm in runs]
        median = statistics.median(warms)
        rates[name] = REQUESTS * tokens / median
        print(
            f"| {name} | {statistics.median(cold for cold, _ in runs):.2f} | "
            f"{median:.2f} ({min(warms):.2f} to {max(warms):.2f}) |"
        )
    if len(rates) > 1:
        print_comparison([Row(f"{shape}, second pass", rates, "tokens/s", more_is_better=True)])


if __name__ == "__main__":
    main()
