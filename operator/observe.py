"""One InferenceService, read live, and what it owns, as the watches, our own writes and regular lists show it.

A plan from a state that is a moment old does no harm: applies are idempotent, deletions name the state that was
seen, and what is not known is asked for before it is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import aiohttp

from paddock.operator.adapter_reports import adapter_reports, awaits_adapters
from paddock.operator.apply import owned_by
from paddock.operator.children import Children
from paddock.operator.client import Api, ApiError
from paddock.operator.diagnosis import Problem, creation_problem
from paddock.operator.downloads import downloads_of
from paddock.operator.plan.labels import GROUP_LABEL
from paddock.operator.resource import KIND, InferenceService
from paddock.operator.snapshot import Pod, Snapshot, companion_key, is_settled
from paddock.operator.workqueue import Key

Body = Mapping[str, Any]
COMPANIONS = ("Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy", "HorizontalPodAutoscaler")
_ASKED_FOR_EVENTS = 3


async def read(api: Api, key: Key) -> InferenceService | None:
    """As it is now; None when it does not exist."""
    body = await api.get(KIND, *key)
    return InferenceService.of(body) if body else None


async def observe(
    api: Api, to_pods: aiohttp.ClientSession, children: Children, service: InferenceService
) -> Snapshot:
    """The service and what it owns. Asks the API server only where no watch tells: of claims and of what is silent; and
    pods that download.
    """
    key = namespace, _ = service.namespace, service.name
    stateful_sets, pods = children.of(key, "StatefulSet"), children.of(key, "Pod")
    beside = chain.from_iterable(children.of(key, kind) for kind in COMPANIONS)
    silent = [pod for pod in pods if _stays(pod) and _waits_silently(pod)]
    own = {_group(s): s for s in stateful_sets if owned_by(s, service.uid) and _stays(s)}
    peopled = {_group(pod) for pod in pods}
    empty = {i: s for i, s in own.items() if i not in peopled and s["spec"].get("replicas", 1)}
    tried = {i: s for i, s in empty.items() if is_settled(s)}
    staying = [pod for pod in pods if _stays(pod)]
    refusals, warnings, missing, downloads, adapters, scaled = await asyncio.gather(
        _refusals(api, namespace, tried),
        _warnings(api, namespace, silent),
        _missing_claim(api, service),
        downloads_of(to_pods, staying),
        adapter_reports(to_pods, staying),
        _scaled_objects(api, service, children.of(key, "HorizontalPodAutoscaler")),
    )
    return Snapshot(
        service=service,
        stateful_sets=own,
        pods=tuple(Pod.of(pod, warnings.get(pod["metadata"]["uid"], ())) for pod in pods),
        companions={
            companion_key(c): c for c in chain(beside, scaled) if owned_by(c, service.uid) and _stays(c)
        },
        ready_endpoints=_ready_endpoints(children.of(key, "EndpointSlice")),
        leaving=frozenset(_group(s) for s in stateful_sets if not (owned_by(s, service.uid) and _stays(s))),
        refusals=refusals,
        missing_claim=missing,
        downloads=downloads,
        adapters=adapters,
        is_silent=bool(silent or empty or missing or downloads or awaits_adapters(staying, adapters)),
    )


def _group(body: Body) -> int:
    return int((body["metadata"].get("labels") or {}).get(GROUP_LABEL, -1))


def _stays(body: Body) -> bool:
    return "deletionTimestamp" not in body["metadata"]


def _ready_endpoints(slices: Iterable[Body]) -> int:
    endpoints = (endpoint for item in slices for endpoint in item.get("endpoints") or ())
    return sum(endpoint.get("conditions", {}).get("ready", True) is not False for endpoint in endpoints)


async def _missing_claim(api: Api, service: InferenceService) -> str | None:
    """Name of the model's claim if it does not exist."""
    uri = str((service.spec.get("model") or {}).get("uri", ""))
    if not uri.startswith("pvc://"):
        return None
    claim = uri.removeprefix("pvc://").partition("/")[0]
    return None if await api.get("PersistentVolumeClaim", service.namespace, claim) else claim


async def _scaled_objects(
    api: Api, service: InferenceService, autoscalers: Sequence[Body]
) -> list[dict[str, Any]]:
    """That of the service. Its kind is not watched, for most clusters do not know it: KEDA's own autoscaler, which bears
    our labels, tells of one that is no longer wanted.
    """
    owners = (owner for each in autoscalers for owner in each["metadata"].get("ownerReferences") or ())
    wanted = (service.spec.get("autoscaling") or {}).get("provider") == "keda"
    if not wanted and all(owner["kind"] != "ScaledObject" for owner in owners):
        return []
    try:
        found = await api.named("ScaledObject", service.namespace, service.name)
    except ApiError as error:
        if error.status == 403:
            return []
        raise
    return [found] if found else []


async def _refusals(api: Api, namespace: str, empty: Mapping[int, Body]) -> dict[int, Problem]:
    """Why StatefulSets without pods have none, of those whose controller has tried to make some."""
    found: dict[int, Problem] = {}
    for index, body in sorted(empty.items())[:_ASKED_FOR_EVENTS]:
        problem = creation_problem(body["metadata"]["name"], await _notes(api, namespace, body))
        if problem is not None:
            found[index] = problem
    return found


async def _warnings(api: Api, namespace: str, silent: Sequence[Body]) -> dict[str, tuple[str, ...]]:
    """Notes of Warning events by pod uid, for pods whose status does not say why they do not start."""
    asked = silent[:_ASKED_FOR_EVENTS]
    notes = await asyncio.gather(*(_notes(api, namespace, pod) for pod in asked))
    return {pod["metadata"]["uid"]: found for pod, found in zip(asked, notes, strict=True)}


def _waits_silently(pod: Body) -> bool:
    """Nothing of it runs yet: its volumes are mounted, or cannot be."""
    status = pod.get("status") or {}
    states = [
        each.get("state", {})
        for kind in ("initContainerStatuses", "containerStatuses")
        for each in status.get(kind) or ()
    ]
    reasons = {state.get("waiting", {}).get("reason") for state in states}
    return bool(states) and reasons <= {"ContainerCreating", "PodInitializing"}


async def _notes(api: Api, namespace: str, body: Body) -> tuple[str, ...]:
    """Notes of the object's Warning events, newest first. Without the right to read events: none."""
    meta = body["metadata"]
    try:
        events = await api.list("Event", namespace, fields=f"regarding.name={meta['name']},type=Warning")
    except ApiError as error:
        if error.status == 403:
            return ()
        raise
    mine = [event for event in events if event.get("regarding", {}).get("uid") == meta["uid"]]
    return tuple(event.get("note", "") for event in sorted(mine, key=_last_seen, reverse=True))


def _last_seen(event: Body) -> str:
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime") or event.get("deprecatedLastTimestamp") or event.get("eventTime") or ""
    )
