"""Reads one InferenceService and what it owns, live: a watch may have missed a deletion, a list has not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from paddock.operator.apply import owned_by
from paddock.operator.client import Api, ApiError
from paddock.operator.diagnosis import Problem, creation_problem
from paddock.operator.plan.labels import GROUP_LABEL, SERVICE_LABEL
from paddock.operator.resource import KIND, InferenceService
from paddock.operator.snapshot import Pod, Snapshot, companion_key

Body = Mapping[str, Any]
COMPANIONS = ("Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy", "HorizontalPodAutoscaler")
_ASKED_FOR_EVENTS = 3


async def observe(api: Api, namespace: str, name: str) -> Snapshot | None:
    """What lives now; None when the InferenceService does not exist."""
    selector = f"{SERVICE_LABEL}={name}"
    body, stateful_sets, pods, slices, *beside = await asyncio.gather(
        api.get(KIND, namespace, name),
        api.list("StatefulSet", namespace, selector),
        api.list("Pod", namespace, selector),
        api.list("EndpointSlice", namespace, f"kubernetes.io/service-name={name}"),
        *(_listed(api, kind, namespace, selector) for kind in COMPANIONS),
    )
    if body is None:
        return None
    service = InferenceService.of(body)
    silent = [pod for pod in pods if _stays(pod) and _waits_silently(pod)]
    own = {_group(s): s for s in stateful_sets if owned_by(s, service.uid) and _stays(s)}
    peopled = {_group(pod) for pod in pods}
    empty = {i: s for i, s in own.items() if i not in peopled and s["spec"].get("replicas", 1)}
    refusals, warnings, missing = await asyncio.gather(
        _refusals(api, namespace, empty), _warnings(api, namespace, silent), _missing_claim(api, service)
    )
    return Snapshot(
        service=service,
        stateful_sets=own,
        pods=tuple(Pod.of(pod, warnings.get(pod["metadata"]["uid"], ())) for pod in pods),
        companions={companion_key(c): c for c in chain(*beside) if owned_by(c, service.uid) and _stays(c)},
        ready_endpoints=_ready_endpoints(slices),
        leaving=frozenset(_group(s) for s in stateful_sets if not (owned_by(s, service.uid) and _stays(s))),
        refusals=refusals,
        missing_claim=missing,
        is_silent=bool(silent or empty or missing),
    )


async def _listed(api: Api, kind: str, namespace: str, selector: str) -> list[dict[str, Any]]:
    """Objects of a kind, which the items of a list do not say themselves."""
    return [{"kind": kind, **item} for item in await api.list(kind, namespace, selector)]


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


async def _refusals(api: Api, namespace: str, empty: Mapping[int, Body]) -> dict[int, Problem]:
    """Why StatefulSets without pods have none."""
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
    containers = (pod.get("status") or {}).get("containerStatuses") or ()
    waiting = [container.get("state", {}).get("waiting", {}).get("reason") for container in containers]
    return "ContainerCreating" in waiting


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
