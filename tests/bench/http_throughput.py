"""Requests and tokens per second of the tiny model over HTTP, with streaming clients, against transformers' generate.

    python tests/bench/http_throughput.py [--requests 6]

The server, its engine and the clients are processes of their own. transformers generates the same prompts in one
batch of as many rows as there are clients, in this process, after the server has ended. Prints a table in markdown.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from serving import TINY_MODEL, Serve

PROMPT_TOKENS = 32
ANSWER_TOKENS = 64
CLIENTS = (16, 64)
VOCABULARY = range(300, 2000)
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Measured:
    requests_per_second: float
    tokens_per_second: float
    first_token_milliseconds: float
    server_microseconds_per_token: float


def prompts(count: int) -> list[list[int]]:
    """Random tokens: no two prompts share a cached block."""
    draw = random.Random(0)
    return [[draw.choice(VOCABULARY) for _ in range(PROMPT_TOKENS)] for _ in range(count)]


async def stream_once(port: int, prompt: list[int]) -> float:
    """One streamed request on a new connection; seconds to the first chunk. Every token must have come."""
    body = {
        "prompt": prompt,
        "max_tokens": ANSWER_TOKENS,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
    }
    payload = json.dumps({**body, "stream_options": {"include_usage": True}}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}"
    began = time.perf_counter()
    writer.write(head.encode() + b"\r\n\r\n" + payload)
    await reader.readuntil(b"\n\n")
    first = time.perf_counter() - began
    rest = await reader.readuntil(b"data: [DONE]\n\n")
    writer.close()
    assert f'"completion_tokens":{ANSWER_TOKENS}'.encode() in rest, rest[-300:]
    return first


async def run_clients(port: int, clients: int, requests: int) -> None:
    """Each client sends its requests one after the other; prints the result as JSON."""
    todo = prompts(clients * requests)

    async def one(index: int) -> list[float]:
        return [await stream_once(port, todo[index * requests + number]) for number in range(requests)]

    began = time.perf_counter()
    firsts = await asyncio.gather(*(one(index) for index in range(clients)))
    seconds = time.perf_counter() - began
    median = statistics.median(first for client in firsts for first in client)
    print(json.dumps({"seconds": seconds, "first": median}))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(serve: Serve, clients: int, requests: int) -> Measured:
    command = [sys.executable, __file__, "--client", str(serve.port), str(clients)]
    # One short round first: connections, caches and the engine's own warm-up.
    subprocess.run([*command, "1"], check=True, stdout=subprocess.DEVNULL)
    before = cpu_seconds(serve.process.pid)
    done = subprocess.run([*command, str(requests)], check=True, capture_output=True, text=True)
    used = cpu_seconds(serve.process.pid) - before
    result = json.loads(done.stdout)
    total = clients * requests
    return Measured(
        total / result["seconds"],
        total * ANSWER_TOKENS / result["seconds"],
        1000 * result["first"],
        1e6 * used / (total * ANSWER_TOKENS),
    )


def transformers_tokens_per_second(rows: int) -> float:
    """One batch of `rows` equal-length prompts; the better of two runs."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(TINY_MODEL, dtype=torch.float32).eval()
    batch = torch.tensor(prompts(rows))
    mask = torch.ones_like(batch)
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        model.generate(
            batch,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=ANSWER_TOKENS,
            min_new_tokens=ANSWER_TOKENS,
        )
        seconds.append(time.perf_counter() - began)
    return rows * ANSWER_TOKENS / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=6, help="requests of each client")
    parser.add_argument(
        "--client", nargs=3, type=int, metavar=("PORT", "CLIENTS", "REQUESTS"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.client:
        asyncio.run(run_clients(*options.client))
        return
    flags = ("--disable-log-stats", "--uvicorn-log-level", "warning")
    with tempfile.TemporaryDirectory() as folder, Serve(Path(folder) / "log", *flags) as serve:
        rows = {clients: measure(serve, clients, options.requests) for clients in CLIENTS}
    print(f"tiny model, {PROMPT_TOKENS} tokens in, {ANSWER_TOKENS} out, streamed; {os.cpu_count()} cores\n")
    print(
        "| clients | requests/s | tokens/s | first token, ms | server CPU, µs/token | generate, tokens/s | ratio |"
    )
    print("|---|---|---|---|---|---|---|")
    for clients, got in rows.items():
        base = transformers_tokens_per_second(clients)
        print(
            f"| {clients} | {got.requests_per_second:.1f} | {got.tokens_per_second:.0f} | "
            f"{got.first_token_milliseconds:.0f} | {got.server_microseconds_per_token:.0f} | {base:.0f} | "
            f"{got.tokens_per_second / base:.2f} |"
        )


if __name__ == "__main__":
    main()
