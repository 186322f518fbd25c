"""What the operator costs: memory, CPU, requests, and the time from an apply to its StatefulSet, alone and among many.

    python tests/bench/operator_cost.py --kubeconfig FILE [--samples 30] [--many 1000] [--idle 20] [--kwok]

Runs `python -m paddock.operator` against the given cluster, whose CRD must be installed and where no operator
of all namespaces may be at work. Pods never start: they ask for a node that does not exist, or with --kwok run in name
only, on nodes that kwok fakes. (Not named operator.py: a file of a standard module's name would be imported in its place.)
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from fake_nodes import LABEL, fake_nodes
from operator_process import OperatorProcess, operator_process

from paddock.operator.client import Api
from paddock.operator.login import Credentials, from_kubeconfig, open_session
from paddock.operator.resource import GROUP, KIND, VERSION

PORT = 18081
NAMESPACE = "operator-cost"
AT_ONCE = 32
EDITS = 100
REQUESTS = "paddock_operator_api_requests_total"
KINDS = (KIND, "StatefulSet", "Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy")


def show(what: str, measured: str, target: str = "") -> None:
    """A row of the table, as soon as it is known."""
    print(f"| {what} | {measured} | {target} |", flush=True)


def service(name: str) -> dict[str, Any]:
    """One pod, for a fake node: without them it stays unschedulable."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"model": {"uri": "file:///models/none"}, "template": {"nodeSelector": LABEL}},
    }


def bench_operator(kubeconfig: Path) -> AbstractContextManager[OperatorProcess]:
    """Of this namespace alone, where its Lease lies too."""
    environ = {"PADDOCK_OPERATOR_NAMESPACE": NAMESPACE}
    return operator_process(kubeconfig, PORT, f"--namespace={NAMESPACE}", environ=environ)


async def until(holds: Callable[[], Awaitable[bool]], every: float = 0.2) -> None:
    while not await holds():
        await asyncio.sleep(every)


async def until_quiet(process: OperatorProcess, seconds: float = 8) -> float:
    """The operator has the Lease, its lists are through, and it has written nothing for some seconds. Returns when its last
    write was seen.
    """
    while "watching" not in await asyncio.to_thread(process.says, "/livez"):
        await asyncio.sleep(0.1)
    writes, since = -1.0, time.perf_counter()
    while time.perf_counter() - since < seconds:
        if (now := await asyncio.to_thread(process.writes)) != writes:
            writes, since = now, time.perf_counter()
        await asyncio.sleep(0.5)
    return since


