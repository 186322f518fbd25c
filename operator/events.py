"""Kubernetes Events (events.k8s.io/v1) that `kubectl describe` shows, without flooding the API server.

The same news about the same object becomes one Event with a count. An object may raise 20 different ones at
once and then one every 30 seconds; more are dropped and counted. An Event that cannot be written never stops
a reconcile.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aiohttp

from paddock.operator.client import Api, ApiError
from paddock.operator.plan.actions import Note
from paddock.operator.resource import GROUP, KIND, VERSION, InferenceService

logger = logging.getLogger(__name__)

CONTROLLER = "paddock.dev/operator"
_SERIES_SECONDS = 600.0
_BURST = 20.0
_REFILL_SECONDS = 30.0
_REMEMBERED = 2000
_NOTE_CHARACTERS = 1000


@dataclass
class _Series:
    """An Event that was written, and may be counted up."""

    name: str
    count: int
    seen_at: float


@dataclass
class _Bucket:
    """Token bucket of one object."""

    tokens: float
    filled_at: float

    def take(self, now: float) -> bool:
        self.tokens = min(_BURST, self.tokens + (now - self.filled_at) / _REFILL_SECONDS)
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Recorder:
    """Writes Events. `instance` names this process in them."""

    def __init__(self, api: Api, instance: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._instance = instance
        self._clock = clock
        self._series: OrderedDict[tuple[str, ...], _Series] = OrderedDict()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self.dropped = 0

    async def record(self, service: InferenceService, note: Note) -> None:
        now = self._clock()
        key = (service.uid, note.reason, note.action, note.message)
        if not self._bucket(service.uid, now).take(now):
            self.dropped += 1
            return
        known = self._series.get(key)
        try:
            if known is not None and now - known.seen_at < _SERIES_SECONDS:
                await self._count_up(service.namespace, known, now)
            else:
                self._remember(key, _Series(await self._create(service, note), 1, now))
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            self._series.pop(key, None)
            logger.info(
                "event %s of %s/%s not written: %s", note.reason, service.namespace, service.name, error
            )

    async def _create(self, service: InferenceService, note: Note) -> str:
        name = f"{service.name}.{uuid4().hex[:16]}"
        await self._api.create(event_body(service, note, name, self._instance, _micro_time()))
        return name

    async def _count_up(self, namespace: str, known: _Series, now: float) -> None:
        series = {"count": known.count + 1, "lastObservedTime": _micro_time()}
        await self._api.merge("Event", namespace, known.name, {"series": series})
        known.count += 1
        known.seen_at = now

    def _bucket(self, uid: str, now: float) -> _Bucket:
        bucket = self._buckets.setdefault(uid, _Bucket(_BURST, now))
        self._buckets.move_to_end(uid)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        return bucket

    def _remember(self, key: tuple[str, ...], series: _Series) -> None:
        self._series[key] = series
        self._series.move_to_end(key)
        if len(self._series) > _REMEMBERED:
            self._series.popitem(last=False)


def event_body(service: InferenceService, note: Note, name: str, instance: str, at: str) -> dict[str, Any]:
    """The Event object. `at`: RFC 3339 with microseconds."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": service.namespace},
        "eventTime": at,
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128],
        "action": note.action,
        "reason": note.reason,
        "type": "Warning" if note.warning else "Normal",
        "note": note.message[:_NOTE_CHARACTERS],
        "regarding": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "namespace": service.namespace,
            "name": service.name,
            "uid": service.uid,
        },
    }


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
