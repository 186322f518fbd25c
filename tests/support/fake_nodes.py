"""Nodes on which pods run in name only: kwok tells the API server that all is well, and nothing is started."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local_cluster.go_programs import KWOK
from local_cluster.installation import program

LABEL = {"paddock-bench": "kwok"}
_MANAGED = {"kwok.x-k8s.io/node": "fake"}
_STAGES = Path(__file__).with_name("fake_stages.yaml")
_POD_NETWORK = "198.18.0.0/15"
"""Set aside for benchmarks by RFC 2544: nobody answers there."""

_PODS_PER_NODE = 250


def _node(number: int) -> dict[str, Any]:
    room = {"cpu": "1000", "memory": "10Ti", "pods": str(_PODS_PER_NODE)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"kwok-{number}", "labels": LABEL, "annotations": _MANAGED},
        "status": {"allocatable": room, "capacity": room},
    }


@asynccontextmanager
async def fake_nodes(
    session: aiohttp.ClientSession, server: str, kubeconfig: Path, pods: int
) -> AsyncIterator[None]:
    """Enough of them for so many pods that select LABEL; they are Ready some seconds later."""
    [managed] = (f"{key}={value}" for key, value in _MANAGED.items())
    command = [program(KWOK, "kwok"), "--kubeconfig", kubeconfig, "--cidr", _POD_NETWORK, "--v", "WARN"]
    command += ["--config", _STAGES]
    command += ["--manage-nodes-with-annotation-selector", managed, "--node-lease-duration-seconds", "40"]
    process = await asyncio.create_subprocess_exec(*command)
    nodes = [_node(number) for number in range(pods // _PODS_PER_NODE + 1)]
    url = f"{server}/api/v1/nodes"
    try:
        for node in nodes:
            async with session.post(url, json=node) as answer:
                answer.raise_for_status()
        yield
    finally:
        for node in nodes:
            async with session.delete(f"{url}/{node['metadata']['name']}"):
                pass
        process.terminate()
        await process.wait()
