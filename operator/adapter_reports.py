"""What pods tell of the adapters that they fetch and load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from paddock.operator.origin import origin
from paddock.operator.page import page
from paddock.operator.plan.fetched_adapters import WANTED_ADAPTERS
from paddock.operator.plan.labels import answers
from paddock.operator.resource import ADAPTER_KEEPER

Body = Mapping[str, Any]
FAILED, LOADED = "Failed", "Loaded"
_SECONDS = 2.0
_LARGEST_BYTES = 1 << 20
_AT_ONCE = 16
_MESSAGE_CHARACTERS = 400


@dataclass(frozen=True)
class AdapterReport:
    """`entry`: of which address the adapter is. `state`: Fetching, Fetched, Loaded or Failed."""

    name: str
    entry: str
    state: str
    message: str


Reports = Mapping[str, tuple[AdapterReport, ...]]
"""By pod."""


async def adapter_reports(
    session: aiohttp.ClientSession, pods: Sequence[Body]
) -> dict[str, tuple[AdapterReport, ...]]:
    """Of those that fetch adapters; nothing of one that cannot be reached."""
    addresses = {pod["metadata"]["name"]: address for pod in pods if (address := _address(pod))}
    slots = asyncio.Semaphore(_AT_ONCE)
    texts = await asyncio.gather(*(_ask(session, url, slots) for url in addresses.values()))
    return {name: read for name, text in zip(addresses, texts, strict=True) if (read := _read(text))}


def awaits_adapters(pods: Iterable[Body], reports: Reports) -> bool:
    """Whether a pod that answers does not say of each adapter that its annotation names: it is loaded."""
    return any(
        _wanted(pod)
        != {each.entry for each in reports.get(pod["metadata"]["name"], ()) if each.state == LOADED}
        for pod in pods
        if answers(pod["metadata"].get("labels") or {})
    )


def _wanted(pod: Body) -> set[str]:
    text = (pod["metadata"].get("annotations") or {}).get(WANTED_ADAPTERS, "[]")
    try:
        return {each["entry"] for each in json.loads(text)}
    except (ValueError, TypeError, KeyError, RecursionError):
        return set()  # somebody else's text: the next pass puts ours in its place


async def _ask(session: aiohttp.ClientSession, url: str, slots: asyncio.Semaphore) -> str:
    try:
        async with slots:
            return await page(session, url, _LARGEST_BYTES, _SECONDS)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return ""


def _read(text: str) -> tuple[AdapterReport, ...]:
    """Nothing of a page that is not what the keeper writes."""
    try:
        rows = [
            [str(row[field]) for field in ("name", "entry", "state", "message")] for row in json.loads(text)
        ]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ()
    return tuple(
        AdapterReport(name, entry, state, "".join(filter(str.isprintable, message))[:_MESSAGE_CHARACTERS])
        for name, entry, state, message in rows
    )


def _address(pod: Body) -> str:
    """Empty for a pod that fetches none, or has no address yet."""
    keepers = [each for each in pod["spec"].get("initContainers") or () if each["name"] == ADAPTER_KEEPER]
    host = (pod.get("status") or {}).get("podIP")
    if not host or not keepers:
        return ""
    return f"{origin('http', host, keepers[0]['ports'][0]['containerPort'])}/"
