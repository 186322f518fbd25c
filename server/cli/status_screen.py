"""The screen of `paddock status`: a pure function of the InferenceService, its pods and their last log lines."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from paddock.server.cli.status_advice import advice
from paddock.server.cli.status_plan import group_lines, plan_line
from paddock.server.cli.status_pods import age, cut, is_ready, pod_lines

Body = Mapping[str, Any]
_BLOCKED_BY = "; waiting for repair: "
_STALE = (
    "wrong: no pod is ready, and yet the status says that it serves: that is some seconds old, or no operator runs",
    "to do: ask once more, then: kubectl get pods -A -l app.kubernetes.io/name=paddock-operator",
)


def is_fine(resource: Body, pods: Sequence[Body]) -> bool:
    """Whether it serves exactly what the present spec asks for."""
    if _is_stale(resource, pods):
        return False
    states = {kind: _condition(resource, kind)["status"] for kind in ("Accepted", "Available", "Degraded")}
    settled = _condition(resource, "Progressing")["status"] == "False"
    adapted = _condition(resource, "AdaptersReady", absent="True")["status"] == "True"
    return _is_current(resource) and settled and adapted and [*states.values()] == ["True", "True", "False"]


def screen(resource: Body, pods: Sequence[Body], last_lines: Mapping[str, str], now: datetime) -> str:
    """The text. `last_lines`: by pod that is on its way, what it said last."""
    meta, spec, status = resource["metadata"], resource["spec"], resource.get("status") or {}
    settings = [
        f"{each['argument']}={each['value']}"
        for each in status.get("configuration") or ()
        if each["argument"] != "model"
    ]
    ready = f"{status.get('ready', '?')} replicas ready, {age(meta, now)} old"
    head = [
        f"{meta['name']} in {meta['namespace']}: {_verdict(resource)}, {ready}",
        f"  url        {status.get('url', 'none yet')}",
        f"  model      {spec['model']['uri']}",
        f"  plan       {plan_line(status.get('plan') or {})}",
        f"  arguments  {cut(', '.join(settings)) or 'all at their defaults'}",
        *_adapters(resource),
    ]
    groups = group_lines(pods, status.get("plan") or {})
    below = [
        *groups,
        *([""] if groups else []),
        *pod_lines(pods, last_lines, now),
        "",
        *_findings(resource, pods),
    ]
    return "\n".join([*head, "", *below, ""])


def _verdict(resource: Body) -> str:
    if not resource.get("status"):
        return "not seen by an operator yet"
    available = _condition(resource, "Available")
    if available["reason"] == "ScaledToZero":
        serving = "scaled to zero"
    else:
        serving = "serving" if available["status"] == "True" else f"not serving ({available['reason']})"
    return serving if _is_current(resource) else f"{serving}, the last change is not taken up yet"


def _adapters(resource: Body) -> list[str]:
    """Where they are loaded, or how far they are; nothing of a service without fetched adapters."""
    condition = _condition(resource, "AdaptersReady", absent="")
    said = {
        "True": condition["message"],
        "False": "not all ready, see below",
        "Unknown": f"not all ready: {condition['message']}",
    }
    return [f"  adapters   {said[condition['status']]}"] if condition["status"] in said else []


def _findings(resource: Body, pods: Sequence[Body]) -> list[str]:
    """What is wrong with what to do, and what is under way."""
    lines = [*_STALE] if _is_stale(resource, pods) else []
    for condition in _wrong(resource):
        if condition["reason"] != "ScaledToZero":
            lines.append(f"wrong: {condition['reason']}: {condition['message']}")
        lines.append(f"to do: {advice(condition, resource)}")
    progressing = _condition(resource, "Progressing")
    if progressing["status"] == "True" or progressing["reason"] == "Blocked":
        lines.append(f"rollout: {progressing['reason']}: {_without_cause(progressing['message'])}")
    if not resource.get("status"):
        lines.append(
            "to do: wait some seconds; if this stays, look whether the operator runs and watches the namespace"
        )
    return lines or ["nothing is wrong"]


def _wrong(resource: Body) -> list[Body]:
    found = [
        condition
        for kind, bad in (("Accepted", "False"), ("Degraded", "True"))
        if (condition := _condition(resource, kind))["status"] == bad
    ]
    available = _condition(resource, "Available")
    return found or ([available] if available["reason"] == "ScaledToZero" else [])


def _without_cause(message: str) -> str:
    """Of a rollout that is blocked: the cause stands above it."""
    counts, blocked, _ = message.partition(_BLOCKED_BY)
    return f"{counts}; waiting for repair" if blocked else message


def _condition(resource: Body, kind: str, absent: str = "Unknown") -> Body:
    """`absent`: the status of one that is not there."""
    conditions = (resource.get("status") or {}).get("conditions") or ()
    none = {"type": kind, "status": absent, "reason": "Unknown", "message": ""}
    return next((each for each in conditions if each["type"] == kind), none)


def _is_stale(resource: Body, pods: Sequence[Body]) -> bool:
    """Whether the pods tell otherwise than the status, which nobody writes while no operator runs."""
    return _condition(resource, "Available")["status"] == "True" and not any(map(is_ready, pods))


def _is_current(resource: Body) -> bool:
    return bool(
        (resource.get("status") or {}).get("observedGeneration") == resource["metadata"]["generation"]
    )
