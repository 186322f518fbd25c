"""What a replica that serves holds in memory, read from its metrics once per revision. No pass waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from paddock.operator.page import page
from paddock.operator.plan.footprint import basis_of_report, is_reported
from paddock.operator.resource import InferenceService
from paddock.operator.snapshot import Pod, Snapshot
from paddock.operator.workqueue import Key

logger = logging.getLogger(__name__)

PAUSES = (0.0, 2.0, 10.0, 60.0)
"""Seconds before each time that a pod is asked; after the last it is left alone."""

_AT_ONCE = 8
_WEIGHTS, _PER_TOKEN, _CACHE = (
    "paddock:model_weight_bytes", "paddock:kv_cache_bytes_per_token", "vllm:cache_config_info",
)  # fmt: skip


class Reports:
    """Asks in the background, and tells of the key once the answer is there. The status keeps it from then on."""

    def __init__(
        self, session: aiohttp.ClientSession, news: Callable[[Key], None], pauses: Sequence[float] = PAUSES
    ) -> None:
        self._session = session
        self._news = news
        self._pauses = pauses
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._answers: dict[str, Mapping[str, int]] = {}
        self._silent: dict[Key, str] = {}
        """The pod of each service that told nothing however often it was asked."""

        self._tasks: dict[str, asyncio.Task[None]] = {}

    def complete(self, seen: Snapshot) -> InferenceService:
        """The service, its status.plan completed by what a pod of the present revision has reported."""
        service, status = seen.service, seen.service.status
        plan, revision = status.get("plan"), str(status.get("revision"))
        # Of a spec that changed since, the status tells nothing yet, and the pods of one that is refused are of another.
        refused = any(
            each["type"] == "Accepted" and each["status"] == "False"
            for each in status.get("conditions") or ()
        )
        if (
            not plan
            or refused
            or status.get("observedGeneration") != service.generation
            or is_reported(plan, revision)
        ):
            return service
        pod = next((pod for pod in seen.pods if _can_tell(pod, revision)), None)
        if pod is None:
            return service
        answer = self._answers.pop(pod.uid, None)
        if answer is None:
            self._ask((service.namespace, service.name), pod)
            return service
        tokens = answer["kvTokensPerReplica"] * (plan.get("podsPerReplica", 1) if pod.answers_alone else 1)
        told = {**answer, "kvTokensPerReplica": tokens, "basis": basis_of_report(pod.name, revision)}
        return replace(service, status={**status, "plan": {**plan, **told}})

    def _ask(self, key: Key, pod: Pod) -> None:
        if pod.uid in self._tasks or self._silent.get(key) == pod.uid:
            return
        task = asyncio.create_task(self._read(key, pod))
        self._tasks[pod.uid] = task
        task.add_done_callback(lambda _: self._tasks.pop(pod.uid, None))

    async def _read(self, key: Key, pod: Pod) -> None:
        for pause in self._pauses:
            await asyncio.sleep(pause)
            try:
                async with self._slots:
                    text = await page(self._session, pod.metrics)
                self._answers[pod.uid] = read_report(text)
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, RuntimeError) as error:
                # RuntimeError: the session was closed, since somebody else leads now.
                logger.debug("pod %s of %s/%s tells nothing of its memory: %r", pod.name, *key, error)
            else:
                self._silent.pop(key, None)
                self._news(key)
                return
        self._silent[key] = pod.uid


def read_report(text: str) -> dict[str, int]:
    """Fields of status.plan from the text of `/metrics`. Raises ValueError or KeyError where they are not in it."""
    held: dict[str, int] = {}
    tokens = 0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == _CACHE:
                tokens += int(sample.labels["num_gpu_blocks"]) * int(sample.labels["block_size"])
            elif sample.name in (_WEIGHTS, _PER_TOKEN):
                held[sample.name] = int(sample.value)
    return {
        "weightBytes": held[_WEIGHTS],
        "kvBytesPerToken": held[_PER_TOKEN],
        "kvTokensPerReplica": tokens,
    }


def _can_tell(pod: Pod, revision: str) -> bool:
    return pod.ready and pod.revision == revision and bool(pod.metrics)
