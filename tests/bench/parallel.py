"""Tensor-parallel ranks and pipeline stages beside one rank, on the cores of this machine: tokens per second, idle shares.

    python tests/bench/parallel.py [--shapes tiny qwen3-0.6b] [--rounds 2] [--prompt 128] [--tokens 64] [--batches 1 32]
        [--size 2] [--layouts one-core uni tp pp tp-sockets pp-sockets]

Every layout has the same cores: `uni` has a thread on each, a rank or a stage has one of its own, `one-core` is one rank
with one thread. Stages that overlap perfectly give as many times its tokens as there are stages, and no more; a single
stream cannot overlap, and gives it once. The layouts take turns, so that a busy machine slows all alike.

A rank is idle while it sleeps: for its next plan, for the stage before, or for a peer's part of a sum. What it waits for
a core (`kept off`) is told apart, from /proc/PID/schedstat, and is the machine's other work.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
from qwen_shape import SHAPES, Ours, checkpoint, prompts

VOCABULARY = 2000
"""Tokens that every shape's vocabulary has."""

SMALL = (
    "--max-num-seqs",
    "32",
    "--no-enable-prefix-caching",
    "--max-model-len",
    "512",
    "--num-gpu-blocks-override",
    "1024",
)
SOCKETS = "--disable-custom-all-reduce"
LAYOUTS = ["one-core", "uni", "tp", "pp", "tp-sockets", "pp-sockets"]


def flags_of(layout: str, size: int) -> tuple[str, ...]:
    kind, _, way = layout.partition("-")
    parallel = {"tp": ("--tensor-parallel-size", str(size)), "pp": ("--pipeline-parallel-size", str(size))}
    return *parallel.get(kind, ()), *((SOCKETS,) if way == "sockets" else ())


@dataclass
class Seconds:
    """Of one process's main thread, which is the only one that computes in a rank here."""

    running: float
    kept_off: float

    @staticmethod
    def of(pid: int) -> "Seconds":
        running, waiting, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
        return Seconds(int(running) / 1e9, int(waiting) / 1e9)


@dataclass
class Run:
    seconds: float
    running: list[float]
    """Share of it, by rank; empty where the engine has no processes of its own."""
    kept_off: list[float]

    @property
    def idle(self) -> list[float]:
        return [1 - running - kept_off for running, kept_off in zip(self.running, self.kept_off, strict=True)]


class Layout:
    def __init__(self, name: str, folder: Path, size: int) -> None:
        before = set(psutil.Process().children())
        self.ours = Ours(folder, *SMALL, *flags_of(name, size))
        started = set(psutil.Process().children()) - before
        self.ranks = sorted(each.pid for each in started)
        if name == "one-core":
            self.ours.threads = 1

    def run(self, batch: int, prompt: int, tokens: int) -> Run:
        asked = prompts(batch, prompt, VOCABULARY)
        begun, before = time.perf_counter(), [Seconds.of(pid) for pid in self.ranks]
        self.ours.step_seconds(asked, tokens)
        after, wall = [Seconds.of(pid) for pid in self.ranks], time.perf_counter() - begun
        running = [(b.running - a.running) / wall for a, b in zip(before, after, strict=True)]
        kept_off = [(b.kept_off - a.kept_off) / wall for a, b in zip(before, after, strict=True)]
        return Run(wall, running, kept_off)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="+", choices=[*SHAPES, "tiny"], default=["tiny", "qwen3-0.6b"])
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=LAYOUTS)
    parser.add_argument("--size", type=int, default=2, help="ranks or stages")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--prompt", type=int, default=128, help="tokens of each")
    parser.add_argument("--tokens", type=int, default=64, help="of each answer")
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    options = parse()
    for shape in options.shapes:
        runs: dict[tuple[int, str], list[Run]] = {}
        with checkpoint(shape) as folder, ExitStack() as stack:
            layouts = {name: Layout(name, folder, options.size) for name in options.layouts}
            for layout in layouts.values():
                stack.callback(layout.ours.core.shutdown)
                layout.run(2, options.prompt, 4)
            for _ in range(options.rounds):
                for batch in options.batches:
                    for name, layout in layouts.items():
                        runs.setdefault((batch, name), []).append(
                            layout.run(batch, options.prompt, options.tokens)
                        )
        report(shape, options, runs)


def report(shape: str, options: argparse.Namespace, runs: dict[tuple[int, str], list[Run]]) -> None:
    print(
        f"{shape}: {options.prompt} tokens in, {options.tokens} out, {options.size} ranks or stages; median of {options.rounds}\n"
    )
    print(
        f"| at once | layout | tokens/s (all rounds) | of {options.layouts[0]} | running, by rank | kept off | idle |"
    )
    print("|---:|---|---:|---:|---:|---:|---:|")
    for (batch, name), made in runs.items():
        rates = [batch * options.tokens / run.seconds for run in made]
        # Of the same round: what disturbs a round disturbs all of it.
        base = [batch * options.tokens / run.seconds for run in runs[batch, options.layouts[0]]]
        ratio = statistics.median(rate / one for rate, one in zip(rates, base, strict=True))
        spread = ", ".join(f"{rate:.1f}" for rate in rates)
        print(
            f"| {batch} | {name} | {statistics.median(rates):.1f} ({spread}) | {ratio:.2f}x | "
            f"{shares(made, lambda run: run.running)} | {shares(made, lambda run: run.kept_off)} | "
            f"{shares(made, lambda run: run.idle)} |"
        )
    print()


def shares(runs: list[Run], of: Callable[[Run], list[float]]) -> str:
    by_rank = zip(*map(of, runs), strict=True)
    return " / ".join(f"{statistics.median(rank):.0%}" for rank in by_rank)


if __name__ == "__main__":
    main()
