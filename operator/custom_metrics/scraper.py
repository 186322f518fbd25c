"""Reads the metrics of the pods that answer when somebody asks for a figure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from paddock.operator.client import Api
from paddock.operator.custom_metrics.series import WINDOW_SECONDS, History, NotMeasured, read_sample, value_of
from paddock.operator.diagnosis import is_ready
from paddock.operator.page import page
from paddock.operator.plan.labels import GROUP_LABEL, MANAGED_BY, SERVICE_LABEL, answers
from paddock.operator.snapshot import metrics_address


class Scraper:
    """Keeps a minute of samples per pod, for rates."""

    def __init__(self, api: Api, session: aiohttp.ClientSession) -> None:
        self._api = api
        self._session = session
        self._histories: dict[str, History] = {}

    async def value(self, namespace: str, name: str, metric: str) -> float:
        """Over all ready replicas; if one cannot be read there is no figure, since a part would mislead.

        Raises NotMeasured, and what the API server answers.
        """
        selector = ",".join(f"{k}={v}" for k, v in {SERVICE_LABEL: name, **MANAGED_BY}.items())
        pods = [pod for pod in await self._api.list("Pod", namespace, selector) if _serves(pod)]
        if not pods:
            raise NotMeasured(f"InferenceService {name} in namespace {namespace} has no ready replica")
        texts = await asyncio.gather(*(self._read(pod) for pod in pods))
        now = time.monotonic()
        for pod, text in zip(pods, texts, strict=True):
            self._histories.setdefault(pod["metadata"]["uid"], History()).add(now, read_sample(text))
        self._forget(now)
        groups = {pod["metadata"]["labels"][GROUP_LABEL] for pod in pods}
        return value_of(metric, [self._histories[pod["metadata"]["uid"]] for pod in pods], len(groups))

    async def _read(self, pod: Mapping[str, Any]) -> str:
        name, address = pod["metadata"]["name"], metrics_address(pod)
        try:
            return await page(self._session, address)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NotMeasured(f"the metrics of pod {name} cannot be read: {error or 'timeout'}") from error

    def _forget(self, now: float) -> None:
        stale = [uid for uid, seen in self._histories.items() if now - seen.samples[-1][0] > WINDOW_SECONDS]
        for uid in stale:
            del self._histories[uid]


def _serves(pod: Mapping[str, Any]) -> bool:
    return is_ready(pod) and answers(pod["metadata"]["labels"])