class Seen:
    """When each object of a path was last seen to change, by name."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self._changed = asyncio.Event()

    async def since(self, moments: Mapping[str, float]) -> None:
        """Until each of these objects has changed after its moment."""
        while any(self.at.get(name, 0.0) <= moment for name, moment in moments.items()):
            self._changed.clear()
            await self._changed.wait()

    async def follow(self, session: aiohttp.ClientSession, url: str) -> None:
        """Watches for ever, metadata alone."""
        accept = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
        timeout = aiohttp.ClientTimeout(total=None)
        async with session.get(url, params={"watch": "true"}, headers=accept, timeout=timeout) as answer:
            async for line in answer.content:
                self.at[json.loads(line)["object"]["metadata"]["name"]] = time.perf_counter()
                self._changed.set()


@asynccontextmanager
async def watching(
    session: aiohttp.ClientSession, credentials: Credentials, path: str, plural: str
) -> AsyncIterator[Seen]:
    seen = Seen()
    url = f"{credentials.server}{path}/namespaces/{NAMESPACE}/{plural}"
    task = asyncio.create_task(seen.follow(session, url))
    try:
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def create(api: Api, names: Sequence[str], sets: Seen, together: bool) -> list[float]:
    """Seconds from the start of each create request until its StatefulSet is there."""
    started: dict[str, float] = {}
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        async with limit:
            started[name] = time.perf_counter()
            await api.create(service(name))

    for batch in [names] if together else [[name] for name in names]:
        await asyncio.gather(*map(one, batch))
        await sets.since({f"{name}-0": 0.0 for name in batch})
    return [sets.at[f"{name}-0"] - started[name] for name in names]


async def edit(api: Api, names: Sequence[str], budgets: Seen, most: int) -> list[float]:
    """Seconds from an edit of a resource until its PodDisruptionBudget follows."""
    taken: list[float] = []
    for name in names:
        budget, started = f"{name}-pods", time.perf_counter()
        await api.merge(KIND, NAMESPACE, name, {"spec": {"rollout": {"maxUnavailable": most}}})
        await budgets.since({budget: started})
        taken.append(budgets.at[budget] - started)
    return taken


Objects = dict[tuple[str, str], dict[str, Any]]


async def metadata(api: Api) -> Objects:
    """Of every object, by kind and name."""
    return {
        (kind, item["metadata"]["name"]): item["metadata"]
        for kind in KINDS
        for item in await api.list(kind, NAMESPACE)
    }


async def available(api: Api) -> str:
    """How many resources say that a completion can be served, and of how many."""
    found = [item.get("status", {}).get("conditions", ()) for item in await api.list(KIND, NAMESPACE)]
    true = [{each["type"] for each in conditions if each["status"] == "True"} for conditions in found]
    return f"{sum('Available' in each for each in true)} of {len(found)}"


def rewritten(before: Objects, after: Objects) -> Objects:
    """Those whose resourceVersion is another one, as they are now."""
    changed = (key for key in before if _version(before[key]) != _version(after.get(key, {})))
    return {key: after.get(key, {}) for key in changed}


def _version(meta: Mapping[str, Any]) -> str:
    return str(meta.get("resourceVersion"))


async def settled_metadata(api: Api, pause: float = 10) -> Objects:
    """Once nobody writes any more: controllers of Kubernetes go on for a while after the operator is through."""
    before = await metadata(api)
    while True:
        await asyncio.sleep(pause)
        after = await metadata(api)
        if not rewritten(before, after):
            return after
        before = after


def latest_writers(objects: Objects) -> str:
    """Who wrote to objects last, by kind, and how many of them."""
    found: Counter[str] = Counter()
    for (kind, _), meta in objects.items():
        entries = meta.get("managedFields") or [{"manager": "nobody: it is gone"}]
        last = max(entries, key=lambda entry: entry.get("time", ""))
        found[f"{kind} {last.get('subresource', '')} by {last['manager']}"] += 1
    return ", ".join(f"{number} {what}" for what, number in found.most_common())


@asynccontextmanager
async def hot_resource(api: Api) -> AsyncIterator[None]:
    """One whose every pass fails (another's Service has its name) and which somebody edits without a pause."""
    spec = {"selector": {"app": "other"}, "ports": [{"port": 80}]}
    taken = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hot", "namespace": NAMESPACE}}
    await api.create({**taken, "spec": spec})
    await api.create(service("hot"))

    async def burn() -> None:
        number = 1
        while True:
            number = number % 1000 + 1
            await api.merge(KIND, NAMESPACE, "hot", {"spec": {"rollout": {"maxUnavailable": number}}})

    task = asyncio.create_task(burn())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def idle(process: OperatorProcess, seconds: float) -> tuple[str, str]:
    """CPU and writes while nothing happens."""
    cpu, writes = process.cpu_seconds(), process.writes()
    await asyncio.sleep(seconds)
    used = 100 * (process.cpu_seconds() - cpu) / seconds
    return f"{used:.2f} %", f"{process.writes() - writes:.0f}"


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def seconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} s; {percentile(values, 0.99):.2f} s"


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

    async def gone() -> bool:
        async with session.get(f"{url}/{NAMESPACE}") as answer:
            return bool(answer.status == 404)

    await until(gone, 1)


async def measure_alone(options: argparse.Namespace, process: OperatorProcess, api: Api, sets: Seen) -> None:
    """Nothing to do, and then one resource after the other."""
    await until_quiet(process)
    show("resident after start", f"{process.resident_mb():.0f} MB", "120 MB")
    show("CPU, no resource", (await idle(process, options.idle))[0], "near 0")
    names = [f"one-{number}" for number in range(options.samples)]
    taken = await create(api, names, sets, together=False)
    show(f"apply to StatefulSet, one by one: median; p99 of {len(names)}", seconds(taken), "0.50 s")
    await until_quiet(process)


