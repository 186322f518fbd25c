"""From what lives now to the resource's status: conditions, reasons, printer values. Pure.

Accepted      the spec can be served; False names the fields at fault, and what ran before goes on.
ModelReady    a replica has loaded the model of this spec; False names what is wrong with its source.
Progressing   replicas are being created, replaced or removed; False means settled, refused or blocked.
Available     a completion can be served: a replica is ready and the Service leads to it.
Degraded      something is wrong; the reason is the cause.
AdaptersReady every adapter that is fetched is loaded, and where; there only where the spec names some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paddock.operator.adapter_condition import ADAPTERS_READY, adapter_problems, adapters_ready
from paddock.operator.diagnosis import Problem
from paddock.operator.plan.actions import Note
from paddock.operator.plan.blueprint import Blueprint
from paddock.operator.plan.labels import leader_labels
from paddock.operator.plan.refusal import ModelDoesNotFit, Refusal
from paddock.operator.plan.rollout import Group
from paddock.operator.plan.service import url
from paddock.operator.snapshot import Snapshot

_SHOWN_PROBLEMS = 3
_MESSAGE_CHARACTERS = 2000


@dataclass(frozen=True)
class Aspect:
    """A condition before it has a time."""

    type: str
    status: str
    reason: str
    message: str


def status(seen: Snapshot, verdict: Blueprint | Refusal, now: str) -> dict[str, Any]:
    """The whole status. `now` (RFC 3339) becomes lastTransitionTime of the conditions whose status changed."""
    service = seen.service
    groups = seen.groups()
    revision = verdict.revision if isinstance(verdict, Blueprint) else service.status.get("revision")
    ready = sum(group.available for group in groups)
    address = url(service, seen.served_scheme(_scheme(verdict)))
    aspects = (
        _accepted(verdict),
        _model_ready(seen, verdict, groups),
        _progressing(seen, verdict, groups),
        _available(seen, groups, address),
        _degraded(seen),
        *_adapters(seen, verdict),
    )
    written = {
        "conditions": _timed(aspects, service.status.get("conditions") or (), service.generation, now),
        "observedGeneration": service.generation,
        "replicas": len(groups),
        "readyReplicas": ready,
        "updatedReplicas": sum(_is_updated(group, revision) for group in groups),
        "selector": ",".join(f"{key}={value}" for key, value in sorted(leader_labels(service.name).items())),
        "url": address,
        "revision": revision,
        "ready": f"{ready}/{service.replicas}",
        "plan": _plan(verdict, service.status),
        "configuration": _configuration(verdict, service.status),
    }
    return {key: value for key, value in written.items() if value is not None}


def _scheme(verdict: Blueprint | Refusal) -> str:
    return verdict.scheme if isinstance(verdict, Blueprint) else "http"


def _configuration(verdict: Blueprint | Refusal, before: Mapping[str, Any]) -> Any:
    """Of the last spec that was accepted; its pods go on while another is refused."""
    return list(verdict.configuration) if isinstance(verdict, Blueprint) else before.get("configuration")


def _plan(verdict: Blueprint | Refusal, before: Mapping[str, Any]) -> Any:
    """Of the last spec that was accepted, like the configuration, or what the refusal of this one rests on."""
    if isinstance(verdict, ModelDoesNotFit):
        return dict(verdict.plan)
    return dict(verdict.memory) if isinstance(verdict, Blueprint) else before.get("plan")


def transitions(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Note]:
    """Events for what a user wants to hear of: refusals, causes of trouble, and the way back from them."""
    old = {c["type"]: c for c in before.get("conditions") or ()}
    notes = [_transition(old.get(new["type"], {}), new) for new in after["conditions"]]
    return [note for note in notes if note is not None]


def _transition(old: Mapping[str, Any], new: Mapping[str, Any]) -> Note | None:
    reason, message = new["reason"], new["message"]
    changed = old.get("status") != new["status"]
    match new["type"], new["status"]:
        case "Accepted", "False" if changed or old.get("message") != message:
            return Note(reason, "Accept", message, warning=True)
        case "Accepted", "True" if changed and old:
            return Note("Accepted", "Accept", message)
        case "Available", "True" if changed:
            return Note("Available", "Serve", message)
        case "Available", "False" if changed and old and reason != "ScaledToZero":
            return Note("Unavailable", "Serve", message, warning=True)
        case "Degraded", "True" if changed or old.get("reason") != reason:
            return Note(reason, "Reconcile", message, warning=True)
        case "Degraded", "False" if changed and old:
            return Note("Recovered", "Reconcile", message)
    return None


def _accepted(verdict: Blueprint | Refusal) -> Aspect:
    if isinstance(verdict, Refusal):
        return Aspect("Accepted", "False", verdict.reason, verdict.message)
    return Aspect(
        "Accepted", "True", "Accepted", f"The spec can be served; its revision is {verdict.revision}"
    )


def _model_ready(seen: Snapshot, verdict: Blueprint | Refusal, groups: Sequence[Group]) -> Aspect:
    kind = "ModelReady"
    if isinstance(verdict, Refusal):
        return Aspect(kind, "Unknown", "NotAccepted", "The spec is refused, so its model is not loaded")
    if any(group.available and _is_updated(group, verdict.revision) for group in groups):
        return Aspect(kind, "True", "Loaded", f"Loaded from {seen.service.spec['model']['uri']}")
    fault = next((problem for problem in _problems(seen) if problem.of_model), None)
    if fault is not None:
        return Aspect(kind, "False", fault.reason, fault.message)
    if seen.service.replicas == 0:
        return Aspect(kind, "Unknown", "ScaledToZero", "No replica is wanted, so no model is loaded")
    if seen.downloads:
        shown = [f"{pod}: {line}" for pod, line in sorted(seen.downloads.items())][:_SHOWN_PROBLEMS]
        return Aspect(kind, "Unknown", "Downloading", "; ".join(shown))
    return Aspect(kind, "Unknown", "Loading", "No replica has loaded the model yet")


def _progressing(seen: Snapshot, verdict: Blueprint | Refusal, groups: Sequence[Group]) -> Aspect:
    kind, wanted = "Progressing", seen.service.replicas
    if isinstance(verdict, Refusal):
        return Aspect(kind, "False", "NotAccepted", "Nothing changes while the spec is refused")
    updated = sum(_is_updated(group, verdict.revision) for group in groups)
    blocking = [g for g in groups if g.revision == verdict.revision and g.broken and not g.available]
    counts = f"{updated} of {wanted} replicas follow revision {verdict.revision}, {len(groups)} exist"
    if blocking and (problems := _problems(seen)):
        return Aspect(kind, "False", "Blocked", f"{counts}; waiting for repair: {problems[0].message}")
    if updated < len(groups):
        return Aspect(kind, "True", "RollingOut", counts)
    if len(groups) != wanted:
        return Aspect(kind, "True", "Scaling", counts)
    starting = sum(not group.available for group in groups)
    if starting:
        return Aspect(kind, "True", "Starting", f"{counts}; {starting} not ready yet")
    return Aspect(kind, "False", "UpToDate", counts)


def _available(seen: Snapshot, groups: Sequence[Group], address: str) -> Aspect:
    kind, wanted = "Available", seen.service.replicas
    ready = sum(group.available for group in groups)
    if ready and seen.ready_endpoints:
        return Aspect(kind, "True", "Serving", f"{ready} of {wanted} replicas can answer at {address}/v1")
    if ready:
        return Aspect(
            kind, "False", "NoEndpoints", f"{ready} replicas are ready, but the Service has no endpoint yet"
        )
    alone = sum(pod.ready and pod.answers_alone for pod in seen.pods)
    if alone and seen.ready_endpoints:
        pods = f"{alone} of {len(seen.pods)} pods can answer at {address}/v1"
        return Aspect(kind, "True", "ServingInPart", f"{pods}, and none of {wanted} replicas is whole")
    if wanted == 0:
        return Aspect(kind, "False", "ScaledToZero", "No replica is wanted")
    problems = _problems(seen)
    cause = f": {problems[0].message}" if problems else ""
    return Aspect(kind, "False", "NoReplicaReady", f"0 of {wanted} replicas are ready{cause}")


def _adapters(seen: Snapshot, verdict: Blueprint | Refusal) -> list[Aspect]:
    told = adapters_ready(seen, verdict) if isinstance(verdict, Blueprint) else None
    return [Aspect(ADAPTERS_READY, *told)] if told else []


def _degraded(seen: Snapshot) -> Aspect:
    problems = [*_problems(seen), *([seen.unmeasured] if seen.unmeasured else [])]
    if not problems:
        return Aspect("Degraded", "False", "AsExpected", "No problem is known")
    shown = "; ".join(problem.message for problem in problems[:_SHOWN_PROBLEMS])
    more = len(problems) - _SHOWN_PROBLEMS
    return Aspect("Degraded", "True", problems[0].reason, shown + (f"; and {more} more" if more > 0 else ""))


def _problems(seen: Snapshot) -> list[Problem]:
    found = [*seen.problems(), *adapter_problems(seen.adapters)]
    if seen.missing_claim is None or seen.service.replicas == 0:
        return found
    message = (
        f"PersistentVolumeClaim {seen.missing_claim} does not exist in namespace {seen.service.namespace}"
    )
    others = [problem for problem in found if problem.reason != "VolumeClaimMissing"]
    return [Problem("VolumeClaimMissing", message, of_model=True), *others]


def _is_updated(group: Group, revision: str | None) -> bool:
    return group.revision == revision and not group.has_stale_pods


def _timed(
    aspects: Sequence[Aspect], before: Sequence[Mapping[str, Any]], generation: int, now: str
) -> list[dict[str, Any]]:
    old = {condition["type"]: condition for condition in before}
    return [
        {
            "type": aspect.type,
            "status": aspect.status,
            "reason": aspect.reason,
            "message": aspect.message[:_MESSAGE_CHARACTERS],
            "lastTransitionTime": old[aspect.type]["lastTransitionTime"]
            if old.get(aspect.type, {}).get("status") == aspect.status
            else now,
            "observedGeneration": generation,
        }
        for aspect in aspects
    ]
