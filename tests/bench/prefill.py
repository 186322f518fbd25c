"""Prefill of 2,048 tokens beside peers and the matrix product's peak, all in turns in one run, and where its time goes.

    python tests/bench/prefill.py [--shape qwen3-0.6b|llama-3.2-1b] [--rounds 3] [--openvino NAME=VALUE] [--quick]

The peak is the rate of one large matrix product, by whichever of torch's and our own is fastest on this machine: bfloat16
as it comes, bfloat16 packed by oneDNN, float32, and our kernel.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from decode import VOCABULARY
from peers import openvino_cpu, vllm_cpu
from peers.comparison import OURS, Row, print_comparison
from qwen_shape import SHAPES, Ours, Theirs, checkpoint, prompts
from step import watch_kernels

from paddock.kernels import pack_linear

TOKENS = 2048
PRODUCT = (2048, 4096, 4096)
"""Rows, inputs and outputs of the product that stands for the peak."""


def operations(config: dict[str, Any]) -> float:
    """Multiplications and additions of one prefill; the head counts for one token."""
    hidden, heads, kv_heads, dim = (
        config[name] for name in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim")
    )
    projections = hidden * dim * (2 * heads + 2 * kv_heads) + 3 * hidden * config["intermediate_size"]
    # Scores and weighted values, over the causal half of the square.
    attention = 2 * heads * dim * TOKENS / 2
    layers = config["num_hidden_layers"] * TOKENS * 2 * (projections + attention)
    return float(layers + 2 * hidden * config["vocab_size"])


class Products:
    """Rates of one large matrix product, by how it is computed."""

    def __init__(self) -> None:
        rows, inputs, outputs = PRODUCT
        x, weight = torch.randn(rows, inputs), torch.randn(outputs, inputs)
        half_x, half_weight = x.bfloat16(), weight.bfloat16()
        packed = torch.ops.mkldnn._reorder_linear_weight(half_weight, rows)
        ours = pack_linear(half_weight)
        self._works: dict[str, Callable[[], object]] = {
            "torch, bfloat16": lambda: half_x @ half_weight.t(),
            "oneDNN, bfloat16, packed": lambda: torch.ops.mkldnn._linear_pointwise(
                half_x, packed, None, "none", [], ""
            ),
            "torch, float32": lambda: x @ weight.t(),
            "ours, bfloat16 weights, float32 sums": lambda: ours(half_x),
        }
        self.rates: dict[str, list[float]] = {}
        """Floating-point operations per second."""

    @torch.inference_mode()
    def measure(self) -> None:
        rows, inputs, outputs = PRODUCT
        for name, work in self._works.items():
            begun = time.perf_counter()
            work()
            rate = 2 * rows * inputs * outputs / (time.perf_counter() - begun)
            self.rates.setdefault(name, []).append(rate)

    def medians(self) -> dict[str, float]:
        return {name: statistics.median(rates) for name, rates in self.rates.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=list(SHAPES), default="qwen3-0.6b")
    parser.add_argument("--rounds", type=int, default=3)
    vllm_cpu.add_option(parser)
    openvino_cpu.add_option(parser)
    parser.add_argument("--quick", action="store_true", help="one round, beside transformers")
    options = parser.parse_args()
    products = Products()
    seconds: dict[str, list[float]] = {}
    with checkpoint(options.shape) as folder, ExitStack() as stack:
        ours = Ours(folder)
        engines = {OURS: ours.step_seconds, "transformers": Theirs(folder).step_seconds}
        if not options.quick:
            engines |= peers(folder, options, stack)
            print(vllm_cpu.described(options.vllm_threads), openvino_cpu.described(), sep="\n")
        asked = prompts(1, TOKENS, VOCABULARY)
        for number in range(1 if options.quick else options.rounds + 1):
            for name, steps in engines.items():
                products.measure()
                took = sum(steps(asked, 1))
                if number or options.quick:  # the first round warms up
                    seconds.setdefault(name, []).append(took)
        parts = breakdown(ours, asked, 1 if options.quick else 2)
    report(options.shape, products.medians(), seconds)
    report_parts(parts)


def peers(folder: Path, options: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    settings = {"max_model_len": 4096, "max_num_batched_tokens": TOKENS, "enable_prefix_caching": False}
    theirs = stack.enter_context(vllm_cpu.vllm_engine(folder, options.vllm_threads, **settings))
    others = openvino_cpu.openvino_engines(folder, stack, options.openvino, max_num_batched_tokens=TOKENS)
    return {name: peer.step_seconds for name, peer in {"vllm-cpu": theirs, **others}.items()}


def breakdown(ours: Ours, asked: list[list[int]], times: int) -> dict[str, float]:
    """Seconds of one prefill by its parts, the layers one operation at a time. Comes last: its clocks stay in place."""
    parts = watch_kernels(ours.core, time.perf_counter)
    for _ in range(times):
        ours.step_seconds(asked, 1)
    return parts.means(times)


def report(shape: str, products: dict[str, float], seconds: dict[str, list[float]]) -> None:
    work, peak = operations(SHAPES[shape][1]), max(products.values())
    rates = ", ".join(f"{name}: {rate / 1e12:.3f}" for name, rate in products.items())
    print(f"{shape}: TFLOP/s of a product of {PRODUCT} with {torch.get_num_threads()} threads: {rates}\n")
    print(f"| {TOKENS} tokens in | s, median (least to most) | tokens/s | share of peak |")
    print("|---|---:|---:|---:|")
    medians = {name: statistics.median(runs) for name, runs in seconds.items()}
    for name, median in medians.items():
        print(
            f"| {name} | {median:.2f} ({min(seconds[name]):.2f} to {max(seconds[name]):.2f}) | "
            f"{TOKENS / median:.0f} | {work / median / peak:.0%} |"
        )
    speeds = {name: TOKENS / median for name, median in medians.items()}
    share = f"{work / medians[OURS] / peak:.0%} of the best product"
    print_comparison([Row(f"{shape}, {TOKENS} tokens in", speeds, "tokens/s", True, share)])


def report_parts(parts: dict[str, float]) -> None:
    print("\n| part of our prefill | s | share |\n|---|---:|---:|")
    for name, mean in parts.items():
        print(f"| {name} | {mean:.3f} | {mean / parts['whole step']:.1%} |")


if __name__ == "__main__":
    main()
