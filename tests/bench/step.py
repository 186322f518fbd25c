"""Time of one engine step of the tiny model with 16 running sequences, and where it goes.

    python tests/bench/step.py [--rows 16] [--steps 200] [--prompt 128] [--clock cpu] [--profile]

Prints medians in a Markdown table; each part is timed in the same steps as the whole. A second table has the shares of
the kernels in steps that decode and in steps that compute prompts, the layers one operation at a time: joined in one
call, as they are in the first table, their parts cannot be told apart. On a machine that is busy with
other things, `OMP_NUM_THREADS=1 ... --clock cpu` counts only the time that the step itself computes.
"""

import argparse
import cProfile
import pstats
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from paddock.engine.config import parse_serve
from paddock.engine.core import EngineCore
from paddock.engine.executor.uni import UniExecutor
from paddock.engine.layers import attention, norm
from paddock.engine.messages import AddRequest
from paddock.engine.models.shape import ModelShape
from paddock.engine.sampling.params import SamplingParams
from paddock.engine.settings import EngineSettings
from paddock.engine.worker import runner
from paddock.kernels.linear.cpu import CpuLinear

TINY = Path(__file__).parents[1] / "models" / "tiny" / "model"
SAMPLING = {
    "greedy": {"temperature": 0.0},
    "temperature 1": {"temperature": 1.0},
    "top-p 0.95, top-k 40": {"temperature": 0.8, "top_p": 0.95, "top_k": 40},
    "greedy + 5 logprobs": {"temperature": 0.0, "logprobs": 5},
}


def make_core(*flags: str) -> EngineCore:
    config = parse_serve([str(TINY), *flags], {})
    shape = ModelShape.read(TINY, config.model)
    settings = EngineSettings.resolve(config, shape)
    return EngineCore(UniExecutor(settings, config, shape, TINY), settings)


