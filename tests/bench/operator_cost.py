"""What the operator costs: resident memory, idle CPU, and the time from an apply to its StatefulSet.

    python tests/bench/operator_cost.py --kubeconfig FILE [--samples 30] [--many 100] [--idle 20]

Runs `python -m paddock.operator` against the given cluster, whose CRD must be installed and which must have
no other operator at work. Pods never start: they ask for a node that does not exist. (Not named operator.py:
a file of a standard module's name would be imported in its place.)
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from paddock.operator.client import Api
from paddock.operator.login import Credentials, from_kubeconfig, open_session
from paddock.operator.resource import GROUP, KIND, VERSION

PORT = 18081
NAMESPACE = "operator-cost"
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """The operator's own process, as /proc shows it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def resident_mb(self) -> float:
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * PAGE / 1e6

    def cpu_seconds(self) -> float:
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def operator(kubeconfig: str) -> Iterator[Process]:
    environ = os.environ | {
        "PADDOCK_SERVER_IMAGE": "localhost/paddock-server:none",
        "PADDOCK_ALLOW_HOST_PATH": "true",
        "PADDOCK_HOST_PATH_PREFIXES": "/models",
        "PADDOCK_LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "paddock.operator", "--kubeconfig", kubeconfig]
    process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(PORT)], env=environ)
    try:
        yield Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def service(name: str) -> dict[str, Any]:
    template = {"nodeSelector": {"paddock-bench": "none"}}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"model": {"uri": "file:///models/none"}, "template": template},
    }


async def until_watching(session: aiohttp.ClientSession) -> None:
    """The operator has the Lease and its first lists are through."""
    while True:
        try:
            async with session.get(f"http://127.0.0.1:{PORT}/livez") as answer:
                if "watching" in await answer.text():
                    break
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.2)
    await asyncio.sleep(3)


async def latency(api: Api, name: str) -> float:
    """Seconds from the start of the create request until the StatefulSet can be read."""
    started = time.perf_counter()
    await api.create(service(name))
    while await api.get("StatefulSet", NAMESPACE, f"{name}-0") is None:
        await asyncio.sleep(0.005)
    return time.perf_counter() - started


async def flood(api: Api, count: int) -> float:
    """Seconds from `count` creates until every one has its StatefulSet."""
    started = time.perf_counter()
    await asyncio.gather(*(api.create(service(f"many-{number}")) for number in range(count)))
    while len(await api.list("StatefulSet", NAMESPACE, "paddock.dev/group=0")) < count:
        await asyncio.sleep(0.1)
    return time.perf_counter() - started


async def idle_percent(process: Process, seconds: float) -> float:
    before = process.cpu_seconds()
    await asyncio.sleep(seconds)
    return 100 * (process.cpu_seconds() - before) / seconds


async def set_namespace(session: aiohttp.ClientSession, credentials: Credentials, present: bool) -> None:
    """Creates the namespace, or deletes it with all that is in it and waits until it is gone."""
    url = f"{credentials.server}/api/v1/namespaces"
    if present:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        async with session.post(url, json=body) as answer:
            answer.raise_for_status()
        return
    async with session.delete(f"{url}/{NAMESPACE}"):
        pass
    while True:
        async with session.get(f"{url}/{NAMESPACE}") as answer:
            if answer.status == 404:
                return
        await asyncio.sleep(1)


async def measure(
    options: argparse.Namespace, process: Process, credentials: Credentials
) -> list[tuple[str, str, str]]:
    async with open_session(credentials, lambda *_: None) as session:
        api = Api(session, credentials.server)
        await until_watching(session)
        rows = [("resident after start", f"{process.resident_mb():.0f} MB", "120 MB")]
        rows.append(("CPU, no resource", f"{await idle_percent(process, options.idle):.2f} %", "near 0"))
        await set_namespace(session, credentials, True)
        try:
            times = [await latency(api, f"one-{number}") for number in range(options.samples)]
            rows.append(
                (
                    f"apply to StatefulSet, median of {options.samples}",
                    f"{statistics.median(times) * 1e3:.0f} ms",
                    "500 ms",
                )
            )
            rows.append(("apply to StatefulSet, worst", f"{max(times) * 1e3:.0f} ms", ""))
            for name in (f"one-{number}" for number in range(options.samples)):
                body = await api.get(KIND, NAMESPACE, name)
                assert body is not None
                await api.delete(
                    KIND, NAMESPACE, name, body["metadata"]["uid"], body["metadata"]["resourceVersion"]
                )
            while await api.list("StatefulSet", NAMESPACE):
                await asyncio.sleep(0.5)
            rows.append(
                (
                    f"{options.many} resources to StatefulSets",
                    f"{await flood(api, options.many):.1f} s",
                    "15 s",
                )
            )
            await asyncio.sleep(20)
            rows.append(
                (f"resident with {options.many} resources", f"{process.resident_mb():.0f} MB", "120 MB")
            )
            rows.append(
                (
                    f"CPU, {options.many} resources at rest",
                    f"{await idle_percent(process, options.idle):.2f} %",
                    "",
                )
            )
        finally:
            await set_namespace(session, credentials, False)
        return rows


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--kubeconfig", required=True)
    arguments.add_argument("--samples", type=int, default=30)
    arguments.add_argument("--many", type=int, default=100)
    arguments.add_argument("--idle", type=float, default=20)
    options = arguments.parse_args()
    with operator(options.kubeconfig) as process:
        rows = asyncio.run(measure(options, process, from_kubeconfig(Path(options.kubeconfig))))
    print("| what | measured | target |\n|---|---:|---:|")
    for what, measured, target in rows:
        print(f"| {what} | {measured} | {target} |")


if __name__ == "__main__":
    main()
