"""kopf watches the cluster; its handlers do nothing but pass on what they see, and queue keys.

kopf runs in a thread with an event loop of its own: when it ends it cancels every task of its loop, and it
ends when the API server answers with errors for long. Our workers, Lease and health server must outlive that.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import kopf

from paddock.operator.children import CHILDREN, Children, News
from paddock.operator.client import Api, ApiError
from paddock.operator.handover import Handover
from paddock.operator.kopf_loop import run_kopf
from paddock.operator.login import Credentials, Requested
from paddock.operator.metrics import Metrics, Vitals
from paddock.operator.relisting import Relisting
from paddock.operator.resource import GROUP, KIND, PLURAL, VERSION
from paddock.operator.workqueue import Key

logger = logging.getLogger(__name__)

CHILD_DELAY = 0.2
"""Seconds by which news of children are gathered: a starting pod changes several times in a row."""

_LONGEST_PAUSE = 60.0
_CRD_POLL_SECONDS = 5.0
_CRD_SAY_EVERY = 12
Enqueue = Callable[[Key, float], None]
Hear = Callable[[str | None, News], None]


def is_own_echo(event_type: str | None, body: Mapping[str, Any]) -> bool:
    """Whether the change of an InferenceService is one of status or metadata only: there is nothing to do."""
    observed = (body.get("status") or {}).get("observedGeneration")
    return event_type == "MODIFIED" and observed == body["metadata"]["generation"]


def kind_begun(code: int, path: str) -> str | None:
    """The kind of child whose watch this request of kopf's begins, with a list; None for any other request.

    A list may be empty, so what it shows would not tell.
    """
    asked = urlsplit(path)
    is_list = code == 200 and not {"watch", "continue"} & set(parse_qs(asked.query))
    plural = asked.path.rpartition("/")[2]
    return next((kind for kind, names in CHILDREN.items() if is_list and names[2] == plural), None)


def handlers(metrics: Metrics, enqueue: Enqueue, hear: Hear) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def service_changed(type: str | None, body: kopf.Body, **_: Any) -> None:
        metrics.watch_events.labels(PLURAL).inc()
        if not is_own_echo(type, body):
            enqueue((body["metadata"]["namespace"], body["metadata"]["name"]), 0.0)

    for kind, names in CHILDREN.items():

        @kopf.on.event(*names, registry=registry, id=f"{names[2]}_changed", param=kind)
        async def child_changed(
            type: str | None, event: kopf.RawEvent, resource: kopf.Resource, param: Any = None, **_: Any
        ) -> None:
            metrics.watch_events.labels(resource.plural).inc()
            hear(type, News.of(param, event["object"]))

    return registry


class Watcher:
    """Keeps kopf running for as long as `run` is not cancelled."""

    def __init__(
        self,
        credentials: Credentials,
        api: Api,
        children: Children,
        lists: Relisting,
        metrics: Metrics,
        vitals: Vitals,
        namespaces: tuple[str, ...] = (),
    ) -> None:
        self._credentials = credentials
        self._api = api
        self._children = children
        self._lists = lists
        self._metrics = metrics
        self._vitals = vitals
        self._namespaces = namespaces

    async def run(self, enqueue: Enqueue) -> None:
        """Waits for the CRD, watches, and begins again after a growing pause whenever watching ends."""
        pause = 1.0
        while True:
            await self._wait_for_crd()
            self._vitals.state = "watching"
            started = asyncio.get_running_loop().time()
            await self._watch_once(enqueue)
            self._metrics.watch_restarts.inc()
            lasted = asyncio.get_running_loop().time() - started
            pause = 1.0 if lasted > _LONGEST_PAUSE else min(_LONGEST_PAUSE, pause * 2)
            logger.warning("watching ended after %.0f s; it begins again in %.0f s", lasted, pause)
            await asyncio.sleep(pause)

    async def _wait_for_crd(self) -> None:
        tries = 0
        while not await self._crd_is_there():
            self._vitals.state = "waiting for the CRD"
            if tries % _CRD_SAY_EVERY == 0:
                logger.warning(
                    "waiting for the CustomResourceDefinition %s.%s: apply crds/ first", PLURAL, GROUP
                )
            tries += 1
            await asyncio.sleep(_CRD_POLL_SECONDS)

    async def _crd_is_there(self) -> bool:
        try:
            return await self._api.serves(KIND)
        except (ApiError, aiohttp.ClientError, OSError, TimeoutError) as error:
            logger.warning(
                "the API server at %s does not answer: %s", self._credentials.server, error or "timeout"
            )
            return False

    async def _watch_once(self, enqueue: Enqueue) -> None:
        """Returns when kopf has ended, for whatever reason.

        Cancelled, it tells kopf to end and does not wait: that takes seconds, and whoever leads next need not wait
        for a thread that writes nothing.
        """
        there = Handover(asyncio.get_running_loop())
        stop = threading.Event()

        def enqueue_there(key: Key, delay: float) -> None:
            there.call(enqueue, key, delay)

        def hear_there(event_type: str | None, news: News) -> None:
            there.call(self._hear, event_type, news, enqueue)

        def requested(verb: str, code: int, path: str) -> None:
            self._metrics.requested(verb, code, path)
            if kind := kind_begun(code, path):
                there.call(self._lists.want, kind)

        registry = handlers(self._metrics, enqueue_there, hear_there)
        thread = asyncio.create_task(asyncio.to_thread(self._kopf, registry, requested, stop))
        try:
            await asyncio.shield(thread)
        except asyncio.CancelledError:
            stop.set()
            raise

    def _hear(self, event_type: str | None, news: News, enqueue: Enqueue) -> None:
        concerned = (
            self._children.lost(news.place, news.uid, news.version)
            if event_type == "DELETED"
            else self._children.saw(news)
        )
        for key in concerned:
            enqueue(key, CHILD_DELAY)

    def _kopf(self, registry: kopf.OperatorRegistry, requested: Requested, stop: threading.Event) -> None:
        try:
            run_kopf(registry, self._credentials, requested, self._namespaces, stop)
        except Exception as error:
            logger.error("watching failed: %s", error, exc_info=logger.isEnabledFor(logging.DEBUG))
