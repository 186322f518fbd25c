"""Whether Kubernetes asks here for custom metrics, as long as somebody is there to answer.

An APIService whose server is away keeps every namespace of the cluster from going: their deletion waits until each API
that is registered tells what it has. So whoever leads takes it away at an orderly end, as when it is scaled to zero, and
the next to lead puts it back. The chart makes it first, and removes it for good: what we put back belongs to the
chart's ClusterRole and goes with it, should an uninstall meet a change of leaders.

Another adapter may come at any time, as prometheus-adapter, which registers v1beta1. Whoever asks for the group takes
the version that is preferred, so that ours would hide its figures: we make room, and are back when it is gone.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from paddock.operator.client import Api, ApiError
from paddock.operator.custom_metrics.api import API_GROUP, API_VERSION

logger = logging.getLogger(__name__)

NAME = f"{API_VERSION}.{API_GROUP}"
NAMES = (f"v1beta1.{API_GROUP}", NAME)
"""Under which somebody may serve it."""

OFF = (
    "this operator serves no metrics, since metricsApi.enabled is false in its chart, or another adapter served "
    f"{API_GROUP} when it was installed"
)
_PRIORITY = 100
_WITHIN_SECONDS = 5.0
_LOOK_SECONDS = 30.0


@dataclass
class Registration:
    """Of our Service, `name` in `namespace`; the chart's ClusterRole has its name, too.

    `authority`: PEM that signs its certificate. `release`: Helm's name of the installation, or "".
    """

    api: Api
    namespace: str
    name: str
    authority: bytes
    release: str
    taken: str | None = field(default=None, init=False)
    """Who else serves the API, in words; None as long as nobody does."""

    _failure: str = field(default="", init=False)
    """Why the last attempt failed; empty when it did not."""

    @classmethod
    def of(cls, api: Api, namespace: str, service: str, certificates: Path, release: str) -> Registration:
        """`certificates` holds ca.crt."""
        return cls(api, namespace, service, (certificates / "ca.crt").read_bytes(), release)

    async def keep(self, changed: Callable[[], None]) -> None:
        """For ever: somebody may remove it, as the garbage collector does after an uninstall and an install at once.

        `changed` hears when somebody else has begun to serve the API, or ended.
        """
        while True:
            before = self.taken
            await self.put_back()
            if self.taken != before:
                changed()
            await asyncio.sleep(_LOOK_SECONDS)

    async def put_back(self) -> None:
        """Unless somebody else serves the API: then ours goes."""
        await self._quietly(self._settle())

    async def withdraw(self) -> None:
        """If it is ours. Never keeps the process from ending."""
        await self._quietly(self._end())

    async def _quietly(self, work: Awaitable[None]) -> None:
        """Says why it failed, but once only where that lasts: a missing right is missed at every look."""
        failure = ""
        try:
            async with asyncio.timeout(_WITHIN_SECONDS):
                await work
        except (ApiError, aiohttp.ClientError, OSError, TimeoutError) as error:
            failure = str(error) or type(error).__name__
        if failure and failure != self._failure:
            logger.warning("registration of %s: %s", NAME, failure)
        self._failure = failure

    async def _end(self) -> None:
        live = await self.api.get("APIService", "", NAME)
        await self._delete(live, "nobody answers until the next operator leads")

    async def _settle(self) -> None:
        live = {name: await self.api.get("APIService", "", name) for name in NAMES}
        taken = self._taken(live)
        if taken != self.taken:
            logger.warning(taken or f"nobody else serves {API_GROUP} any more")
        self.taken = taken
        if taken:
            await self._delete(live[NAME], "two would hide each other's figures")
        elif live[NAME] is None:
            await self._make()

    def _taken(self, live: Mapping[str, dict[str, Any] | None]) -> str | None:
        for name, body in live.items():
            if body is not None and not self._is_ours(body):
                service = body["spec"].get("service") or {}
                whose = f"Service {service.get('name')} in namespace {service.get('namespace')}"
                return f"{name} is served by {whose}, so that this operator serves no metrics"
        return None

    async def _make(self) -> None:
        role = await self.api.get("ClusterRole", "", self.name)
        if role is None:
            logger.info("%s is not registered: there is no ClusterRole %s any more", NAME, self.name)
            return
        try:
            await self.api.make(self._manifest(role["metadata"]["uid"]))
        except ApiError as error:
            if error.status != 409:
                raise
        else:
            logger.info("registered %s again", NAME)

    async def _delete(self, live: dict[str, Any] | None, why: str) -> None:
        if live is None or not self._is_ours(live):
            return
        # In whatever state: that nobody answers any more is being written down at this moment.
        await self.api.delete("APIService", "", NAME, live["metadata"]["uid"], None)
        logger.info("withdrew %s: %s", NAME, why)

    def _is_ours(self, body: dict[str, Any]) -> bool:
        service = body["spec"].get("service") or {}
        return (service.get("namespace"), service.get("name")) == (self.namespace, self.name)

    def _manifest(self, role_uid: str) -> dict[str, Any]:
        owner = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "name": self.name,
            "uid": role_uid,
        }
        return {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": NAME, "ownerReferences": [owner], **self._of_release()},
            "spec": {
                "group": API_GROUP,
                "version": API_VERSION,
                "groupPriorityMinimum": _PRIORITY,
                "versionPriority": _PRIORITY,
                "caBundle": base64.b64encode(self.authority).decode(),
                "service": {"namespace": self.namespace, "name": self.name, "port": 443},
            },
        }

    def _of_release(self) -> dict[str, Any]:
        """What Helm asks of an object before it takes it for one of its own."""
        if not self.release:
            return {}
        annotations = {
            "meta.helm.sh/release-name": self.release,
            "meta.helm.sh/release-namespace": self.namespace,
        }
        return {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": annotations}