async def measure_many(
    options: argparse.Namespace, process: OperatorProcess, api: Api, sets: Seen
) -> list[str]:
    """Names of the resources that were created at once."""
    names = [f"many-{number}" for number in range(options.many)]
    cpu, requests = process.cpu_seconds(), process.by_label(REQUESTS, "verb", "resource")
    started = time.perf_counter()
    taken = await create(api, names, sets, together=True)
    whole = time.perf_counter() - started
    last = await until_quiet(process) - started
    asked = Counter(process.by_label(REQUESTS, "verb", "resource"))
    asked.subtract(requests)
    show(f"{len(names)} created at once, to the last StatefulSet", f"{whole:.1f} s", "100: 15 s; 1000: 90 s")
    show("of each: median; p99", seconds(taken))
    show("to the operator's last write; resources Available", f"{last:.1f} s; {await available(api)}")
    show("API requests of the operator, each", f"{asked.total() / len(names):.1f}")
    for what, number in asked.most_common(12):
        show(f"of them {what}", f"{number / len(names):.2f}")
    show("CPU of the operator, each", f"{1e3 * (process.cpu_seconds() - cpu) / len(names):.0f} ms")
    show("resident after it", f"{process.resident_mb():.0f} MB", "256 MB")
    used, writes = await idle(process, options.idle)
    show(f"at rest for {options.idle:.0f} s: CPU; writes", f"{used}; {writes}", "; 0")
    return names


async def measure_edits(process: OperatorProcess, api: Api, budgets: Seen, names: Sequence[str]) -> None:
    # A new watch shows each as it is, before any change.
    await budgets.since({f"{name}-pods": 0.0 for name in names})
    taken = await edit(api, names, budgets, 2)
    show(f"edit to patched child: median; p99 of {len(names)}", seconds(taken), "; 2.00 s")
    async with hot_resource(api):
        taken = await edit(api, names, budgets, 3)
    show("the same while one resource fails and is edited without a pause", seconds(taken), "; 2.00 s")
    await until_quiet(process)


async def measure_again(process: OperatorProcess, before: Objects, api: Api) -> None:
    """A new operator looks at everything."""
    resources = sum(kind == KIND for kind, _ in before)
    started = time.perf_counter()

    async def all_seen() -> bool:
        passes = await asyncio.to_thread(process.counted, "paddock_operator_reconciles_total")
        return passes >= resources

    await until(all_seen)
    taken = time.perf_counter() - started
    await until_quiet(process)
    changed = rewritten(before, await metadata(api))
    title = f"restart: {resources} resources, {len(before)} objects seen again; the operator's writes; objects rewritten"
    show(title, f"{taken:.1f} s; {process.writes():.0f}; {len(changed)}", "; 0; 0")
    if changed:
        show("written by", latest_writers(changed))


async def measure(options: argparse.Namespace) -> None:
    kubeconfig = Path(options.kubeconfig)
    credentials = from_kubeconfig(kubeconfig)
    async with open_session(credentials, lambda *_: None) as session:
        pods = options.samples + options.many
        nodes = fake_nodes(session, credentials.server, kubeconfig, pods) if options.kwok else nullcontext()
        async with nodes:
            await set_namespace(session, credentials, True)
            try:
                await measure_in_namespace(options, session, credentials)
            finally:
                if not options.keep:
                    await set_namespace(session, credentials, False)


async def measure_in_namespace(
    options: argparse.Namespace, session: aiohttp.ClientSession, credentials: Credentials
) -> None:
    kubeconfig, api = Path(options.kubeconfig), Api(session, credentials.server)
    with bench_operator(kubeconfig) as process:
        # Each watch of ours costs the API server as much as one of the operator's: none stays open for nothing.
        async with watching(session, credentials, "/apis/apps/v1", "statefulsets") as sets:
            await measure_alone(options, process, api, sets)
            names = await measure_many(options, process, api, sets)
        async with watching(session, credentials, "/apis/policy/v1", "poddisruptionbudgets") as budgets:
            await measure_edits(process, api, budgets, names[:EDITS])
    before = await settled_metadata(api)
    with bench_operator(kubeconfig) as process:
        await measure_again(process, before, api)


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--kubeconfig", required=True)
    arguments.add_argument("--samples", type=int, default=30)
    arguments.add_argument("--many", type=int, default=1000)
    arguments.add_argument("--idle", type=float, default=20)
    arguments.add_argument("--kwok", action="store_true", help="let the pods run, in name, on fake nodes")
    arguments.add_argument("--keep", action="store_true", help="leave the namespace as it is")
    options = arguments.parse_args()
    print("| what | measured | target |\n|---|---:|---:|", flush=True)
    asyncio.run(measure(options))


if __name__ == "__main__":
    main()
