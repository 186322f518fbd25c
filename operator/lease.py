"""Leader election over a coordination.k8s.io Lease, as client-go does it: 15 s lease, 10 s renew deadline, 2
s retry.

Whoever holds the Lease renews it every 2 s. A holder that could not renew for 10 s stops acting, 5 s before
anybody else may take over, so two operators never write at once. Expiry is judged by our own clock, from when
we last saw the record change: clocks of other machines do not matter.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import aiohttp

from paddock.operator.client import Api, ApiError

logger = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Timing:
    """Seconds."""

    lease: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0


class Lease:
    """Our claim on one Lease object. `identity` must be unique to this process."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing = Timing(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._timing = timing
        self._clock = clock
        self._renewed_at: float | None = None
        self._seen: tuple[str, float] = ("", float("-inf"))
        self.holder = ""

    def is_held(self) -> bool:
        """Whether we may act now. Turns false by itself at the renew deadline."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < self._timing.renew_deadline

    async def acquire(self) -> None:
        """Waits until the Lease is ours."""
        while not await self._attempt():
            await asyncio.sleep(self._timing.retry)
        logger.info("leading as %s", self.identity)

    async def hold(self) -> None:
        """Renews until the Lease is lost, then returns."""
        while self.is_held():
            await asyncio.sleep(self._timing.retry)
            if not await self._attempt() and self.holder not in ("", self.identity):
                self._renewed_at = None
        logger.error(
            "the Lease %s/%s was lost to %s", self._namespace, self._name, self.holder or "an outage"
        )
        self._renewed_at = None

    async def release(self) -> None:
        """Lets another operator take over at once. Call when nothing acts any more."""
        if self._renewed_at is None:
            return
        self._renewed_at = None
        body = await self._quietly(self._api.get("Lease", self._namespace, self._name))
        if body and (body.get("spec") or {}).get("holderIdentity") == self.identity:
            body["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time()}
            await self._quietly(self._api.replace(body))

    async def _attempt(self) -> bool:
        """One try to take or renew the Lease. An API server that does not answer is a failed try."""
        started = self._clock()
        if await self._quietly(self._take_or_renew()) is None:
            return False
        # From before the request: the answer may have been slow, and the others count from the write.
        self._renewed_at = started
        return True

    async def _take_or_renew(self) -> dict[str, Any] | None:
        body = await self._api.get("Lease", self._namespace, self._name)
        if body is None:
            return await self._api.create(self._body({}))
        spec = body.get("spec") or {}
        self.holder = spec.get("holderIdentity") or ""
        if self.holder not in ("", self.identity) and not self._is_expired(body):
            return None
        return await self._api.replace({**self._body(spec), "metadata": body["metadata"]})

    def _is_expired(self, body: dict[str, Any]) -> bool:
        version, now = body["metadata"]["resourceVersion"], self._clock()
        if version != self._seen[0]:
            self._seen = (version, now)
        duration = body["spec"].get("leaseDurationSeconds", self._timing.lease)
        return bool(now - self._seen[1] > duration)

    def _body(self, spec: dict[str, Any]) -> dict[str, Any]:
        now = _micro_time()
        ours = spec.get("holderIdentity") == self.identity
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": round(self._timing.lease),
                "acquireTime": spec.get("acquireTime", now) if ours else now,
                "renewTime": now,
                "leaseTransitions": spec.get("leaseTransitions", 0) + (0 if ours or not spec else 1),
            },
        }

    async def _quietly(self, request: Awaitable[_T]) -> _T | None:
        try:
            async with asyncio.timeout(self._timing.renew_deadline / 2):
                return await request
        except ApiError as error:
            if error.status != 409:  # a conflict is somebody quicker: the usual case
                logger.warning("Lease %s/%s: %s", self._namespace, self._name, error)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            logger.warning("Lease %s/%s: %s", self._namespace, self._name, str(error) or type(error).__name__)
        return None


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
