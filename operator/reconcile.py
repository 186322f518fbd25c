"""One pass over one InferenceService: observe, plan, apply, report. Idempotent, and right from any state."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import aiohttp

from paddock.operator.adapter_condition import ADAPTERS_READY
from paddock.operator.apply import KedaMissing, NameTaken, perform
from paddock.operator.children import Children
from paddock.operator.client import Api
from paddock.operator.custom_metrics.unmeasured import unmeasured
from paddock.operator.diagnosis import Problem
from paddock.operator.events import Recorder
from paddock.operator.observe import observe, read
from paddock.operator.plan.actions import plan, withdrawal
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.host_paths import HostPathPolicy
from paddock.operator.plan.network_policy import Isolation
from paddock.operator.plan.refusal import ModelDoesNotFit, Refusal
from paddock.operator.plan.revision import Rendering
from paddock.operator.plan.urgency import urgent
from paddock.operator.reports import Reports
from paddock.operator.resource import GROUP, KIND, VERSION, InferenceService
from paddock.operator.snapshot import Snapshot
from paddock.operator.status import status, transitions
from paddock.operator.workqueue import Key

SETTLED_SECONDS = 600.0
UNSETTLED_SECONDS = 60.0
SILENT_SECONDS = 10.0
"""Watches tell of what changes; these are the looks besides. A pod that waits for a volume changes nothing
watched.
"""


@dataclass(frozen=True)
class Outcome:
    """`again`: look again after so many seconds, None when the object is gone or going."""

    again: float | None
    changed: int = 0
    status: Mapping[str, Any] = field(default_factory=dict)
    """As it is now; empty when `again` is None, and of a new object whose status is left to the next look."""


@dataclass(frozen=True)
class Reconciler:
    """What every pass needs."""

    api: Api
    to_pods: aiohttp.ClientSession
    children: Children
    recorder: Recorder
    rendering: Rendering
    host_paths: HostPathPolicy
    isolation: Isolation
    reports: Reports
    without_metrics: Callable[[], str | None]
    """Why this operator serves no figures to autoscalers, in words; None when it does."""

    others_wait: Callable[[], bool]
    """Whether more keys are due than there are workers."""

    async def reconcile(self, key: Key) -> Outcome:
        """Raises what the API server answers; the caller backs off."""
        service = await read(self.api, key)
        if service is None or service.deleting:
            return Outcome(None)
        seen = await observe(self.api, self.to_pods, self.children, service)
        verdict = self._judge(self.reports.complete(seen), seen)
        changed = 0
        if isinstance(verdict, Blueprint):
            try:
                actions = plan(verdict, seen, self.rendering, self.isolation)
                if self.others_wait():
                    actions = urgent(actions, verdict, seen)
                changed = await perform(self.api, self.recorder, service, actions)
                if changed and self.others_wait():
                    # The look that follows each change tells more than could be told now, and others wait to begin.
                    return Outcome(UNSETTLED_SECONDS, changed, service.status)
                if changed:
                    seen = await observe(self.api, self.to_pods, self.children, service)
            except (NameTaken, KedaMissing) as error:
                seen = replace(seen, conflicts=(Problem(type(error).__name__, str(error)),))
            seen = replace(seen, unmeasured=unmeasured(verdict.spec.autoscaling, self.without_metrics()))
        elif isinstance(verdict, ModelDoesNotFit):
            withdrawn = withdrawal(seen, verdict.revision)
            changed = await perform(self.api, self.recorder, service, withdrawn)
        written = await self._report(seen, verdict)
        pause = SILENT_SECONDS if seen.is_silent or seen.conflicts else UNSETTLED_SECONDS
        if _is_settled(written):
            pause = SETTLED_SECONDS * random.uniform(0.8, 1.2)
        return Outcome(pause, changed, written)

    def _judge(self, service: InferenceService, seen: Snapshot) -> Blueprint | Refusal:
        try:
            return Blueprint.of(service, self.host_paths, self.rendering.accelerator, seen.surveys())
        except Refusal as refusal:
            return refusal

    async def _report(self, seen: Snapshot, verdict: Blueprint | Refusal) -> dict[str, Any]:
        """Writes the status if it changed. Returns it."""
        before = seen.service.status
        after = status(seen, verdict, _now())
        if after != before:
            await self.api.apply(_with_status(seen.service, after), "status")
            for note in transitions(before, after):
                await self.recorder.record(seen.service, note)
        return after


def _is_settled(status: Mapping[str, Any]) -> bool:
    """Whether nothing is known to be under way or amiss."""
    conditions = {condition["type"]: condition["status"] for condition in status["conditions"]}
    loaded = conditions.get(ADAPTERS_READY, "True") == "True"
    return bool(loaded and conditions["Degraded"] == conditions["Progressing"] == "False")


def _with_status(service: InferenceService, written: dict[str, Any]) -> dict[str, Any]:
    """The uid makes the write fail when the object was replaced by another of the same name meanwhile."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": service.name, "namespace": service.namespace, "uid": service.uid},
        "status": written,
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
