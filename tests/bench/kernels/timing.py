"""Timing of alternatives side by side, and this machine's own limits, for the kernel benchmarks."""

import argparse
import time
from collections.abc import Callable, Sequence

import torch

Work = Callable[[], object]

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
"""Where the kernels are measured; a GPU's times are from the launch to the end."""

READ, PIECE, PRODUCT = (1 << 33, 1 << 30, 8192) if DEVICE.type == "cuda" else (1 << 29, 1 << 23, 768)
"""Of what shows the device's limits: bytes beyond its caches, those of one read, and the side of a product."""


def fastest(alternatives: Sequence[Work], repeats: int) -> list[float]:
    """Least seconds of each. They take turns, so a disturbance of the machine falls on all of them."""
    best = [float("inf")] * len(alternatives)
    for _ in range(repeats):
        for index, work in enumerate(alternatives):
            start = time.perf_counter()
            work()
            if DEVICE.type == "cuda":
                torch.cuda.synchronize()
            best[index] = min(best[index], time.perf_counter() - start)
    return best


def repeats_asked_for(description: str | None, usual: int) -> int:
    """Of the command line, which also says how many threads compute."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=usual)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    return int(arguments.repeats)


class Rotation:
    """Calls its works in turn: with enough of them, none finds its data in a cache."""

    def __init__(self, works: Sequence[Work]) -> None:
        self.works, self.next = works, 0

    def __call__(self) -> None:
        self.next = (self.next + 1) % len(self.works)
        self.works[self.next]()


def read_work(num_bytes: int = READ, piece: int = PIECE) -> tuple[Rotation, int]:
    """Sums pieces of a buffer larger than the caches; returns the work and its bytes."""
    pieces = torch.ones(num_bytes // 8, dtype=torch.int64).split(piece // 8)
    return Rotation([part.sum for part in pieces]), piece


def product_work(dtype: torch.dtype, size: int = PRODUCT) -> tuple[Work, int]:
    """A square matrix product of PyTorch; returns the work and its floating-point operations."""
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    return lambda: a @ b, 2 * size**3


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Markdown."""
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(row) + " |", flush=True)
