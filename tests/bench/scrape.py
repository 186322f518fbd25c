"""How long a scrape of /metrics takes while 64 requests stream, and what it costs the server.

    python tests/bench/scrape.py [--seconds 5]

Rows: one and three API servers. A scrape is timed from outside, on a connection that is kept, and so waits its turn among
the streams, as each /health beside it does; the cost is the server's own CPU time for a scrape when idle. Prints a table
in markdown.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import psutil
from serving import Serve
from waiting import until

RUNNING = 64
LONG = {"prompt": "once upon a time", "max_tokens": 1900, "ignore_eos": True, "stream": True}
IDLE_SCRAPES = 100


def stream_until_killed(port: int) -> None:
    """Keep 64 requests running. What comes is thrown away: these clients share the cores with what is measured."""
    uvloop.run(_stream(port))


async def _stream(port: int) -> None:
    body = json.dumps(LONG).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}"
    asked = f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + body

    async def one() -> None:
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(asked)
            while await reader.read(2**16):
                pass
            writer.close()

    await asyncio.gather(*(one() for _ in range(RUNNING)))


def timed(client: httpx.Client, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each answer, by path; in turns."""
    times: dict[str, list[float]] = {"/metrics": [], "/health": []}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for path, measured in times.items():
            began = time.perf_counter()
            assert client.get(path).status_code == 200
            measured.append(1000 * (time.perf_counter() - began))
            time.sleep(0.02)
    return times


def cpu_milliseconds(serve: Serve, client: httpx.Client) -> float:
    """CPU time of all server processes for one scrape."""
    family = [psutil.Process(serve.process.pid), *psutil.Process(serve.process.pid).children(recursive=True)]

    def spent() -> float:
        return sum(process.cpu_times().user + process.cpu_times().system for process in family)

    before = spent()
    for _ in range(IDLE_SCRAPES):
        client.get("/metrics")
    return 1000 * (spent() - before) / IDLE_SCRAPES


def measure(servers: int, seconds: float) -> str:
    flags = ("--api-server-count", str(servers), "--disable-uvicorn-access-log")
    with (
        tempfile.TemporaryDirectory() as folder,
        Serve(Path(folder) / "log", *flags) as serve,
        httpx.Client(base_url=serve.url) as client,
    ):
        cost = cpu_milliseconds(serve, client)
        # A process of its own: 64 streams in this one would be timed with the scrapes.
        clients = multiprocessing.get_context("spawn").Process(target=stream_until_killed, args=(serve.port,))
        clients.start()
        until(lambda: serve.metric("vllm:num_requests_running") == RUNNING, seconds=120, what="all to run")
        times = timed(client, seconds)
        text = client.get("/metrics").text
        clients.kill()
        clients.join()
    median, health = (statistics.median(times[path]) for path in ("/metrics", "/health"))
    late = statistics.quantiles(times["/metrics"], n=100)[-1]
    lines = sum(not line.startswith("#") for line in text.splitlines())
    return f"| {servers} | {lines} | {len(text) // 1024} | {median:.1f} | {late:.1f} | {health:.1f} | {cost:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="time to scrape in, per row (5)")
    arguments = parser.parse_args()
    print(
        f"| API servers | series | KiB | median ms at {RUNNING} running | p99 ms | median ms of /health | "
        "CPU ms of a scrape |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for servers in (1, 3):
        print(measure(servers, arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
