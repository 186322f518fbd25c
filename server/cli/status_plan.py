"""On the screen of `paddock status`: what a replica takes of its nodes, and how far each replica of several pods is."""

from collections.abc import Mapping, Sequence
from typing import Any

from paddock.server.cli.status_pods import is_ready

Body = Mapping[str, Any]
_GROUP = "paddock.dev/group"


def plan_line(plan: Body) -> str:
    """`status.plan` in one line, as far as it is known."""
    if not plan:
        return "not made yet"
    pods, devices = plan.get("podsPerReplica", 1), plan.get("gpusPerPod", 0)
    each = f" of {devices} accelerators" if devices > 1 else " of 1 accelerator" if devices else ""
    line = f"{pods} pod{'s' if pods > 1 else ''}{each} in a replica"
    figures = [
        text
        for name, text in (
            ("weightBytes", f"{_size(plan.get('weightBytes', 0))} of weights"),
            ("kvBytesPerToken", f"{plan.get('kvBytesPerToken')} bytes of cache for a token"),
            ("kvTokensPerReplica", f"room for {plan.get('kvTokensPerReplica')} tokens"),
        )
        if name in plan
    ]
    # Why figures are not known yet, or whose they are, is told to its end by the resource itself.
    basis = plan.get("basis", "").partition(": ")[0].partition(" of revision ")[0]
    if figures:
        return f"{line}; {', '.join(figures)} ({basis})"
    return f"{line}; {basis}" if basis else line


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def group_lines(pods: Sequence[Body], plan: Body) -> list[str]:
    """A table of replicas; empty where each has one pod, which the table of pods shows already."""
    wanted = plan.get("podsPerReplica", 1)
    groups: dict[str, list[Body]] = {}
    for pod in pods:
        groups.setdefault((pod["metadata"].get("labels") or {}).get(_GROUP, "?"), []).append(pod)
    if wanted == 1 and all(len(members) == 1 for members in groups.values()):
        return []
    rows = [
        (name, f"{sum(map(is_ready, members))}/{max(wanted, len(members))}", _state_of(members, wanted))
        for name, members in sorted(groups.items(), key=lambda item: (len(item[0]), item[0]))
    ]
    return [
        "REPLICA  PODS READY  STATE",
        *(f"{name:<7}  {ready:<10}  {state}" for name, ready, state in rows),
    ]


def _state_of(members: Sequence[Body], wanted: int) -> str:
    """A pod that cannot go on tells more than one that waits for it."""
    if any("deletionTimestamp" in pod["metadata"] for pod in members):
        return "being replaced"
    waiting = sorted((pod["metadata"]["name"], _reason(pod)) for pod in members if not is_ready(pod))
    stuck = [f"{name}: {reason}" for name, reason in waiting if reason]
    if stuck:
        return f"waits for {', '.join(stuck)}"
    if waiting:
        return f"starting: {', '.join(name for name, _ in waiting)}"
    return "whole" if len(members) >= wanted else f"{wanted - len(members)} pods are missing"


def _reason(pod: Body) -> str:
    """Why it is not even running; empty while it runs or is being made."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        reason = (state.get("waiting") or state.get("terminated") or {}).get("reason", "")
        if reason != "ContainerCreating":
            return str(reason)
    unscheduled = [each for each in status.get("conditions") or () if each["type"] == "PodScheduled"]
    return (
        str(unscheduled[0].get("reason", "")) if unscheduled and unscheduled[0]["status"] == "False" else ""
    )
