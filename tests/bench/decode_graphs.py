"""Decode steps captured in CUDA graphs and run eagerly, side by side: a GPU's bandwidth at one stream, its idle time at 64.

    python tests/bench/decode_graphs.py [--shape llama-3-8b|small] [--batches 1 64] [--rounds 3] [--tokens 64]
        [--async-scheduling]

Random weights of the shape, made in place. The limit is what a step must read (all weights but the rows of the embedding)
over the best read bandwidth measured in the same run. Idle is what is left of a step's time when the kernels' own time,
by the profiler in steps of their own, is taken away. Without a GPU the small shape runs, on the CPU: it has no graphs, and
no idle time is told.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from qwen_shape import Ours, prompts
from torch.profiler import ProfilerActivity, profile

PROMPT = 128
PROFILED_STEPS = 16
SHAPES: dict[str, dict[str, Any]] = {
    "llama-3-8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    "small": {
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 2000,
    },
}
COMMON = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
ON_GPU = torch.cuda.is_available()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=list(SHAPES), default="llama-3-8b" if ON_GPU else "small")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64, help="of each answer")
    parser.add_argument("--async-scheduling", action="store_true")
    return parser.parse_args()


def make_engines(folder: Path, options: argparse.Namespace) -> dict[str, Ours]:
    flags = ["--load-format", "dummy", "--no-enable-prefix-caching", "--max-model-len", "4096"]
    flags += [
        "--max-num-seqs",
        str(max(options.batches)),
        "--kv-cache-memory-bytes",
        str((8 if ON_GPU else 1) << 30),
    ]
    flags += ["--async-scheduling"] if options.async_scheduling else []
    captured = {"captured": Ours(folder, *flags)} if ON_GPU else {}
    return captured | {"eager": Ours(folder, *flags, "--enforce-eager")}


def read_bandwidth() -> float:
    """Bytes per second of the best of ten reads of a gigabyte."""
    buffer, best = torch.ones(1 << 28, device="cuda" if ON_GPU else "cpu"), 0.0
    for _ in range(10):
        began = time.perf_counter()
        buffer.sum().item()
        best = max(best, buffer.nbytes / (time.perf_counter() - began))
    return best


def decode_seconds(engine: Ours, batch: int, tokens: int, vocabulary: int) -> list[float]:
    """Without the steps that compute prompts, and the first ones after them."""
    return engine.step_seconds(prompts(batch, PROMPT, vocabulary), tokens)[4 - tokens :]


def busy_seconds(engine: Ours, batch: int, vocabulary: int) -> float | None:
    """What the kernels of a step take by themselves; None without a GPU."""
    if not ON_GPU:
        return None
    engine.start(prompts(batch, PROMPT, vocabulary), PROFILED_STEPS + 24)
    for _ in range(20):
        engine.core.step()
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(PROFILED_STEPS):
            engine.core.step()
        torch.cuda.synchronize()
    while engine.core.has_work:
        engine.core.step()
    return sum(event.self_device_time_total for event in found.key_averages()) * 1e-6 / PROFILED_STEPS


def main() -> None:
    options = parse()
    shape = SHAPES[options.shape]
    seconds: dict[tuple[int, str], list[float]] = {}
    busy: dict[tuple[int, str], float | None] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.json").write_text(json.dumps(COMMON | shape))
        engines = make_engines(folder, options)
        bandwidth = read_bandwidth()
        for round_number in range(options.rounds + 1):
            for batch in options.batches:
                for title, engine in engines.items():
                    taken = decode_seconds(engine, batch, options.tokens, shape["vocab_size"])
                    if round_number:  # the first one warms up
                        seconds.setdefault((batch, title), []).extend(taken)
        for batch, title in seconds:
            busy[batch, title] = busy_seconds(engines[title], batch, shape["vocab_size"])
    weights, _ = engines["eager"].core.held_bytes()
    read = weights - 2 * shape["vocab_size"] * shape["hidden_size"]
    report(options, read, bandwidth, seconds, busy)


def report(
    options: argparse.Namespace,
    read: int,
    bandwidth: float,
    seconds: dict[tuple[int, str], list[float]],
    busy: dict[tuple[int, str], float | None],
) -> None:
    device = torch.cuda.get_device_name() if ON_GPU else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{options.shape} on {device}: {read / 1e9:.3f} GB to read, best read {bandwidth / 1e9:.1f} GB/s, so a step takes "
        f"at least {read / bandwidth * 1e3:.3f} ms; {PROMPT} tokens in, {options.tokens} out\n"
    )
    print("| at once | steps | ms, median (quartiles) | share of bandwidth | tokens/s | GPU idle |")
    print("|---:|---|---:|---:|---:|---:|")
    for (batch, title), taken in seconds.items():
        low, median, high = statistics.quantiles(taken, n=4)
        kernels = busy[batch, title]
        idle = "" if kernels is None else f"{max(0.0, 1 - kernels / median):.1%}"
        print(
            f"| {batch} | {title} | {median * 1e3:.3f} ({low * 1e3:.3f} to {high * 1e3:.3f}) | "
            f"{read / bandwidth / median:.0%} | {batch / median:.0f} | {idle} |"
        )


if __name__ == "__main__":
    main()
