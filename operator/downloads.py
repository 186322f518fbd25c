"""How far the downloads of starting pods are: their init container tells by HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from paddock.operator.diagnosis import is_downloading
from paddock.operator.origin import origin
from paddock.operator.page import page

Body = Mapping[str, Any]
_SECONDS = 2.0
_ASKED = 8
_LINE_BYTES = 1024
_LINE_CHARACTERS = 120


async def downloads_of(session: aiohttp.ClientSession, pods: Sequence[Body]) -> dict[str, str]:
    """A line for people by pod, for those that download; without figures where a pod cannot be reached."""
    loading = [pod for pod in pods if is_downloading(pod)]
    lines = await asyncio.gather(*(_ask(session, pod) for pod in loading[:_ASKED]))
    return {pod["metadata"]["name"]: line for pod, line in zip(loading, lines, strict=False)}


async def _ask(session: aiohttp.ClientSession, pod: Body) -> str:
    host = (pod.get("status") or {}).get("podIP", "")
    [port] = pod["spec"]["containers"][0]["ports"]
    url = f"{origin('http', host, port['containerPort'])}/"
    try:
        text = await page(session, url, _LINE_BYTES, _SECONDS)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return "downloading"
    return "".join(filter(str.isprintable, text))[:_LINE_CHARACTERS] or "downloading"
