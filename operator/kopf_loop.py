"""kopf on an event loop of its own, with settings that suit us and an end that comes.

When one of its watches fails, kopf stops, but the other watches may wait for a login that nobody serves any
more. So its end is bounded here: what has not finished some seconds after the beginning of the end is dropped
with its loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from typing import Any

import aiohttp
import kopf

from paddock.operator.children import CHILDREN
from paddock.operator.login import Credentials, Requested, open_session
from paddock.operator.plan.labels import MANAGED_BY

logger = logging.getLogger(__name__)

_MANAGED_BY_US = ",".join(f"{key}={value}" for key, value in MANAGED_BY.items())
_LOOK_SECONDS = 1.0
_ENDING_SECONDS = 10.0


def selector(kind: str) -> str:
    """Labels of the children of one kind. Endpoints of headless Services, half of all, say nothing that pods do not."""
    return _MANAGED_BY_US + (",!service.kubernetes.io/headless" if kind == "EndpointSlice" else "")


class NoDifferences(kopf.DiffBaseStorage):
    """kopf copies and compares each object that it hears of, for handlers of changes; we have none."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        raise AssertionError("nothing is stored where nothing handles changes")


def settings() -> kopf.OperatorSettings:
    """Without peering, events, or discovery of new kinds; patient with an API server in trouble."""
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.process.ultimate_exiting_timeout = None
    chosen.queueing.worker_limit = 50
    chosen.queueing.idle_timeout = 1.0
    chosen.watching.chunk_size = 200
    chosen.watching.server_timeout = 300
    chosen.watching.connect_timeout = 10
    chosen.networking.request_timeout = 60
    chosen.networking.error_backoffs = (1, 1, 2, 3, 5, 8, 13, 21, *[30] * 20)
    chosen.persistence.diffbase_storage = NoDifferences()
    for kind, names in CHILDREN.items():
        chosen.watching.label_selectors[names] = selector(kind)
    return chosen


def run_kopf(
    registry: kopf.OperatorRegistry,
    credentials: Credentials,
    requested: Requested,
    namespaces: Sequence[str],
    stop: threading.Event,
) -> None:
    """Runs kopf in this thread until `stop` is set or it fails. Raises what it failed with."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(_unhandled)
    try:
        loop.run_until_complete(_operate(registry, credentials, requested, namespaces, stop))
    finally:
        stop.set()  # a thread of kopf's waits for it
        loop.close()


async def _operate(
    registry: kopf.OperatorRegistry,
    credentials: Credentials,
    requested: Requested,
    namespaces: Sequence[str],
    stop: threading.Event,
) -> None:
    sessions: list[aiohttp.ClientSession] = []
    ending = asyncio.Event()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        sessions.append(open_session(credentials, requested))
        return kopf.AiohttpSession(
            server=credentials.server, default_namespace=credentials.namespace, aiohttp_session=sessions[-1]
        )

    @kopf.on.cleanup(registry=registry)
    async def begin_to_end(**_: Any) -> None:
        ending.set()

    running = asyncio.ensure_future(
        kopf.operator(
            registry=registry,
            settings=settings(),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
            stop_flag=stop,
        )
    )
    try:
        while not (running.done() or ending.is_set() or stop.is_set()):
            await asyncio.wait({running}, timeout=_LOOK_SECONDS)
        await asyncio.wait({running}, timeout=_ENDING_SECONDS)
        if running.done():
            running.result()
        else:
            logger.warning("kopf did not end within %.0f s of its stop and is dropped", _ENDING_SECONDS)
    finally:
        for session in sessions:
            await session.close()


def _unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """kopf leaves tasks and streams behind when it ends; asyncio complains of each, and nothing can be done."""
    logger.debug("in the watching loop: %s", context.get("message"))