class Parts:
    """Seconds spent in the named callables of one object each, step by step."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seconds: dict[str, list[float]] = {}

    def watch(self, owner: Any, attribute: str, name: str) -> None:
        inner: Callable[..., Any] = getattr(owner, attribute)
        spent = self.seconds.setdefault(name, [])

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = self.clock()
            try:
                return inner(*args, **kwargs)
            finally:
                spent.append(self.clock() - start)

        setattr(owner, attribute, timed)

    def median_ms(self, name: str) -> float:
        return statistics.median(self.seconds[name]) * 1e3

    def means(self, steps: int) -> dict[str, float]:
        """Seconds of a step, and what is left of the whole."""
        means = {name: sum(spent) / steps for name, spent in self.seconds.items()}
        whole = means["whole step"]
        return {**means, "rest": 2 * whole - sum(means.values())}

    def clear(self) -> None:
        for spent in self.seconds.values():
            spent.clear()


def watch_parts(core: EngineCore, clock: Callable[[], float]) -> Parts:
    parts = Parts(clock)
    model_runner = core._executor.worker.runner  # type: ignore[attr-defined]
    parts.watch(core._scheduler, "schedule", "schedule")
    parts.watch(runner, "build_batch", "build inputs")
    parts.watch(model_runner.model, "forward", "layers")
    parts.watch(model_runner.model, "logits", "head")
    parts.watch(model_runner.sampler, "sample", "sample")
    parts.watch(core._scheduler, "update", "update requests")
    parts.watch(core, "step", "whole step")
    return parts


def fill(core: EngineCore, rows: int, sampling: dict[str, Any], max_tokens: int) -> None:
    for index in range(rows):
        prompt = [(index * 37 + i * 11) % 2048 for i in range(40 + index)]
        params = SamplingParams(max_tokens=max_tokens, ignore_eos=True, seed=index, **sampling)
        core.add(AddRequest(f"r{index}", prompt, params, time.time()))
    for _ in range(5):
        core.step()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=16)
    arguments.add_argument("--steps", type=int, default=200)
    arguments.add_argument(
        "--prompt", type=int, default=128, help="tokens of each prompt in the second table"
    )
    arguments.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    arguments.add_argument("--profile", action="store_true", help="also print where Python spends its time")
    options = arguments.parse_args()
    core = make_core()
    names = ["schedule", "build inputs", "layers", "head", "sample", "update requests", "whole step"]
    print(
        f"Median milliseconds ({options.clock} clock, {torch.get_num_threads()} threads) of a step with {options.rows} "
        "running sequences of the tiny model\n"
    )
    print("| sampling | " + " | ".join(names) + " | tokens/s |")
    print("|---|" + "---:|" * (len(names) + 1))
    clock = time.thread_time if options.clock == "cpu" else time.perf_counter
    parts = watch_parts(core, clock)
    for title, sampling in SAMPLING.items():
        fill(core, options.rows, sampling, options.steps + 20)
        parts.clear()
        for _ in range(options.steps):
            core.step()
        core.abort([f"r{index}" for index in range(options.rows)])
        cells = [f"{parts.median_ms(name):.3f}" for name in names]
        print(
            f"| {title} | "
            + " | ".join(cells)
            + f" | {options.rows / parts.median_ms('whole step') * 1e3:.0f} |"
        )
    print_shares(options.rows, options.steps, options.prompt, clock)
    if options.profile:
        print_profile(options.rows, options.steps)


def watch_kernels(core: EngineCore, clock: Callable[[], float]) -> Parts:
    """Parts that do not overlap, and the whole."""
    parts = Parts(clock)
    model_runner = core._executor.worker.runner  # type: ignore[attr-defined]
    model_runner.model.joined = None
    parts.watch(CpuLinear, "__call__", "linear layers and head")
    parts.watch(attention, "paged_attention", "attention")
    parts.watch(attention, "rotary_cache_write", "head norms, rotary, cache write")
    parts.watch(norm, "rms_norm", "norms")
    for layer in model_runner.model.layers:
        parts.watch(layer.mlp, "activation", "gate")
    parts.watch(model_runner.sampler, "sample", "sampling")
    parts.watch(runner, "build_batch", "inputs")
    parts.watch(core._scheduler, "schedule", "scheduler")
    parts.watch(core._scheduler, "update", "scheduler")
    parts.watch(core, "step", "whole step")
    return parts


def print_shares(rows: int, steps: int, prompt: int, clock: Callable[[], float]) -> None:
    """Means, so that the shares add up; the rest is Python and small tensors."""
    budget = ("--max-num-batched-tokens", str(rows * prompt), "--max-num-seqs", str(rows))
    core = make_core("--no-enable-prefix-caching", *budget)
    parts = watch_kernels(core, clock)
    works = {
        f"decode, {rows} rows": decode_means(core, parts, rows, steps),
        f"{rows} prompts of {prompt} tokens": prompt_means(core, parts, rows, prompt, max(4, steps // 20)),
    }
    print("\n| part | " + " | ".join(f"{title}: ms (share)" for title in works) + " |\n|---|---:|---:|")
    for name in [*parts.seconds, "rest"]:
        cells = (
            f"{means[name] * 1e3:.3f} ({means[name] / means['whole step']:.0%})" for means in works.values()
        )
        print(f"| {name} | " + " | ".join(cells) + " |")


def decode_means(core: EngineCore, parts: Parts, rows: int, steps: int) -> dict[str, float]:
    fill(core, rows, SAMPLING["greedy"], steps + 20)
    parts.clear()
    for _ in range(steps):
        core.step()
    core.abort([f"r{index}" for index in range(rows)])
    return parts.means(steps)


def prompt_means(core: EngineCore, parts: Parts, rows: int, prompt: int, steps: int) -> dict[str, float]:
    """Each prompt asks for one token: a step computes them all and ends them."""
    params = SamplingParams(max_tokens=1, temperature=0.0, ignore_eos=True)
    parts.clear()
    for _ in range(steps):
        for index in range(rows):
            token_ids = [(index * 37 + i * 11) % 2048 for i in range(prompt)]
            core.add(AddRequest(f"r{index}", token_ids, params, time.time()))
        core.step()
        assert not core.has_work
    return parts.means(steps)


def print_profile(rows: int, steps: int) -> None:
    core = make_core()
    fill(core, rows, SAMPLING["greedy"], steps + 20)
    with cProfile.Profile() as profile:
        for _ in range(steps):
            core.step()
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
