"""Hidden states there and back between two processes, through the ring that stages share and through gloo, in turns.

    python tests/bench/hand_over.py [--rounds 200] [--tokens 1 16 512] [--hidden 1024]

Prints medians and lowest deciles of a round trip in microseconds: a busy machine moves the former more.
"""

import argparse
import multiprocessing
import socket
import statistics
import time
from collections.abc import Sequence
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist

from paddock.engine.distributed.pipeline import ProcessGroupReceiver, ProcessGroupSender, Receiver, Sender
from paddock.engine.distributed.stage_memory import HiddenReceiver, HiddenSender

Way = tuple[Sender, Receiver]


def ways(
    rank: int, there: socket.socket, back: socket.socket, folder: str, slot_bytes: int
) -> dict[str, Way]:
    """Of one of the two processes; `there` is its end of the way from rank 0 to rank 1."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    out, into = (there, back) if rank == 0 else (back, there)
    return {
        "shared memory": (HiddenSender(out, 2, slot_bytes), HiddenReceiver(into)),
        "gloo": (ProcessGroupSender(1 - rank), ProcessGroupReceiver(1 - rank)),
    }


def answer(
    there: socket.socket, back: socket.socket, folder: str, slot_bytes: int, plan: Sequence[tuple[int, int]]
) -> None:
    made = ways(1, there, back, folder, slot_bytes)
    for tokens, hidden_size in plan:
        hidden = torch.empty(tokens, hidden_size, dtype=torch.bfloat16)
        for sender, receiver in made.values():
            receiver.receive(hidden)
            sender.send(hidden)
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--tokens", type=int, nargs="+", default=[1, 16, 512])
    parser.add_argument("--hidden", type=int, default=1024)
    options = parser.parse_args()
    plan = [(tokens, options.hidden) for tokens in options.tokens for _ in range(options.rounds)]
    slot_bytes = 2 * max(options.tokens) * options.hidden
    there, back = socket.socketpair(), socket.socketpair()
    with TemporaryDirectory() as folder:
        other = multiprocessing.get_context("spawn").Process(
            target=answer, args=(there[1], back[0], folder, slot_bytes, plan)
        )
        other.start()
        made = ways(0, there[0], back[1], folder, slot_bytes)
        seconds = measure(made, plan)
        other.join()
        dist.destroy_process_group()
    report(seconds)


def measure(made: dict[str, Way], plan: Sequence[tuple[int, int]]) -> dict[tuple[int, str], list[float]]:
    seconds: dict[tuple[int, str], list[float]] = {}
    for tokens, hidden_size in plan:
        hidden = torch.ones(tokens, hidden_size, dtype=torch.bfloat16)
        returned = torch.empty_like(hidden)
        for name, (sender, receiver) in made.items():
            begun = time.perf_counter()
            sender.send(hidden)
            receiver.receive(returned)
            seconds.setdefault((hidden.nbytes, name), []).append(time.perf_counter() - begun)
    return seconds


def report(seconds: dict[tuple[int, str], list[float]]) -> None:
    print("| bytes each way | way | median µs | lowest tenth below µs |")
    print("|---:|---|---:|---:|")
    for (size, name), trips in seconds.items():
        lowest = statistics.quantiles(trips, n=10)[0]
        print(f"| {size} | {name} | {1e6 * statistics.median(trips):.0f} | {1e6 * lowest:.0f} |")


if __name__ == "__main__":
    main()
